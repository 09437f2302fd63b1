// Package runs is what the programmes that upset a service on purpose note of it, one line of JSON a run, for
// internal/reliability to make a page of.
package runs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Run is what came of one of them. A caller's request is signed, refused or lost; wrong ones are among the signed.
type Run struct {
	Name    string // the same every time
	Where   string // the arrangement, where one name has several
	About   string // what was done, in sentences
	Command string // which does it again
	Took    time.Duration

	Asked, Signed int
	Refused       map[string]int // by reason
	Wrong, Lost   int

	Until      string // between which events the recoveries' times are
	Recoveries []Recovery
	Figures    []Figure // what else was counted
	Broken     []string // promises that were not kept
}

// Recovery is a kind of fault, and how long it took each time to get over it.
type Recovery struct {
	Fault    string
	Promised time.Duration // 0: nothing
	Took     []time.Duration
	Final    int // times that nothing but an operator would have ended it, besides those of Took
}

// Times is how often the fault was injected.
func (r Recovery) Times() int { return len(r.Took) + r.Final }

// Median is 0 without times.
func (r Recovery) Median() time.Duration {
	if len(r.Took) == 0 {
		return 0
	}
	sorted, n := slices.Sorted(slices.Values(r.Took)), len(r.Took)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Slowest is 0 without times.
func (r Recovery) Slowest() (slowest time.Duration) {
	for _, d := range r.Took {
		slowest = max(slowest, d)
	}
	return slowest
}

// Late counts those slower than was promised.
func (r Recovery) Late() (n int) {
	for _, d := range r.Took {
		if r.Promised > 0 && d > r.Promised {
			n++
		}
	}
	return n
}

// Figure is a number and what it counts.
type Figure struct{ What, Value string }

// Append adds a run to a file, which is made where there is none.
func Append(file string, r Run) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		_ = f.Close() // the first error says more
		return err
	}
	return f.Close()
}

// Parse reads what Append wrote. Fields that it does not know are an error.
func Parse(data []byte) (list []Run, err error) {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		var r Run
		if err := d.Decode(&r); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		list = append(list, r)
	}
	return list, nil
}
