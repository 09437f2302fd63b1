package hsm

import "time"

// clock tells the time that has passed since it was made. That is one reading of the monotonic clock, where time.Now takes
// two; the signing path looks three times.
type clock struct{ base time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() time.Duration { return time.Since(c.base) }

// estimate follows a duration that changes: a mean and a mean deviation that forget, as for TCP's round trips (RFC 6298).
// The zero value knows nothing.
type estimate struct {
	mean, spread time.Duration
}

func (e *estimate) add(d time.Duration) {
	d = max(d, 1)
	if e.mean == 0 {
		e.mean, e.spread = d, d/2
		return
	}
	off := d - e.mean
	e.mean = max(e.mean+off/8, 1)
	e.spread += (max(off, -off) - e.spread) / 4
}

// cautious is a duration that few exceed.
func (e *estimate) cautious() time.Duration { return e.mean + 2*e.spread }
