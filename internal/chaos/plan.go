package main

import (
	mathrand "math/rand/v2"
	"time"

	"github.com/epov-signer/epov/hsm"
)

// plan is what happens, by the seed.
type plan struct{ events []event }

type event struct {
	calm, hold time.Duration
	strikes    []strike
	last       bool // the target is locked out
}

type strike struct {
	target, fault int
	lines         []string
}

// perEvent is how many signatures are asked for during an event, unless there would be too few events for all faults.
const perEvent = 400

func newPlan(c config) plan {
	r := mathrand.New(mathrand.NewPCG(c.seed, uint64(c.isolation)))
	var possible []int
	for i, f := range faults {
		if c.isolation == hsm.Separate || !f.separate {
			possible = append(possible, i)
		}
	}
	var p plan
	var order []int
	next := func() int {
		if len(order) == 0 {
			order = append(order, possible...)
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		f := order[0]
		order = order[1:]
		return f
	}
	millis := func(from, to int) time.Duration { return time.Duration(from+r.IntN(to-from+1)) * time.Millisecond }
	for range max(c.n/perEvent, len(possible)) {
		e := event{calm: millis(5, 60), hold: millis(20, 200)}
		first := strike{target: r.IntN(2), fault: next()}
		e.strikes = []strike{first}
		if r.IntN(5) == 0 { // to both at once
			e.strikes = append(e.strikes, strike{target: 1 - first.target, fault: next()})
		}
		for i, s := range e.strikes {
			e.strikes[i].lines = faults[s.fault].lines(r)
		}
		p.events = append(p.events, e)
	}
	// One token is locked out towards the end; the other goes on, with the faults that come.
	at := len(p.events) - max(len(p.events)/20, 1)
	p.events[at] = event{calm: millis(5, 60), hold: millis(20, 200), last: true, strikes: []strike{{target: r.IntN(2)}}}
	return p
}
