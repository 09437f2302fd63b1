// Package load asks a service at a rate that does not depend on its answers, and measures each answer from the moment at which
// it was to be asked for: a service that falls behind cannot hide it by slowing its callers down (coordinated omission).
package load

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Operation makes one call. It must be safe for concurrent use.
type Operation func(ctx context.Context) error

// Config says how to ask.
type Config struct {
	Rate     float64            // calls in a second, at random moments as independent callers make them
	Duration time.Duration      // for which calls are begun
	Timeout  time.Duration      // of a call, from its intended moment; default 10 s
	Seed     uint64             // of the moments
	InFlight int                // calls at once; what comes on top fails unasked; default 10000
	Name     func(error) string // under which errors are counted; nil: Error()
}

// Result is what came of it.
type Result struct {
	Rate    float64 // asked for
	Seconds float64 // until the last call was begun
	Asked   int64   // calls begun
	Good    int64   // answered without an error in time
	Errors  map[string]int64
	Latency *Histogram // of good calls, from the intended moment on
}

// Offered is the rate at which calls were begun, which falls short of Rate only when this machine does.
func (r *Result) Offered() float64 { return float64(r.Asked) / r.Seconds }

// Goodput is good calls in a second.
func (r *Result) Goodput() float64 { return float64(r.Good) / r.Seconds }

// ErrUnasked is the error of calls on top of Config.InFlight.
var ErrUnasked = errors.New("too many calls at once")

// Run asks until Config.Duration is over or ctx ends, and waits for the answers. progress, which may be nil, is told twice a second.
func Run(ctx context.Context, op Operation, c Config, progress func(Result)) Result {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.InFlight == 0 {
		c.InFlight = 10000
	}
	if c.Name == nil {
		c.Name = error.Error
	}
	r := &runner{Config: c, op: op, latency: &Histogram{}, errors: map[string]int64{}}
	chance := rand.New(rand.NewPCG(c.Seed, 1))
	begun := time.Now()
	next, told := time.Duration(0), begun
	for now := time.Duration(0); now < c.Duration && ctx.Err() == nil; now = time.Since(begun) {
		for ; next <= now && next < c.Duration; next += gap(chance, c.Rate) {
			r.begin(ctx, begun.Add(next))
		}
		if progress != nil && time.Since(told) >= 500*time.Millisecond {
			told = time.Now()
			progress(r.result(now))
		}
		time.Sleep(min(max(next-time.Since(begun), 0), 20*time.Millisecond))
	}
	took := min(time.Since(begun), c.Duration)
	r.group.Wait()
	return r.result(took)
}

// gap is the time to the next call: exponential, bounded so that a second without a call stays an exception of slow rates.
func gap(chance *rand.Rand, rate float64) time.Duration {
	return time.Duration(min(chance.ExpFloat64(), 8) / rate * float64(time.Second))
}

type runner struct {
	Config
	op       Operation
	group    sync.WaitGroup
	inFlight atomic.Int64
	asked    atomic.Int64
	good     atomic.Int64
	latency  *Histogram

	mutex  sync.Mutex
	errors map[string]int64
}

func (r *runner) begin(ctx context.Context, intended time.Time) {
	r.asked.Add(1)
	if r.inFlight.Add(1) > int64(r.InFlight) {
		r.inFlight.Add(-1)
		r.failed(ErrUnasked)
		return
	}
	r.group.Go(func() {
		defer r.inFlight.Add(-1)
		bounded, cancel := context.WithDeadline(ctx, intended.Add(r.Timeout))
		defer cancel()
		err := r.op(bounded)
		took := time.Since(intended)
		if err == nil && took > r.Timeout {
			err = context.DeadlineExceeded
		}
		if err != nil {
			r.failed(err)
			return
		}
		r.good.Add(1)
		r.latency.Record(took)
	})
}

func (r *runner) failed(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.errors[r.Name(err)]++
}

func (r *runner) result(took time.Duration) Result {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	out := Result{
		Rate: r.Rate, Seconds: math.Max(took.Seconds(), 1e-9), Asked: r.asked.Load(), Good: r.good.Load(),
		Latency: r.latency, Errors: map[string]int64{},
	}
	for name, n := range r.errors {
		out.Errors[name] = n
	}
	return out
}

// Closed keeps callers at work for a time, each asking anew when it has its answer, and returns good calls in a second: the
// most that a service does. It says nothing of latencies.
func Closed(ctx context.Context, op Operation, callers int, d time.Duration) (float64, error) {
	var n atomic.Int64
	var first atomic.Pointer[error]
	var group sync.WaitGroup
	begun := time.Now()
	for range callers {
		group.Go(func() {
			for time.Since(begun) < d && ctx.Err() == nil {
				if err := op(ctx); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				n.Add(1)
			}
		})
	}
	group.Wait()
	if err := first.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(begun).Seconds(), ctx.Err()
}
