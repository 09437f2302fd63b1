package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

// Names of the tables.
const (
	bySessions = "sessions"
	bySize     = "size"
	byCallers  = "callers"
)

// titles of the operations, as the page has them.
var titles = map[string]string{
	load.SignXML: "smev3", load.SignSMEV2: "smev2", load.SignXAdES: "xades-bes", load.SignCMS: "pkcs7-detached", load.Digest: "digest",
	load.VerifyXML: "verify smev3", load.VerifySMEV2: "verify smev2", load.VerifyXAdES: "verify xades-bes",
	load.VerifyCMS: "verify pkcs7-detached",
}

// signing are the operations that sign, in the order of the page.
var signing = []string{load.SignXML, load.SignSMEV2, load.SignXAdES, load.SignCMS, load.Digest}

const (
	usualSize    = 10 << 10
	usualCallers = 16
	slowToken    = 10 * time.Millisecond // what hardware takes for a signature
)

// usualSessions are as many as keep a token of software busy.
func usualSessions() int { return 2 * runtime.GOMAXPROCS(0) }

// throughput goes through the tables so many times as the plan has rounds, so that neighbours meet all settings, and keeps
// the medians.
func throughput(w *world, p plan, r *results) error {
	var wanted []cell
	for _, n := range p.sessions {
		wanted = append(wanted,
			cell{Table: bySessions, Operation: load.SignXML, Octets: usualSize, Sessions: n, Callers: 4 * n},
			cell{Table: bySessions, Operation: load.SignXML, Octets: usualSize, Sessions: n, Callers: 4 * n,
				Delay: milliseconds(slowToken)})
	}
	usual := usualSessions()
	for _, op := range signing {
		for _, size := range p.sizes {
			if op == load.Digest && size != p.sizes[0] {
				continue // it has no message
			}
			wanted = append(wanted, cell{Table: bySize, Operation: op, Octets: size, Sessions: usual, Callers: usualCallers})
		}
	}
	for _, size := range p.sizes {
		wanted = append(wanted, cell{Table: bySize, Operation: load.VerifyXML, Octets: size, Sessions: usual, Callers: usualCallers})
	}
	for _, op := range []string{load.SignXML, load.Digest} {
		for _, n := range p.callers {
			wanted = append(wanted, cell{Table: byCallers, Operation: op, Octets: usualSize, Sessions: usual, Callers: n})
		}
	}
	if err := measureCells(w, p, wanted); err != nil {
		return err
	}
	r.Throughput = wanted
	r.Audit = []cell{
		{Table: "audit", Operation: load.SignXML, Octets: usualSize, Sessions: usual, Callers: usualCallers, Name: "with"},
		{Table: "audit", Operation: load.SignXML, Octets: usualSize, Sessions: usual, Callers: usualCallers, Name: "without"},
	}
	if err := measureCells(w, p, r.Audit); err != nil {
		return err
	}
	s := w.start(setting{sessions: usual})
	token := s.token
	s.Stop()
	var err error
	r.Bare, err = w.bare(token, usual, 2*p.turn)
	return err
}

// measureCells fills the cells in. Daemons are shared by cells that want the same one.
func measureCells(w *world, p plan, cells []cell) error {
	settingOf := func(c cell) setting {
		return setting{sessions: c.Sessions, delay: time.Duration(c.Delay * float64(time.Millisecond)), silent: c.Name == "without"}
	}
	var settings []setting
	for _, c := range cells {
		if s := settingOf(c); !slices.Contains(settings, s) {
			settings = append(settings, s)
		}
	}
	measured := make([][]cell, len(cells))
	for range p.rounds {
		for _, s := range settings {
			running := w.start(s)
			for i, c := range cells {
				if settingOf(c) != s {
					continue
				}
				m, err := running.cell(c, p.turn)
				if err != nil {
					return err
				}
				measured[i] = append(measured[i], m)
			}
			running.Stop()
		}
	}
	for i, list := range measured {
		slices.SortFunc(list, func(a, b cell) int { return cmp.Compare(a.PerSecond, b.PerSecond) })
		cells[i] = list[len(list)/2]
		fmt.Printf("%-8s %-11s %7d octets, %d sessions, %2d callers, delay %v ms %s: %.0f/s\n", cells[i].Table,
			cells[i].Operation, cells[i].Octets,
			cells[i].Sessions, cells[i].Callers, cells[i].Delay, cells[i].Name, cells[i].PerSecond)
	}
	return nil
}

func (s *service) cell(c cell, turn time.Duration) (cell, error) {
	op, end, err := s.caller(c.Operation, c.Octets, min(c.Callers, 4), nil)
	if err != nil {
		return c, err
	}
	defer end()
	m, err := s.busy(op, c.Callers, turn)
	c.PerSecond, c.Daemon, c.Module, c.Client = m.PerSecond, m.Daemon, m.Module, m.Client
	return c, err
}
