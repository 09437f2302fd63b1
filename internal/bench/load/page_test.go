package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

// sampleResults are those of a daemon that does a thousand times less at each step of a table.
func sampleResults() *results {
	r := &results{Begun: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 600, Machine: "a processor", Busy: 12.4, Bare: 20000}
	for _, n := range []int{1, 2} {
		r.Throughput = append(r.Throughput,
			cell{Table: bySessions, Operation: load.SignXML, Octets: usualSize, Sessions: n, Callers: 4 * n, PerSecond: 1000, Daemon: 300},
			cell{Table: bySessions, Operation: load.SignXML, Octets: usualSize, Sessions: n, Callers: 4 * n, PerSecond: 95 * float64(n), Delay: 10},
			cell{Table: bySize, Operation: load.SignXML, Octets: 2048 << (9 * (n - 1)), Sessions: 4, Callers: 16, PerSecond: 777 / float64(n)},
			cell{Table: byCallers, Operation: load.Digest, Octets: usualSize, Sessions: 4, Callers: n, PerSecond: 3000})
	}
	r.Throughput = append(r.Throughput, cell{Table: bySize, Operation: load.Digest, Octets: 2048, Sessions: 4, Callers: 16, PerSecond: 4321})
	r.Audit = []cell{{PerSecond: 900}, {PerSecond: 1100}}
	r.Knee = rates{Operation: load.SignXML, Octets: usualSize, Sessions: 4, Bound: 100, Deadline: 500, Knee: 640, Search: []step{
		{Rate: 320, P50: 1, P99: 3, P999: 4}, {Rate: 1280, P50: 90, P99: 400, P999: 499},
	}, Runs: []step{{Share: 0.5, Rate: 320, Asked: 1000, Good: 1000}, {Share: 1.2, Rate: 768, Asked: 1000, Good: 900, P999: 499, Errors: map[string]int64{"OVER|LOAD": 100}}},
		Silent: []step{{Share: 0.5, Rate: 320, Asked: 1000, Good: 1000, Busy: 0.25}}}
	r.Stages = []stage{{Operation: load.SignXML, Setting: "one caller", Total: 100, Parts: map[string]float64{"prepare": 40, "rpc": 60}}}
	for i := range 50 {
		r.Soak.Samples = append(r.Soak.Samples, sample{At: float64(i), Resident: 60, Heap: 20, Descriptors: 30, Goroutines: 50, Sessions: 4, SessionsLimit: 4, Processes: 2})
	}
	r.Soak.Mixture, r.Soak.Calls, r.Soak.Good, r.Soak.Seconds = []string{"smev3", "digest"}, 1000, 999, 180
	r.Soak.Verdicts = judge(r.Soak.Samples)
	return r
}

func TestPage(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "load.json"), filepath.Join(dir, "load.md")
	if err := sampleResults().write(file); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"write", file, page}); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"check", file, page}); err != nil {
		t.Errorf("what was written just now: %v", err)
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{
		"in 10 minutes, on a processor", "not at rest: 12 threads", "| 2 | 1000 | 300 | 0.00 | 0.00 | 190 | 95 % |", "| smev3 | 1 MB | 388 | 407 |", "| digest |  | 4321 |  |",
		"| digest | 2 | 3000 |", "in a second, with it 900.", "**640 messages\nof 10 KB", "10.00 % | OVER/LOAD 100 |",
		"| smev3 | one caller | 100 | 60.0 | 0.00 | 40.0 |", "For 3 minutes", "| goroutines | 50.0 | 0.00 | 6.00 | flat |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "short form: the") || strings.Contains(text, "%!") {
		t.Errorf("%s", text)
	}
	pictures, _ := filepath.Glob(filepath.Join(dir, "load", "*.svg"))
	for _, name := range pictures {
		if !strings.Contains(text, "(load/"+filepath.Base(name)+")") {
			t.Errorf("%s is not shown", name)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(f)
		for err = nil; err == nil; _, err = d.Token() {
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
	if len(pictures) != strings.Count(text, "](load/") {
		t.Errorf("%d pictures, %d shown", len(pictures), strings.Count(text, "](load/"))
	}
	// A figure that was typed is found out.
	if err := os.WriteFile(page, []byte(strings.Replace(text, "| 4321 |", "| 9321 |", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"check", file, page}); err == nil || !strings.Contains(err.Error(), "not what the results say") {
		t.Errorf("a typed figure: %v", err)
	}
}

func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "load.json")
	for name, spoil := range map[string]func(*results){
		"no throughput": func(r *results) { r.Throughput = nil },
		"no knee":       func(r *results) { r.Knee.Runs = nil },
		"no comparison": func(r *results) { r.Knee.Silent = nil },
		"no stages":     func(r *results) { r.Stages = nil },
		"no soak":       func(r *results) { r.Soak.Samples = nil },
	} {
		r := sampleResults()
		spoil(r)
		if err := r.write(file); err != nil {
			t.Fatal(err)
		}
		if _, err := read(file); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	data, _ := json.Marshal(sampleResults())
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), `"begun"`, `"began"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(file); err == nil {
		t.Error("an unknown field is taken")
	}
}

// TestPublished: the page in docs is what its results say. Nobody types into it.
func TestPublished(t *testing.T) {
	if err := run([]string{"check", "../../../bench/load.json", "../../../docs/load.md"}); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"write"}, {"polish", "a", "b"}, {"measure", "-soak", "1s", "a", "b"}, {"measure", "-soak", "25h", "a", "b"}, {"write", "absent", "b"}} {
		if run(args) == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
