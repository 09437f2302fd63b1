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
	Tries   int           // steps that a rate has before it counts as not borne, for machines with neighbours; default 1
}

// Borne reports whether a step held.
func (s *Search) Borne(r Result) bool {
	return r.Good > 0 && float64(r.Good) >= s.Good*float64(r.Asked) && r.Latency.Quantile(0.99) <= s.P99
}

// Knee finds the highest rate that is borne: it doubles the rate until one is not, or halves it up to six times until one is,
// then halves the interval, by its ratio, until it is known to within 5 %. It returns the knee, 0 when no rate is borne, and
// all steps in the order they were made. step is told of each; it may be nil.
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
		for range max(s.Tries, 1) {
			c := s.Config
			c.Rate, c.Seed = rate, s.Seed+uint64(len(steps))
			r := Run(ctx, op, c, progress)
			steps = append(steps, r)
			if step != nil {
				step(r)
			}
			if s.Borne(r) {
				return true
			}
		}
		return false
	}
	low, high := 0.0, 0.0 // the highest rate that was borne, the lowest that was not
	for rate := s.Rate; (low == 0 || high == 0) && ctx.Err() == nil; {
		if try(rate) {
			low, rate = rate, 2*rate
		} else {
			high, rate = rate, rate/2
		}
		if rate > s.Highest || rate < s.Rate/64 {
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
