// Package processes says what Linux tells of other processes: their children, the time of a processor that they took and
// the memory that they hold. Tests, benchmarks and reports watch the daemon and its modules with it.
package processes

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Children are the processes that a process has started and not waited for yet; none when it is gone.
func Children(pid int) (list []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a thread may have ended
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// Time is the time of a processor that a process took so far; 0 when it is gone.
func Time(pid int) time.Duration {
	// The clock of another process: CPUCLOCK_SCHED of its number, as clock_getcpuclockid makes it.
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|2), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Resident is the memory of a process in octets, the pages that it shares with others among it.
func Resident(pid int) (int64, error) { return figure(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") }

// Proportional is the memory of a process in octets, in which a page that several share is divided among them. Not every
// system tells.
func Proportional(pid int) (int64, error) {
	return figure(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
}

// figure reads a line such as "VmRSS:  123 kB", as octets.
func figure(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name && f[2] == "kB" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no line %s", file, name)
}
