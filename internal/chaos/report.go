package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/reliability/runs"
)

// report is what came of a phase.
type report struct {
	config
	signed, wrong, lost int
	verified, sampled   int // by gost.Verify; by OpenSSL as well
	refused             map[hsm.Kind]int
	needless            map[hsm.Kind]int // of those: while one token was well and the caller had more than a second
	example             []string         // of these
	met, replaced       int              // faults; keys that were put into service again
	locked              bool
	recoveries          []recovery
	tries               []spent
	leaks               []string
	strays              int // what must not happen, and its first examples
	stray               []string
	closing, took       time.Duration
}

type recovery struct {
	class class
	runs.Recovery
}

// spent is what the PIN of a token went through.
type spent struct {
	token  string
	wrong  int // tries with a PIN that was not right
	logins int // calls of C_Login
	locked bool
}

// faults are the promises that were not kept. How long a recovery takes is not among them: machines have other work.
func (r *report) faults() (list []string) {
	fault := func(is bool, format string, args ...any) {
		if is {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	fault(r.wrong > 0, "%d wrong signatures", r.wrong)
	fault(r.lost > 0, "%d requests lost", r.lost)
	fault(len(r.leaks) > 0, "left behind: %v", r.leaks)
	fault(r.strays > 0, "%d things that must not happen", r.strays)
	fault(r.signed == 0, "nothing was signed")
	unhelped := total(r.needless) - r.needless[hsm.Busy] - r.needless[hsm.Expired] // those two are about time, which others take
	fault(unhelped > 0, "%d requests refused that the other token could have signed", unhelped)
	for _, t := range r.tries {
		// What is wrong is tried once; where the token only says that it is locked, not at all.
		most := map[bool]int{true: 1}[t.locked && r.isolation == hsm.Separate]
		fault(t.wrong != most, "token %s: %d wrong PINs, not %d", t.token, t.wrong, most)
	}
	return list
}

func (r *report) print(w io.Writer) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("phase %s, seed %d, %v", r.phase, r.seed, r.took.Round(time.Second/10))
	line("  asked %d  signed %d  refused %d  wrong %d  lost %d", r.n, r.signed, total(r.refused), r.wrong, r.lost)
	line("  verified by gost %d, by OpenSSL %d; faults %d; keys taken into service again %d", r.verified, r.sampled, r.met, r.replaced)
	for _, kind := range slices.Sorted(maps.Keys(r.refused)) {
		line("  refused: %-16v %6d   of these with a token that was well and more than a second's time: %d", kind, r.refused[kind],
			r.needless[kind])
	}
	for _, e := range r.example {
		line("    such as: %s", e)
	}
	line("  back to the next good signature                    times     median    slowest   promised")
	for _, v := range r.sorted() {
		within := "-"
		if v.Promised > 0 {
			within = fmt.Sprintf("%v, later %d", v.Promised, v.Late())
		}
		line("    %-48s %6d %10v %10v   %s", v.Fault, v.Times(), round(v.Median()), round(v.Slowest()), within)
	}
	for _, t := range r.tries {
		line("  token %s: %d PIN tries spent, %d logins%s", t.token, t.wrong, t.logins,
			map[bool]string{true: "; it waits for an operator"}[t.locked])
	}
	line("  closed in %v; left behind: %d %v", round(r.closing), len(r.leaks), r.leaks)
	for _, s := range r.stray {
		line("  MUST NOT BE: %s", s)
	}
	for _, f := range r.faults() {
		line("  NOT AS PROMISED: %s", f)
	}
}

// sorted gives the recoveries by what is promised for them.
func (r *report) sorted() []recovery {
	return slices.SortedFunc(slices.Values(r.recoveries), func(a, b recovery) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.Fault, b.Fault))
	})
}

// run is the report for the page about reliability.
func (r *report) run(command string) runs.Run {
	name, lockedOut := "modules in processes of their own", "PIN changed by somebody else"
	if r.isolation == hsm.InProcess {
		name, lockedOut = "modules in the scheduler's process", "token says that its PIN is locked"
	}
	out := runs.Run{
		Name: name,
		About: fmt.Sprintf("Two tokens hold the same keys; %d clients with %d callers ask, with deadlines from 20 ms to %d s.",
			len(clients), callers(), int(longest.Seconds())),
		Command: command, Took: r.took,
		Asked: r.n, Signed: r.signed, Refused: map[string]int{}, Wrong: r.wrong, Lost: r.lost,
		Until:  "a fault's end and the next good signature of that token, behind whoever waits for it",
		Broken: r.faults(),
	}
	for kind, n := range r.refused {
		out.Refused[kind.String()] += n
	}
	for _, v := range r.sorted() {
		out.Recoveries = append(out.Recoveries, v.Recovery)
	}
	wrong := 0
	for _, t := range r.tries {
		wrong += t.wrong
	}
	if r.locked {
		out.Recoveries = append(out.Recoveries, runs.Recovery{Fault: lockedOut, Final: 1})
	}
	count := func(what string, n int) {
		out.Figures = append(out.Figures, runs.Figure{What: what, Value: fmt.Sprint(n)})
	}
	count("signatures verified by plain code, those that tell whether a token is back included", r.verified)
	count("of these by OpenSSL as well", r.sampled)
	count("refused though a token was well and there was more than a second, for want of time", total(r.needless))
	count("keys proved anew after a corrupted signature", r.replaced)
	count("tries with a PIN that was no longer right", wrong)
	count("of goroutines, descriptors and processes, kinds of which some were left behind", len(r.leaks))
	return out
}

func callers() (n int) {
	for _, c := range clients {
		n += c.callers
	}
	return n
}

func total(counts map[hsm.Kind]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
