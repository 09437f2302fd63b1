// Package await has tests wait for what comes to pass by itself: a state, a success, the end of processes, a line of a log.
// What does not come within patience, which is far more than anything takes, fails the test with what there is instead.
package await

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/processes"
)

const (
	patience = 2 * time.Minute
	pause    = 50 * time.Millisecond // between two looks at the most; the first ones follow each other faster
)

// NoError calls f until it returns nil; its last error says why the test fails.
func NoError(tb testing.TB, f func() error) {
	tb.Helper()
	rest := time.Millisecond
	for end := time.Now().Add(patience); ; time.Sleep(rest) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			tb.Fatal(err)
		}
		rest = min(2*rest, pause)
	}
}

// True waits until ok holds, which is what is waited for.
func True(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	NoError(tb, func() error {
		if ok() {
			return nil
		}
		return fmt.Errorf("waited in vain for %s", what)
	})
}

// Children waits until this process has that many child processes.
func Children(tb testing.TB, want int) {
	tb.Helper()
	NoError(tb, func() error {
		if n := len(processes.Children(os.Getpid())); n != want {
			return fmt.Errorf("%d child processes, want %d", n, want)
		}
		return nil
	})
}

// Log is a log that goroutines share and tests wait for. The zero value is empty.
type Log struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (l *Log) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(p)
}

func (l *Log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}

// Says waits until the log has a text at least so many times.
func (l *Log) Says(tb testing.TB, text string, times int) {
	tb.Helper()
	NoError(tb, func() error {
		if log := l.String(); strings.Count(log, text) < times {
			return fmt.Errorf("the log does not say %q %d times:\n%s", text, times, log)
		}
		return nil
	})
}
