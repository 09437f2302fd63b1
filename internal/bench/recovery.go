package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

const recoveries = 7 // of each kind

// measureRecoveries lets tokens fail and takes the time until the next signature, over that of a signature in good times.
func measureRecoveries(tb *oracle.Program) {
	for _, v := range []struct {
		name      string
		isolation hsm.Isolation
		promised  time.Duration
		fail      func(f *softhsm.Faulty, p *plant, upset <-chan struct{}) // returns at the moment from which time is taken
	}{
		{"dead-session", hsm.InProcess, time.Millisecond, func(f *softhsm.Faulty, _ *plant, _ <-chan struct{}) {
			f.Set("call C_Sign at=1 return=0xB3")
		}},
		{"lost-login", hsm.InProcess, 50 * time.Millisecond, func(f *softhsm.Faulty, _ *plant, _ <-chan struct{}) { f.KillSessions() }},
		{"replug", hsm.InProcess, time.Second, unplug},
		{"dead-session-worker", hsm.Separate, time.Millisecond, func(f *softhsm.Faulty, _ *plant, _ <-chan struct{}) {
			f.Set("call C_Sign at=1 return=0xB3")
		}},
		{"lost-login-worker", hsm.Separate, 50 * time.Millisecond,
			func(f *softhsm.Faulty, _ *plant, _ <-chan struct{}) { f.KillSessions() }},
		{"replug-worker", hsm.Separate, time.Second, unplug},
		{"crash", hsm.Separate, 2 * time.Second, dying("abort")},
		{"hang", hsm.Separate, 2 * time.Second, dying("hang")},
	} {
		var took []time.Duration
		for range recoveries {
			took = append(took, recoverOnce(tb, v.isolation, v.fail))
		}
		middle, worst := percentile(took, 0.5), percentile(took, 1)
		fmt.Printf("ratio hsm/recovery-%s %.1f (promised %v, median %v, slowest of %d %v)\n", v.name,
			float64(v.promised)/float64(worst), v.promised, middle.Round(10*time.Microsecond), recoveries, worst.Round(10*time.Microsecond))
	}
}

func unplug(f *softhsm.Faulty, p *plant, _ <-chan struct{}) {
	f.Set("unplug")
	for hsm.KindOf(p.once()) != hsm.Away {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(700 * time.Millisecond) // by then it is asked for as rarely as it will be
	f.Set()
}

// dying has the module's process end, or hang until it is ended. The next one shall not do the same.
func dying(how string) func(*softhsm.Faulty, *plant, <-chan struct{}) {
	return func(f *softhsm.Faulty, _ *plant, upset <-chan struct{}) {
		f.Set("call C_Sign at=1 " + how)
		go func() {
			<-upset
			f.Set()
		}()
	}
}

func (p *plant) once() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.submit(ctx)
}

// recoverOnce uses a scheduler of its own: a module that was restarted a moment ago is not restarted at once.
func recoverOnce(tb *oracle.Program, isolation hsm.Isolation, fail func(*softhsm.Faulty, *plant, <-chan struct{})) time.Duration {
	f := softhsm.NewFaulty(tb)
	generate(tb, f.Token)
	upset := make(chan struct{})
	var ready, told atomic.Bool
	p := startPlant(tb, f.Token, hsmKey, hsm.TokenConfig{Isolation: isolation}, &hsm.Trace{State: func(_ string, s hsm.State, _ error) {
		if s != hsm.Ready && ready.Load() && !told.Swap(true) {
			close(upset)
		}
	}})
	defer p.close()
	var usual []time.Duration
	for range 20 {
		start := time.Now()
		must(p.once())
		usual = append(usual, time.Since(start))
	}
	ready.Store(true)
	fail(f, p, upset)
	start := time.Now()
	for p.once() != nil {
		time.Sleep(500 * time.Microsecond)
	}
	took := time.Since(start) - percentile(usual, 0.5)
	must(p.once())
	return max(took, 1)
}
