package load

import (
	"context"
	"errors"
	"math"
	"time"
)

// Search says what a rate must hold to count as borne.
type Search struct {
	Config                // Rate: where to begin; Duration: of each step
	P99     time.Duration // at most
	Good    float64       // share of the calls that are answered well, at least; default 0.99
	Highest float64       // rate that is tried; default 1e6
}

// Borne reports whether a step held.
func (s *Search) Borne(r Result) bool {
	return r.Good > 0 && float64(r.Good) >= s.Good*float64(r.Asked) && r.Latency.Quantile(0.99) <= s.P99
}

// Knee finds the highest rate that is borne: it doubles the rate until one is not, then halves the interval, by its ratio,
// until it is known to within 5 %. It returns the knee and all steps in the order they were made; the knee is 0 when not
// even the first rate is borne. step is told of each; it may be nil.
func Knee(ctx context.Context, op Operation, s Search, progress, step func(Result)) (float64, []Result, error) {
	if s.Rate <= 0 || s.Duration <= 0 || s.P99 <= 0 {
		return 0, nil, errors.New("load: a search needs a rate, a duration and a bound")
	}
	if s.Good == 0 {
		s.Good = 0.99
	}
	if s.Highest == 0 {
		s.Highest = 1e6
	}
	var steps []Result
	try := func(rate float64) bool {
		c := s.Config
		c.Rate, c.Seed = rate, s.Seed+uint64(len(steps))
		r := Run(ctx, op, c, progress)
		steps = append(steps, r)
		if step != nil {
			step(r)
		}
		return s.Borne(r)
	}
	low, high := 0.0, s.Rate
	for try(high) && ctx.Err() == nil {
		if low, high = high, 2*high; high > s.Highest {
			return low, steps, nil
		}
	}
	for low > 0 && high/low > 1.05 && ctx.Err() == nil {
		if middle := math.Sqrt(low * high); try(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, steps, ctx.Err()
}
