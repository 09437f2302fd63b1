package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

const (
	bound    = 100 * time.Millisecond // p99 that is borne
	deadline = 500 * time.Millisecond // of callers, from the intended moment
)

var shares = []float64{0.5, 0.8, 1.2}

// findKnee finds what the daemon bears, and how it behaves below and above.
func findKnee(w *world, p plan, r *results) error {
	s := w.start(setting{sessions: usualSessions()})
	defer s.Stop()
	op, end, err := s.caller(load.SignXML, usualSize, 4, nil)
	if err != nil {
		return err
	}
	defer end()
	k := &r.Knee
	k.Operation, k.Octets, k.Sessions, k.Bound, k.Deadline = load.SignXML, usualSize, usualSessions(), milliseconds(bound), milliseconds(deadline)
	var list []load.Result
	if k.Knee, list, err = knee(op, p); err != nil {
		return err
	}
	for _, one := range list {
		k.Search = append(k.Search, stepOf(0, one))
	}
	slices.SortFunc(k.Search, func(a, b step) int { return cmp.Compare(a.Rate, b.Rate) })
	for _, share := range shares {
		one := load.Run(context.Background(), op, asking(share*k.Knee, p.run), nil)
		k.Runs = append(k.Runs, stepOf(share, one))
		fmt.Printf("%.0f %% of the knee, %.0f/s: %.0f/s, p50 %v, p99 %v, p99.9 %v, %v\n", share*100, one.Rate, one.Goodput(),
			one.Latency.Quantile(0.5), one.Latency.Quantile(0.99), one.Latency.Quantile(0.999), one.Errors)
	}
	return nil
}

func asking(rate float64, d time.Duration) load.Config {
	return load.Config{Rate: rate, Duration: d, Timeout: deadline, Seed: 7, Name: load.ErrorName}
}

// knee looks for that of an operation.
func knee(op load.Operation, p plan) (float64, []load.Result, error) {
	most, err := load.Closed(context.Background(), op, usualCallers, p.search)
	if err != nil {
		return 0, nil, err
	}
	found, list, err := load.Knee(context.Background(), op, load.Search{Config: asking(most/4, p.search), P99: bound, Tries: 2}, nil, nil)
	if err == nil && found == 0 {
		err = errors.New("no rate is borne")
	}
	return found, list, err
}
