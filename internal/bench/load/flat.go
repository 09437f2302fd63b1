package main

import (
	"fmt"
	"slices"
)

// quantity is one thing that must not grow, and how much of growth is no growth: what is measured is not still by itself.
type quantity struct {
	name, short, unit string // short: in a chart
	of                func(sample) float64
	share             float64 // of its level
	floor             float64 // at least so much
	// It comes and goes with the work, goroutines with calls under way and the heap with garbage: its low points count, which what is
	// lost for ever raises.
	sawtooth bool
	// Of what comes and goes by itself: what it never exceeds. nil: it must not grow.
	limit func(sample) float64
}

// quantities are what a sample holds.
var quantities = []quantity{
	{"memory of the daemon (resident)", "daemon", "MiB", func(s sample) float64 { return s.Resident }, 0.08, 6, false, nil},
	{"memory of the module's processes (resident)", "module's processes", "MiB",
		func(s sample) float64 { return s.ModuleResident }, 0.05, 2, false, nil},
	{"memory of all (proportional)", "all, shared once", "MiB", func(s sample) float64 { return s.Proportional }, 0.08, 6, false, nil},
	{"Go heap in use", "Go heap", "MiB", func(s sample) float64 { return s.Heap }, 0.15, 6, true, nil},
	{"descriptors of the daemon", "descriptors", "", func(s sample) float64 { return s.Descriptors }, 0.05, 3, false, nil},
	{"descriptors of the module's processes", "module's descriptors", "",
		func(s sample) float64 { return s.ModuleDescriptors }, 0.05, 2, false, nil},
	{"goroutines", "goroutines", "", func(s sample) float64 { return s.Goroutines }, 0.08, 6, true, nil},
	{"sessions on the token", "sessions", "", func(s sample) float64 { return s.Sessions }, 0, 0, false,
		func(s sample) float64 { return s.SessionsLimit }},
	{"processes of modules", "module's processes", "", func(s sample) float64 { return s.Processes }, 0, 0.5, false, nil},
}

// verdict is what the slope of a quantity says.
type verdict struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit,omitempty"`
	Level  float64 `json:"level"`  // its median
	Growth float64 `json:"growth"` // from the first to the last sample that counts
	Margin float64 `json:"margin"` // of growth that is borne
	Flat   bool    `json:"flat"`
}

func (v verdict) String() string {
	return fmt.Sprintf("%s: grew by %.2f %s at a level of %.2f; %.2f are borne", v.Name, v.Growth, v.Unit, v.Level, v.Margin)
}

// warmup is the share of a run's samples that do not count: caches fill, sessions open, the heap finds its size.
const warmup = 0.4

// judge tells of each quantity whether it stayed, from the samples after the first warmup of the run.
func judge(samples []sample) (list []verdict) {
	kept := samples[int(warmup*float64(len(samples))):]
	for _, q := range quantities {
		var x, y []float64
		for _, s := range kept {
			x, y = append(x, s.At), append(y, q.of(s))
		}
		if q.sawtooth {
			x, y = lows(x, y)
		}
		v := verdict{Name: q.name, Unit: q.unit}
		if len(x) < 4 {
			list = append(list, v) // not enough to say so
			continue
		}
		v.Level = middle(y)
		// A slow leak shows in the slope, something lost once in the levels before and after.
		third := (len(y) + 2) / 3
		v.Growth = max(slope(x, y)*(x[len(x)-1]-x[0]), middle(y[len(y)-third:])-middle(y[:third]))
		v.Margin = max(q.floor, q.share*v.Level)
		v.Flat = v.Growth <= v.Margin
		if q.limit != nil {
			v.Growth, v.Flat = 0, true
			for i, s := range kept {
				v.Margin = q.limit(s)
				v.Growth = max(v.Growth, y[i]-y[0])
				v.Flat = v.Flat && y[i] <= v.Margin
			}
		}
		list = append(list, v)
	}
	return list
}

// lows keeps the least of each five.
func lows(x, y []float64) (a, b []float64) {
	for i := 0; i+5 <= len(y); i += 5 {
		at := i
		for j := i; j < i+5; j++ {
			if y[j] < y[at] {
				at = j
			}
		}
		a, b = append(a, x[at]), append(b, y[at])
	}
	return a, b
}

// slope is that of Theil and Sen: the median of the slopes between all pairs, which a few strays do not move.
func slope(x, y []float64) float64 {
	var all []float64
	for i := range x {
		for j := i + 1; j < len(x); j++ {
			if x[j] > x[i] {
				all = append(all, (y[j]-y[i])/(x[j]-x[i]))
			}
		}
	}
	return middle(all)
}

func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}
