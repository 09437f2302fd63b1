package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/epov-signer/epov/internal/processes"
)

// holdings is what a process has that can be left behind.
type holdings struct{ goroutines, descriptors, children int }

func inventory() holdings {
	h := holdings{goroutines: runtime.NumGoroutine()}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		h.descriptors = len(open)
	}
	h.children = len(processes.Children(os.Getpid())) // zombies too
	return h
}

// leaks is what there is more than before, once what is on its way out has had time.
func (before holdings) leaks() (list []string) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		now := inventory()
		list = nil
		for _, c := range []struct {
			what        string
			before, now int
		}{
			{"goroutines", before.goroutines, now.goroutines}, {"descriptors", before.descriptors, now.descriptors},
			{"child processes", before.children, now.children},
		} {
			if c.now > c.before {
				list = append(list, fmt.Sprintf("%d %s", c.now-c.before, c.what))
			}
		}
		if len(list) == 0 {
			return nil
		}
		if time.Now().After(end) {
			buffer := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "%s\n", buffer[:runtime.Stack(buffer, true)])
			return list
		}
	}
}
