package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/epov-signer/epov/internal/processes"
)

// sample is what a process and its children hold at a moment, as others see it.
type sample struct {
	At                float64 `json:"at"`               // seconds of the run
	Resident          float64 `json:"resident_mib"`     // of the daemon
	ModuleResident    float64 `json:"module_mib"`       // of its children
	Proportional      float64 `json:"proportional_mib"` // of all; a page that they share counts once
	Heap              float64 `json:"heap_mib"`
	Descriptors       float64 `json:"descriptors"`
	ModuleDescriptors float64 `json:"module_descriptors"`
	Goroutines        float64 `json:"goroutines"`
	Sessions          float64 `json:"sessions"`
	SessionsLimit     float64 `json:"sessions_limit"`
	Processes         float64 `json:"processes"` // children
}

// watcher looks at a process from outside: the system's tables, and the metrics that it serves.
type watcher struct {
	pid     int
	metrics string // URL
	begun   time.Time
	client  http.Client
}

func newWatcher(pid int, metrics string) *watcher {
	return &watcher{pid: pid, metrics: metrics, begun: time.Now(), client: http.Client{Timeout: 5 * time.Second}}
}

// look takes a sample. What cannot be read is an error, never a zero.
func (w *watcher) look() (s sample, err error) {
	s.At = time.Since(w.begun).Seconds()
	children := processes.Children(w.pid)
	s.Processes = float64(len(children))
	for _, pid := range append([]int{w.pid}, children...) {
		resident, err := processes.Resident(pid)
		if err != nil {
			return s, err
		}
		proportional, err := processes.Proportional(pid)
		if err != nil {
			return s, err
		}
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return s, err
		}
		s.Proportional += mib(proportional)
		if pid == w.pid {
			s.Resident, s.Descriptors = mib(resident), float64(len(open))
		} else {
			s.ModuleResident, s.ModuleDescriptors = s.ModuleResident+mib(resident), s.ModuleDescriptors+float64(len(open))
		}
	}
	wanted := map[string]*float64{"go_memstats_heap_inuse_bytes": &s.Heap, "go_goroutines": &s.Goroutines,
		"epov_token_sessions":       &s.Sessions,
		"epov_token_sessions_limit": &s.SessionsLimit}
	if err := w.scrape(wanted); err != nil {
		return s, err
	}
	s.Heap /= 1 << 20
	return s, nil
}

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }

// scrape reads metrics by name, the sum over their labels.
func (w *watcher) scrape(wanted map[string]*float64) error {
	answer, err := w.client.Get(w.metrics)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); ok && i > 0 { // labels may have blanks
			value = lines.Text()[i+1:]
		}
		name, _, _ = strings.Cut(name, "{")
		if sum := wanted[name]; sum != nil {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("metric %s: %w", name, err)
			}
			*sum += v
			seen[name] = true
		}
	}
	for name := range wanted {
		if !seen[name] {
			return fmt.Errorf("%s: no metric %s", w.metrics, name)
		}
	}
	return nil
}
