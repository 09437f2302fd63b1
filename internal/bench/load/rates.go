package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

const (
	bound    = 100 * time.Millisecond // p99 that is borne
	deadline = 500 * time.Millisecond // of callers, from the intended moment
)

var shares = []float64{0.5, 0.8, 1.2}

// findKnee finds what the daemon bears, how it behaves below and above, and below also without an audit log.
func findKnee(w *world, p plan, r *results) error {
	k := &r.Knee
	k.Operation, k.Octets, k.Sessions, k.Bound, k.Deadline = load.SignXML, usualSize, usualSessions(), milliseconds(bound), milliseconds(deadline)
	return errors.Join(
		w.atRates(setting{sessions: k.Sessions}, func(s *service, op load.Operation) (err error) {
			var list []load.Result
			if k.Knee, list, err = knee(op, p); err != nil {
				return err
			}
			for _, one := range list {
				k.Search = append(k.Search, stepOf(0, one))
			}
			slices.SortFunc(k.Search, func(a, b step) int { return cmp.Compare(a.Rate, b.Rate) })
			for _, share := range shares {
				k.Runs = append(k.Runs, s.atShare(op, share, k.Knee, p))
			}
			return nil
		}),
		w.atRates(setting{sessions: k.Sessions, silent: true}, func(s *service, op load.Operation) error {
			for _, share := range shares {
				if share < 1 {
					k.Silent = append(k.Silent, s.atShare(op, share, k.Knee, p))
				}
			}
			return nil
		}))
}

// atRates has a daemon asked over four connections.
func (w *world) atRates(set setting, ask func(*service, load.Operation) error) error {
	s := w.start(set)
	defer s.Stop()
	op, end, err := s.caller(load.SignXML, usualSize, 4, nil)
	if err != nil {
		return err
	}
	defer end()
	return ask(s, op)
}

// atShare asks at a share of the knee.
func (s *service) atShare(op load.Operation, share, knee float64, p plan) step {
	daemon, module := s.Spent()
	own := spent()
	one := load.Run(context.Background(), op, asking(share*knee, p.run), nil)
	daemon2, module2 := s.Spent()
	at := stepOf(share, one)
	at.Busy = (daemon2 - daemon + module2 - module + spent() - own).Seconds() / one.Seconds / float64(runtime.NumCPU())
	fmt.Printf("%.0f %% of the knee, %.0f/s: %.0f/s, p50 %v, p99 %v, p99.9 %v, %v\n", share*100, one.Rate, one.Goodput(),
		one.Latency.Quantile(0.5), one.Latency.Quantile(0.99), one.Latency.Quantile(0.999), one.Errors)
	return at
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
