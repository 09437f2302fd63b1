package load

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Mean() != 0 || len(h.Bars()) != 0 {
		t.Error("an empty histogram says something")
	}
	chance := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 20000 {
		d := time.Duration(math.Exp(chance.Float64()*18)) * time.Microsecond / 10
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/60)+1000 {
			t.Errorf("quantile %v is %v instead of %v", q, got, want)
		}
	}
	if h.Count() != 20000 || h.Max() != all[len(all)-1] {
		t.Errorf("%d, %v", h.Count(), h.Max())
	}
	n := int64(0)
	for _, b := range h.Bars() {
		n += b.Count
	}
	if n != 20000 {
		t.Errorf("the bars have %d", n)
	}
	h.Record(24 * time.Hour) // counted in the last bucket
	h.Record(-time.Second)
}

func TestBucketsMeet(t *testing.T) {
	for i := range buckets - 1 {
		if bucket(upper(i)-time.Microsecond) != i || bucket(upper(i)) != i+1 {
			t.Fatalf("bucket %d ends at %v", i, upper(i))
		}
	}
}

// TestNoOmission stops a service that answers one call at a time for a second: all calls that were due meanwhile must show it.
func TestNoOmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn, stopped := make(chan struct{}, 1), false
		op := func(context.Context) error {
			turn <- struct{}{}
			defer func() { <-turn }()
			if !stopped {
				stopped = true
				time.Sleep(time.Second)
			}
			return nil
		}
		r := Run(t.Context(), op, Config{Rate: 1000, Duration: 2 * time.Second}, nil)
		if math.Abs(r.Offered()-1000) > 100 {
			t.Errorf("%v calls in a second were asked for", r.Offered())
		}
		if p := r.Latency.Quantile(0.75); p < 300*time.Millisecond {
			t.Errorf("three quarters took no longer than %v", p)
		}
		if r.Good != r.Asked {
			t.Errorf("%d of %d", r.Good, r.Asked)
		}
	})
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, Config{Rate: 100, Duration: time.Second, Timeout: time.Second, InFlight: 50}, nil)
		if r.Good != 0 || r.Errors[ErrUnasked.Error()] == 0 || r.Errors[context.DeadlineExceeded.Error()] == 0 {
			t.Errorf("%+v", r.Errors)
		}
	})
}

// TestKnee finds that of a service of eight servers that take 8 ms: 1000 in a second.
func TestKnee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := make(chan struct{}, 8)
		op := func(ctx context.Context) error {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			defer func() { <-places }()
			time.Sleep(8 * time.Millisecond)
			return nil
		}
		knee, steps, err := Knee(t.Context(), op, Search{
			Config: Config{Rate: 50, Duration: 4 * time.Second, Timeout: time.Second}, P99: 60 * time.Millisecond,
		}, nil, nil)
		if err != nil || knee < 800 || knee > 1010 || len(steps) < 6 {
			t.Errorf("knee %v after %d steps, %v", knee, len(steps), err)
		}
		disturbed := Search{Config: Config{Rate: 50, Duration: 4 * time.Second, Timeout: time.Second}, P99: 60 * time.Millisecond, Tries: 2}
		n := 0
		again, _, err := Knee(t.Context(), func(ctx context.Context) error {
			if n++; n < 5 { // a neighbour, for a moment
				time.Sleep(500 * time.Millisecond)
			}
			return op(ctx)
		}, disturbed, nil, nil)
		if err != nil || again < 800 || again > 1010 {
			t.Errorf("knee %v beside a neighbour, %v", again, err)
		}
		none, _, err := Knee(t.Context(), func(context.Context) error { return errors.New("no") }, Search{
			Config: Config{Rate: 10, Duration: time.Second}, P99: time.Second,
		}, nil, nil)
		if none != 0 || err != nil {
			t.Errorf("a service that never answers bears %v", none)
		}
	})
}
