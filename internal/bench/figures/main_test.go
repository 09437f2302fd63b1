package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `goos: linux
ratio canon/new 2.00 (ours, peer)
ratio gost/streebog-one 4.50 [4.20-4.71] (ours 2.5ms, peer 11ms)
ratio canon/libxml2-2k 6.80 (ours 4.9µs, peer 40µs)
ratio hsm/worker-cost-us 13.5 (processor time of both processes)
ratio hsm/submit-noop 0.33 (ours a, peer b, which neither queues nor lets a caller go; a caller alone c)
`

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrite(t *testing.T) {
	page := file(t, "performance.md", "# Performance\n\n"+begin+"\nstale\n"+end+"\n\n## More\n")
	for range 2 { // writing again changes nothing
		if err := run([]string{"write", file(t, "ratios", sample), page}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"# Performance\n\n" + begin, end + "\n\n## More\n", "| 4.5 | 4.2–4.71 | ≥ 2.1 | ≥ 2.8 | ours 2.5ms, peer 11ms |",
			"| **6.8** | – | ≥ 7 | ≥ 15 |", "| 13.5 µs | – | ≤ 15 | ≤ 6 |", "![hsm](performance/hsm.svg)",
			"| 0.33 | – |  |  |", "| `canon/new` | new | 2 |",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(string(text), "stale") || strings.Contains(string(text), "service") {
			t.Errorf("what was not measured is there:\n%s", text)
		}
	}
	for _, name := range []string{"gost", "canon", "hsm"} {
		f, err := os.Open(filepath.Join(filepath.Dir(page), "performance", name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(f)
		for err = nil; err == nil; _, err = d.Token() {
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s.svg: %v", name, err)
		}
		f.Close()
	}
}

func TestCheck(t *testing.T) {
	committed := file(t, "committed", sample)
	for _, tc := range []struct{ name, measured, want string }{
		{"the same", sample, ""},
		{"somewhat less", strings.Replace(sample, " 4.50 ", " 2.30 ", 1), ""},
		{"far less", strings.Replace(sample, " 4.50 ", " 2.20 ", 1), "gost/streebog-one is 2.20, and was 4.50"},
		{"far less, of one that varies", strings.Replace(sample, "13.5", "99", 1), ""},
		{"disturbed once", strings.Replace(sample, " 4.50 ", " 2.20 ", 1) + "ratio gost/streebog-one 4.1\n", ""},
		{"undisturbed once", sample + "ratio gost/streebog-one 2.2\n", ""},
		{"disturbed twice", strings.Replace(sample, " 4.50 ", " 2.20 ", 1) + "ratio gost/streebog-one 2.1\n",
			"gost/streebog-one is 2.20, and was 4.50"},
		{"nothing in common", "ratio gost/sign256 3\n", "nothing to compare"},
		{"unknown", "ratio other/sign256 3\n", "is of no group"},
		{"unreadable", "ratio gost/sign256 fast\n", "cannot read"},
		{"empty", "\n", "no figures"},
	} {
		err := run([]string{"check", file(t, "measured", tc.measured), committed})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestReasons: whatever has a line or a goal has a reason for when it falls short of it, and each reason is of a figure.
func TestReasons(t *testing.T) {
	asked := map[string]bool{}
	for _, g := range groups {
		for _, f := range g.figures {
			asked[f.name] = true
		}
	}
	for name, why := range reasons {
		if !asked[name] || !strings.HasSuffix(why, ".") {
			t.Errorf("%s: %q", name, why)
		}
	}
	committed, err := read("../../../bench/ratios.txt")
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range committed {
		if l.short() && reasons[name] == "" {
			t.Errorf("%s is %.2f, below %v or %v, and nobody says why", name, l.value, l.solid, l.moonshot)
		}
	}
	var lines []line
	for name, value := range map[string]float64{"gost/sign256": 2.5, "canon/smev-fused": 3,
		"hsm/worker-cost-us": 9, "hsm/overload-p99": 1} {
		f, _ := find(name)
		lines = append(lines, line{figure: f, value: value})
	}
	text := limits(lines)
	if !strings.Contains(text, "sign256`: Constant time") || !strings.Contains(text, "worker-cost") ||
		strings.Contains(text, "fused") || strings.Contains(text, "p99") {
		t.Error(text)
	}
	if limits(nil) != "" {
		t.Error("limits without figures")
	}
}

func TestMachine(t *testing.T) {
	text := machine()
	if !strings.Contains(text, "processors (") || strings.Contains(text, "%!") {
		t.Error(text)
	}
	if version("../../../go.mod", "github.com/miekg/pkcs11") == "" || version("absent", "x") != "" ||
		version("", "no-such-package-anywhere") != "" {
		t.Error("versions")
	}
}

// TestGate: what .ci/ratios measures again is known here, and steady, or it would hold nothing.
func TestGate(t *testing.T) {
	script, err := os.ReadFile("../../../.ci/ratios")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for l := range strings.Lines(string(script)) {
		list, ok := strings.CutPrefix(strings.TrimSpace(l), "names=")
		if !ok || strings.Contains(list, "(") {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimPrefix(list, "$names,"), ",") {
			if f, _ := find(name); f.what == "" || !f.steady {
				t.Errorf("%s is no steady figure", name)
			}
			n++
		}
	}
	if n < 8 {
		t.Errorf("%d figures are measured", n)
	}
}

func TestFallen(t *testing.T) {
	measured := map[string]line{}
	committed := map[string]line{}
	for name, v := range map[string][2]float64{"gost/streebog-one": {1, 3}, "gost/sign256": {1, 1.9},
		"canon/libxml2-2k": {2, 8}, "hsm/worker-cost-us": {90, 9}} {
		f, _ := find(name)
		measured[name], committed[name] = line{figure: f, value: v[0]}, line{figure: f, value: v[1]}
	}
	n, fallen := compare(measured, committed)
	if n != 3 || len(fallen) != 2 || fallen[0].name != "gost/streebog-one" || fallen[1].name != "canon/libxml2-2k" {
		t.Errorf("%d, %v", n, fallen)
	}
	if err := run([]string{"fallen", file(t, "measured", sample), file(t, "committed", sample)}); err != nil {
		t.Error(err)
	}
}

func TestFigures(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range groups {
		for _, f := range g.figures {
			if seen[f.name] || !strings.HasPrefix(f.name, g.title+"/") || f.what == "" {
				t.Errorf("%+v in %s", f, g.title)
			}
			if f.solid != 0 && f.moonshot != 0 && f.lower != (f.moonshot < f.solid) {
				t.Errorf("%s: the goal is less than what is asked", f.name)
			}
			seen[f.name] = true
		}
	}
}
