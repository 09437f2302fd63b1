package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// files are the page and its charts, by their names.
func files(r *results, page string) map[string][]byte {
	dir := strings.TrimSuffix(page, filepath.Ext(page))
	out := map[string][]byte{}
	for name, svg := range charts(r) {
		out[filepath.Join(dir, name+".svg")] = svg
	}
	out[page] = []byte(render(r, filepath.Base(dir)))
	return out
}

// writer makes a page.
type writer struct {
	strings.Builder
	dir string // of the charts, from the page
}

func (w *writer) say(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

func (w *writer) picture(name string) { w.say("\n![%s](%s/%s.svg)", name, w.dir, name) }

// table begins one; columns that begin with ":" are of words.
func (w *writer) table(columns ...string) {
	var marks []string
	for i, c := range columns {
		if strings.HasPrefix(c, ":") {
			columns[i] = c[1:]
			marks = append(marks, "---")
		} else {
			marks = append(marks, "---:")
		}
	}
	w.say("\n| %s |\n| %s |", strings.Join(columns, " | "), strings.Join(marks, " | "))
}

func (w *writer) row(cells ...string) { w.say("| %s |", strings.Join(cells, " | ")) }

func render(r *results, dir string) string {
	w := &writer{dir: dir}
	w.say(`# Load

`+"`make load`"+` starts epovd as users do: a process of its own, its module in another, mutual TLS on loopback, with an audit log, and
SoftHSM as the token. What follows is what came of it, from `+"`bench/load.json`"+`; nothing here is typed. Client and daemon share the
processors, and SoftHSM computes on them too: a token of hardware leaves them to the rest.

Measured %s, in %.0f minutes, on %s.`, r.Begun.Format("2006-01-02"), r.Took/60, r.Machine)
	if r.Busy >= 1 {
		w.say("\n**The machine was not at rest: %.0f threads of other programs wanted a processor when it began.** Rates and latencies have that in them;\nprocessor time less so.", r.Busy)
	}
	if r.Short {
		w.say("\n**This is the short form: the figures are of single short rounds, and only show that it works.**")
	}
	w.say(`
    make load                 # all of it: some twelve minutes, and this page
    make load SOAK=2h         # with a longer soak
    make load-check           # a minute, and no page; fails as the soak does`)
	w.throughput(r)
	w.rates(&r.Knee)
	w.stages(r)
	w.soak(&r.Soak)
	return w.String()
}

func (w *writer) throughput(r *results) {
	w.say(`
## Throughput

Callers ask anew when they have their answers, as many at once as the tables say, over at most four connections. Processor time is for
one call, in microseconds: of the daemon, of its module's process with SoftHSM in it, and of the client, which builds its requests and
checks what it gets. A loop in C that does nothing but sign makes %s signatures in a second on the same token and the same processors.

**By sessions.** Messages of 10 KB, profile smev3, four callers to a session. SoftHSM computes, and more sessions than processors do not
help it; a token that takes %s longer for each signature, as hardware does, is filled by as many sessions as it takes.`, number(r.Bare), slowToken)
	w.table("sessions", "on SoftHSM, a second", "daemon µs", "module µs", "client µs", "with "+slowToken.String()+" each, a second", "of what its sessions can")
	for _, c := range r.Throughput {
		if c.Table != bySessions || c.Delay > 0 {
			continue
		}
		for _, d := range r.Throughput {
			if d.Table == bySessions && d.Delay > 0 && d.Sessions == c.Sessions {
				w.row(strconv.Itoa(c.Sessions), number(c.PerSecond), number(c.Daemon), number(c.Module), number(c.Client), number(d.PerSecond),
					fmt.Sprintf("%.0f %%", 100*d.PerSecond/(float64(d.Sessions)*1000/d.Delay)))
			}
		}
	}
	w.picture("sessions")
	w.say("\n**By profile and size.** %d callers, %d sessions.", usualCallers, usualSessionsOf(r, bySize))
	w.table(":profile", "octets", "a second", "MB in a second", "daemon µs", "module µs", "client µs")
	for _, c := range r.Throughput {
		if c.Table == bySize {
			size, rate := octets(c.Octets), number(c.PerSecond*float64(c.Octets)/1e6)
			if c.Operation == "digest" {
				size, rate = "", ""
			}
			w.row(titles[c.Operation], size, number(c.PerSecond), rate, number(c.Daemon), number(c.Module), number(c.Client))
		}
	}
	w.picture("size")
	w.say("\n**By callers at once.** 10 KB, %d sessions.", usualSessionsOf(r, byCallers))
	w.table(":profile", "callers", "a second", "daemon µs", "module µs", "client µs")
	for _, c := range r.Throughput {
		if c.Table == byCallers {
			w.row(titles[c.Operation], strconv.Itoa(c.Callers), number(c.PerSecond), number(c.Daemon), number(c.Module), number(c.Client))
		}
	}
	w.picture("callers")
	if len(r.Audit) == 2 {
		w.say("\nWithout the audit log %d callers get %s messages of 10 KB signed in a second, with it %s.", usualCallers, number(r.Audit[1].PerSecond),
			number(r.Audit[0].PerSecond))
	}
}

func usualSessionsOf(r *results, table string) int {
	for _, c := range r.Throughput {
		if c.Table == table {
			return c.Sessions
		}
	}
	return 0
}

func (w *writer) rates(k *rates) {
	w.say(`
## The knee

Calls are made at random moments that do not depend on the answers, and latency counts from the moment a call was due, so that a daemon
that falls behind cannot hide it. The knee is the highest rate of which 99 %% are answered well with a p99 of at most %.0f ms: **%s messages
of %s in a second** (profile %s, %d sessions). Callers wait %.0f ms.
Busy is the share of the processors that daemon, module and client took together; the kernel's own work for disk and network comes on top.`, k.Bound, number(k.Knee), octets(k.Octets), titles[k.Operation], k.Sessions, k.Deadline)
	w.table(":rate", "asked, a second", "answered well", "p50 ms", "p99 ms", "p99.9 ms", "slowest ms", "busy", "not answered well", ":of these")
	row := func(s step, without string) {
		w.row(fmt.Sprintf("%.0f %% of the knee%s", 100*s.Share, without), number(s.Rate), number(s.Goodput), number(s.P50), number(s.P99),
			number(s.P999), number(s.Most), fmt.Sprintf("%.0f %%", 100*s.Busy),
			fmt.Sprintf("%.2f %%", 100*float64(s.Asked-s.Good)/float64(max(s.Asked, 1))), counted(s.Errors))
	}
	for _, s := range k.Runs {
		row(s, "")
	}
	for _, s := range k.Silent {
		row(s, ", no audit log")
	}
	w.say("\nAn answer waits until its record is durable: for its group, which is held open for up to 3 ms where records come fast, and for the disk,\nwhose stalls show in the p99.")
	w.picture("rates")
}

func counted(errs map[string]int64) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		list = append(list, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "|", "/"), errs[name]))
	}
	return strings.Join(list, ", ")
}

func (w *writer) stages(r *results) {
	w.say(`
## Where the time of a signature goes

Means in microseconds of messages of 10 KB. Queue, token and verify are what the answers say, prepare, complete, audit and the whole call
what the daemon's traces say; rpc is what the caller measures beyond the call: its own work, TLS, gRPC and the way there and back. Call is
what the daemon does besides the steps: who is calling, limits, repeated requests, the log. Token has the way to the module's process in it.
With one caller most of the time is waiting for other threads and processes to wake; processor time tells what a signature costs.`)
	columns := append([]string{":profile", ":load", "all"}, stageNames...)
	w.table(append(columns, "daemon's processor", "module's", "client's")...)
	for _, s := range r.Stages {
		cells := []string{titles[s.Operation], s.Setting, number(s.Total)}
		for _, name := range stageNames {
			cells = append(cells, number(s.Parts[name]))
		}
		w.row(append(cells, number(s.Daemon), number(s.Module), number(s.Client))...)
	}
	w.picture("stages")
}

func (w *writer) soak(k *soak) {
	w.say(`
## The soak

For %s the daemon was asked %s times in a second, %.0f %% of the knee of this mixture (%s), in turns for: %s; messages of %s. Of %d calls
%d were answered well%s; p50 %s ms, p99 %s ms, p99.9 %s ms. Beside them %d new signatures were made and verified one by one, over a new
connection each: %d were wrong.

Memory, descriptors, goroutines, sessions and processes are looked at from outside, in /proc and in the daemon's metrics, %d times. The first
%.0f %% of the run do not count: caches fill, and the heap finds its size; answers are remembered for 5 s instead of five minutes, so that
these are full by then. After that nothing may grow by more than the margin: by the slope
through all samples (Theil and Sen), or from the first third to the last. Of the heap and of goroutines, which come and go with
garbage and with calls under way, the low points count: what is lost for ever raises them. Sessions come and go, and may
never be more than are allowed.`, lasted(k.Seconds), number(k.Rate), 100*k.Rate/k.Knee, number(k.Knee), strings.Join(k.Mixture, ", "),
		octets(k.Octets), k.Calls, k.Good, not(k.Errors), number(k.P50), number(k.P99), number(k.P999), k.Checked, k.Wrong, len(k.Samples), 100*warmup)
	w.table(":what", "level", "grew by", "borne", ":verdict")
	for _, v := range k.Verdicts {
		word := "flat"
		if !v.Flat {
			word = "**grows**"
		}
		unit := ""
		if v.Unit != "" {
			unit = " " + v.Unit
		}
		w.row(v.Name, fmt.Sprintf("%.1f%s", v.Level, unit), fmt.Sprintf("%.2f%s", v.Growth, unit), fmt.Sprintf("%.2f%s", v.Margin, unit), word)
	}
	if signatures := float64(k.Good) * (1 - warmup) * float64(len(signing)) / float64(len(mixture)); signatures > 0 {
		for _, v := range k.Verdicts {
			if v.Name == quantities[0].name {
				w.say("\nThe margin of the daemon's memory is some %.0f octets for each of the %.0f signatures that counted: a leak of more would have shown.",
					v.Margin*(1<<20)/signatures, signatures)
			}
		}
	}
	w.picture("memory")
	w.picture("counts")
}

func not(errs map[string]int64) string {
	if len(errs) == 0 {
		return ""
	}
	return ", the others not: " + counted(errs)
}

func lasted(seconds float64) string {
	if seconds < 120 {
		return fmt.Sprintf("%.0f seconds", seconds)
	}
	return fmt.Sprintf("%.0f minutes", seconds/60)
}

func octets(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d KB", n>>10)
}

// number writes three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
