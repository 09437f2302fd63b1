package main

import (
	"os"
	"strings"
	"testing"

	"github.com/epov-signer/epov/hsm"
)

func TestMain(m *testing.M) {
	hsm.WorkerMain()
	os.Exit(m.Run())
}

// A bounded run: every fault once on each host.
func TestChaos(t *testing.T) {
	for _, c := range []config{
		{phase: "separate", isolation: hsm.Separate, n: 2400}, {phase: "in-process", isolation: hsm.InProcess, n: 1600},
	} {
		t.Run(c.phase, func(t *testing.T) {
			c.seed = 1
			if testing.Short() {
				c.n /= 4
			}
			r := run(t, c)
			var text strings.Builder
			r.print(&text)
			t.Log(text.String())
			for _, f := range r.faults() {
				t.Error(f)
			}
			page, faults := r.run("again"), 0
			for _, v := range page.Recoveries {
				faults += v.Times()
			}
			if page.Asked != c.n || page.Signed+total(r.refused) != c.n || faults != r.met+1 { // and the one that locks out
				t.Errorf("the page is told of %d asked, %d signed, %d faults: %+v", page.Asked, page.Signed, faults, page)
			}
		})
	}
}

// The schedule follows from the seed alone, and holds every fault that its phase can have.
func TestPlan(t *testing.T) {
	text := func(p plan) string {
		var b strings.Builder
		for _, e := range p.events {
			for _, s := range e.strikes {
				b.WriteString(faults[s.fault].name + strings.Join(s.lines, ";") + "\n")
			}
		}
		return b.String()
	}
	c := config{isolation: hsm.Separate, n: 100, seed: 7}
	a := text(newPlan(c))
	if a != text(newPlan(c)) {
		t.Error("one seed gives two schedules")
	}
	if c.seed++; a == text(newPlan(c)) {
		t.Error("two seeds give one schedule")
	}
	c.n = 100000
	all := text(newPlan(c))
	for _, f := range faults {
		if !strings.Contains(all, f.name) {
			t.Errorf("%q does not happen", f.name)
		}
	}
	c.isolation = hsm.InProcess
	for _, e := range newPlan(c).events {
		for _, s := range e.strikes {
			if faults[s.fault].separate && !e.last {
				t.Errorf("%q would take the process down", faults[s.fault].name)
			}
		}
	}
}
