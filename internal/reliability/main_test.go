package main

import (
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/reliability/runs"
)

// whole is a run of every name, the first with faults.
func whole() (list []runs.Run) {
	for _, p := range parts {
		for _, name := range p.names {
			list = append(list, runs.Run{Name: name, About: "It runs.", Command: "make it", Asked: 10, Signed: 10, Took: 2 * time.Second})
		}
	}
	r := &list[0]
	r.Signed, r.Refused, r.Until = 7, map[string]int{"busy": 1, "away": 2}, "one and the other"
	r.Recoveries = []runs.Recovery{
		{Fault: "crash", Promised: 20 * time.Millisecond,
			Took: []time.Duration{30 * time.Millisecond, 1234 * time.Microsecond, 20 * time.Millisecond}},
		{Fault: "locked out", Final: 1},
	}
	r.Figures = []runs.Figure{{What: "verified", Value: "7"}}
	return list
}

func TestPage(t *testing.T) {
	list := whole()
	list = append(list, runs.Run{Name: "a node dies", Where: "elsewhere", Command: "make it", Asked: 5, Signed: 5, Took: time.Second})
	page, broken, err := render(list)
	if err != nil || len(broken) > 0 {
		t.Fatal(broken, err)
	}
	rest := string(page)
	for _, want := range []string{ // in this order
		"| modules in processes of their own | 4 | 10 | 7 | 3 | 0 | 0 | 30ms | 2s |",
		"| a node dies | 0 | 10 | 10 | 0 | 0 | 0 | – | 2s |",
		"| a node dies (elsewhere) | 0 | 5 | 5 | 0 | 0 | 0 | – | 1s |",
		"| **together** | 4 | 65 | 62 | 3 | 0 | 0 | 30ms | 13s |",
		"under 4 injected faults each of 65 requests had an answer, and each of the 62 signatures",
		"### Modules in processes of their own\n\nIt runs. Again with `make it`.",
		"| refused: away | 2 |\n| refused: busy | 1 |\n| verified | 7 |",
		"between one and the other.",
		"| crash | 3 | 20ms | 30ms | 20ms | 1 |", "| locked out | 1 | – | – | – | – |",
		"### A node dies (elsewhere)\n",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %q in\n%s", want, rest)
		}
		rest = after
	}
	if strings.Contains(string(page), "Not as promised") {
		t.Error("all was as promised")
	}
}

// Whatever is not as promised is said on the page and ends the program with 1.
func TestBroken(t *testing.T) {
	for want, spoil := range map[string]func(*runs.Run){
		"modules in the scheduler's process: 1 signatures wrong":           func(r *runs.Run) { r.Wrong = 1 },
		"modules in the scheduler's process: 2 requests lost":              func(r *runs.Run) { r.Signed, r.Lost = 8, 2 },
		"modules in the scheduler's process: 1 requests unaccounted for":   func(r *runs.Run) { r.Signed = 9 },
		"modules in the scheduler's process: nothing was signed":           func(r *runs.Run) { r.Asked, r.Signed = 0, 0 },
		"modules in the scheduler's process: left behind: [1 descriptors]": func(r *runs.Run) { r.Broken = []string{"left behind: [1 descriptors]"} },
	} {
		list := whole()
		spoil(&list[1])
		page, broken, err := render(list)
		if err != nil || len(broken) != 1 || broken[0] != want || !strings.Contains(string(page), "## Not as promised\n\n- "+want+"\n") ||
			strings.Contains(string(page), "What this shows") {
			t.Errorf("%q: %q, %v", want, broken, err)
		}
	}
}

func TestIncomplete(t *testing.T) {
	for i, r := range whole() {
		list := whole()
		if _, _, err := render(append(list[:i], list[i+1:]...)); err == nil || !strings.Contains(err.Error(), r.Name) {
			t.Errorf("without %q: %v", r.Name, err)
		}
	}
	if _, _, err := render(append(whole(), runs.Run{Name: "another"})); err == nil {
		t.Error("a run of unknown name is left out in silence")
	}
}
