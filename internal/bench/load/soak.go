package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

// mixture is what a soak asks for, in turns.
var mixture = append(append([]string{}, signing...), load.VerifyXML, load.VerifySMEV2, load.VerifyXAdES, load.VerifyCMS)

const (
	soakShare = 0.5 // of the knee, so that neighbours on the machine do not make it an overload
	// Answers are remembered for five minutes by default; the soak shall have as many of them from its warm-up on as at its end.
	remembered = "request_ids: {seconds: 5}"
	mostLooks  = 150 // at most
)

// soakRun signs and verifies for a long time and watches the daemon from outside.
func soakRun(w *world, p plan, r *results) error {
	s := w.start(setting{sessions: usualSessions(), extra: remembered})
	defer s.Stop()
	var all []load.Operation
	for _, name := range mixture {
		op, end, err := s.caller(name, usualSize, 2, nil)
		if err != nil {
			return err
		}
		defer end()
		all = append(all, op)
	}
	var turn atomic.Uint64
	mixed := func(ctx context.Context) error { return all[turn.Add(1)%uint64(len(all))](ctx) }
	most, _, err := knee(mixed, p)
	if err != nil {
		return err
	}
	k := &r.Soak
	*k = soak{Knee: most, Rate: soakShare * most, Octets: usualSize}
	for _, name := range mixture {
		k.Mixture = append(k.Mixture, titles[name])
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	watched := make(chan error, 1)
	go func() { watched <- s.watch(ctx, k, max(p.soak/mostLooks, 300*time.Millisecond)) }()
	one := load.Run(context.Background(), mixed, asking(k.Rate, p.soak), nil)
	stop()
	if err := <-watched; err != nil {
		return err
	}
	k.Seconds, k.Calls, k.Good, k.Errors = one.Seconds, one.Asked, one.Good, one.Errors
	h := one.Latency
	k.P50, k.P99, k.P999 = milliseconds(h.Quantile(0.5)), milliseconds(h.Quantile(0.99)), milliseconds(h.Quantile(0.999))
	k.Wrong += one.Errors["other: "+load.ErrNotWhole.Error()]
	k.Verdicts = judge(k.Samples)
	fmt.Printf("soak: %.0f s at %.0f/s of %.0f/s: %d of %d good, %v\n", k.Seconds, k.Rate, k.Knee, k.Good, k.Calls, k.Errors)
	for _, v := range k.Verdicts {
		fmt.Printf("flat %v: %v\n", v.Flat, v)
	}
	return nil
}

// watch takes samples, and between them has new signatures of each kind made and verified.
func (s *service) watch(ctx context.Context, k *soak, every time.Duration) error {
	w := newWatcher(s.PID(), s.metrics)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	verifying := mixture[len(signing):]
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		one, err := w.look()
		if err != nil {
			return err
		}
		k.Samples = append(k.Samples, one)
		_, end, err := s.caller(verifying[i%len(verifying)], usualSize+i, 1, nil) // makes a signature and verifies it
		switch {
		case err == nil:
			k.Checked++
			end()
		case errors.Is(err, load.ErrNotWhole):
			k.Wrong++
		default: // refused under load, which is not counted here
		}
	}
}
