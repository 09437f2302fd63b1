// Command reliability writes docs/reliability.md from what the chaos programme and the test of three nodes have noted, see
// package runs:
//
//	reliability RUNS docs/reliability.md
//
// It writes nothing when a run is missing or one is there that it does not know. It ends with 1 as well, the page written,
// when a signature was wrong, a request was lost or another promise was broken.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/internal/reliability/runs"
)

// part is a chapter of the page, with the names of its runs.
type part struct {
	title, about string
	names        []string
}

var parts = []part{
	{"Tokens that fail", "A schedule that follows from the seed alone lets tokens fail in one way after the other while signatures are\n" +
		"asked for; which request meets which fault depends on the machine as well. A request may be signed, or refused with a reason\n" +
		"that what was happening explains; it is lost when it has no answer 2 s after its deadline.",
		[]string{"modules in processes of their own", "modules in the scheduler's process"}},
	{"Nodes that die", "In network namespaces, which are hosts with addresses of their own, where they can be made, and on three addresses\n" +
		"of the loopback. No caller may see an error: a call that fails counts as lost, whatever it says.",
		[]string{"throughput scales", "a retried id gives the same bytes", "a node dies", "a rolling restart drops nothing"}},
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: reliability RUNS DOCUMENT")
	}
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail("%v", err)
	}
	list, err := runs.Parse(data)
	if err != nil {
		fail("%s: %v", os.Args[1], err)
	}
	page, broken, err := render(list)
	if err != nil {
		fail("%v", err)
	}
	if err := os.WriteFile(os.Args[2], page, 0o644); err != nil {
		fail("%v", err)
	}
	if len(broken) > 0 {
		fail("not as promised:\n%s", strings.Join(broken, "\n"))
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "reliability: "+format+"\n", args...)
	os.Exit(1)
}

// render gives the page, and the promises that were not kept.
func render(list []runs.Run) (page []byte, broken []string, err error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, head, runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	var sum runs.Run
	faults := 0
	b.WriteString("| run | faults | asked | signed | refused | wrong | lost | slowest recovery | took |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	var details bytes.Buffer
	for _, p := range parts {
		fmt.Fprintf(&details, "\n## %s\n\n%s\n", p.title, p.about)
		for _, name := range p.names {
			found := false
			for _, r := range list {
				if r.Name != name {
					continue
				}
				found = true
				row(&b, title(r), r)
				detail(&details, r)
				broken = append(broken, unkept(r)...)
				sum.Asked, sum.Signed, sum.Wrong, sum.Lost = sum.Asked+r.Asked, sum.Signed+r.Signed, sum.Wrong+r.Wrong, sum.Lost+r.Lost
				sum.Refused = map[string]int{"": refused(sum) + refused(r)}
				sum.Recoveries, sum.Took = append(sum.Recoveries, r.Recoveries...), sum.Took+r.Took
				faults += injected(r)
			}
			if !found {
				return nil, nil, fmt.Errorf("no run of %q: it was skipped, or did not come to its end", name)
			}
		}
	}
	for _, r := range list {
		if !slices.ContainsFunc(parts, func(p part) bool { return slices.Contains(p.names, r.Name) }) {
			return nil, nil, fmt.Errorf("a run of %q, which has no place", r.Name)
		}
	}
	row(&b, "**together**", sum)
	if len(broken) == 0 {
		fmt.Fprintf(&b, shows, faults, sum.Asked, sum.Signed)
	} else {
		b.WriteString("\n## Not as promised\n\n")
		for _, s := range broken {
			fmt.Fprintf(&b, "- %s\n", s)
		}
	}
	b.WriteString(limits)
	b.Write(details.Bytes())
	return b.Bytes(), broken, nil
}

// unkept is what was not as promised. A request that nobody accounts for is as bad as a lost one.
func unkept(r runs.Run) (list []string) {
	say := func(is bool, format string, args ...any) {
		if is {
			list = append(list, title(r)+": "+fmt.Sprintf(format, args...))
		}
	}
	say(r.Wrong > 0, "%d signatures wrong", r.Wrong)
	say(r.Lost > 0, "%d requests lost", r.Lost)
	missing := r.Asked - r.Signed - refused(r) - r.Lost
	say(missing > 0, "%d requests unaccounted for", missing)
	say(r.Signed == 0, "nothing was signed")
	for _, s := range r.Broken {
		say(true, "%s", s)
	}
	return list
}

func title(r runs.Run) string {
	if r.Where == "" {
		return r.Name
	}
	return r.Name + " (" + r.Where + ")"
}

func row(b *bytes.Buffer, name string, r runs.Run) {
	var slowest time.Duration
	for _, v := range r.Recoveries {
		slowest = max(slowest, v.Slowest())
	}
	fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d | %d | %s | %v |\n", name, injected(r), r.Asked, r.Signed, refused(r), r.Wrong, r.Lost,
		span(slowest), r.Took.Round(100*time.Millisecond))
}

func detail(b *bytes.Buffer, r runs.Run) {
	heading := title(r)
	fmt.Fprintf(b, "\n### %s%s\n", strings.ToUpper(heading[:1]), heading[1:])
	if said := fmt.Sprintf("\n%s Again with `%s`.\n", r.About, r.Command); !bytes.Contains(b.Bytes(), []byte(said)) { // once is enough
		b.WriteString(said)
	}
	if len(r.Figures)+len(r.Refused) > 0 {
		b.WriteString("\n| | |\n| --- | ---: |\n")
	}
	for _, reason := range slices.SortedFunc(maps.Keys(r.Refused), func(x, y string) int {
		return cmp.Or(cmp.Compare(r.Refused[y], r.Refused[x]), cmp.Compare(x, y))
	}) {
		fmt.Fprintf(b, "| refused: %s | %d |\n", reason, r.Refused[reason])
	}
	for _, f := range r.Figures {
		fmt.Fprintf(b, "| %s | %s |\n", f.What, f.Value)
	}
	if len(r.Recoveries) == 0 {
		return
	}
	fmt.Fprintf(b, "\nThe times are those between %s.\n\n", r.Until)
	b.WriteString("| fault | times | median | slowest | promised | later |\n| --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, v := range r.Recoveries {
		promised, late := "–", "–"
		if v.Promised > 0 {
			promised, late = v.Promised.String(), fmt.Sprint(v.Late())
		}
		fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s |\n", v.Fault, v.Times(), span(v.Median()), span(v.Slowest()), promised, late)
	}
}

func refused(r runs.Run) (n int) {
	for _, c := range r.Refused {
		n += c
	}
	return n
}

func injected(r runs.Run) (n int) {
	for _, v := range r.Recoveries {
		n += v.Times()
	}
	return n
}

// span writes a time as exactly as it is worth; a dash where there is none.
func span(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d > 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

const head = `# Reliability

Written by ` + "`make reliability`" + ` from what the runs themselves have noted; never typed. The machine: %d processors, %s,
%s/%s; it may have had other work. *Signed* counts the requests whose caller got a signature, *refused* those whose caller
was told why not, *wrong* the signatures that do not verify, *lost* the requests left without an answer.

`

const shows = `
What this shows: under %d injected faults each of %d requests had an answer, and each of the %d signatures given out was right.
`

const limits = `
What it does not show: that there are no other faults. The tokens are SoftHSM behind a module that injects what fails; those of
a maker may fail in further ways. The nodes and their network are one machine, and no clock, disk or switch fails. Signatures
given out while tokens fail are verified by code that the scheduler does not use and, in part, by OpenSSL; documents of the
nodes by the nodes. How long a recovery takes is told and no reason to fail: *later* counts those that took longer than is
promised for an idle machine.
`
