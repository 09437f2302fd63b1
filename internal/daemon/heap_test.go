package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// TestSpareCollector: the heap may grow to its floor before it is collected, and the floor itself takes no memory.
func TestSpareCollector(t *testing.T) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("the collector is set by the environment")
	}
	// In a process of its own, as at a start: other tests leave memory behind that would be used again, and cleared for that.
	if os.Getenv("EPOV_FRESH") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSpareCollector$")
		cmd.Env = append(os.Environ(), "EPOV_FRESH=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	before := resident(t)
	SpareCollector()
	if grown := resident(t) - before; grown > heapFloor/2 {
		t.Errorf("%d octets more in memory", grown)
	}
	runtime.GC()
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.NextGC < 2*heapFloor {
		t.Errorf("the next collection is due at %d octets", m.NextGC)
	}
}

// resident is the memory that the process takes.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
