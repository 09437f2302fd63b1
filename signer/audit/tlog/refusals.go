package tlog

import (
	"context"
	"sync"
	"time"

	"github.com/epov-signer/epov/signer/audit"
)

// A caller's refusals are recorded up to this many at once and per second; the others are counted.
const (
	refusalBurst = 20
	refusalRate  = 5
	maxCallers   = 4096 // callers are configured; more than these share one allowance
)

// refusals keeps a caller who is refused all the time from filling the log. The zero value is ready.
type refusals struct {
	mu      sync.Mutex
	callers map[string]*allowance
}

type allowance struct {
	left    float64
	at      time.Time
	dropped uint64
}

func (f *refusals) of(caller string) *allowance {
	if f.callers == nil {
		f.callers = map[string]*allowance{}
	}
	a := f.callers[caller]
	if a == nil && len(f.callers) >= maxCallers {
		caller = ""
		a = f.callers[caller]
	}
	if a == nil {
		a = &allowance{left: refusalBurst}
		f.callers[caller] = a
	}
	return a
}

// admit decides whether a refusal is recorded; if so the record says how many before it were not.
func (f *refusals) admit(mode Refusals, r *audit.Record, now time.Time) bool {
	if mode == None {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.of(r.Caller)
	if mode == Limited {
		if !a.at.IsZero() {
			a.left = min(refusalBurst, a.left+now.Sub(a.at).Seconds()*refusalRate)
		}
		a.at = now
		if a.left < 1 {
			a.dropped++
			return false
		}
		a.left--
	}
	r.Dropped, a.dropped = a.dropped, 0
	return true
}

// missed counts a refusal for which there was no room.
func (f *refusals) missed(r *audit.Record) {
	if r.Kind != audit.Refusal {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of(r.Caller).dropped += 1 + r.Dropped
}

// NotRecorded is the outcome of a record that only tells how many refusals were left out.
const NotRecorded = "not-recorded"

// flush records how many refusals were left out and not yet told of.
func (f *refusals) flush(l *Log) {
	var owed []audit.Record
	f.mu.Lock()
	for caller, a := range f.callers {
		if a.dropped > 0 {
			owed = append(owed, audit.Record{
				Time: time.Now(), Kind: audit.Refusal, Caller: caller, Outcome: NotRecorded, Dropped: a.dropped,
			})
			a.dropped = 0
		}
	}
	f.mu.Unlock()
	for i := range owed {
		// Without room it is counted again as missed, one too many: better than one too few.
		_, _ = l.put(context.Background(), &owed[i], false)
	}
}
