package main

import (
	"strings"
	"testing"
)

// whole has one outcome of every family, and those that are otherwise than expected.
func whole() string {
	var b strings.Builder
	for _, g := range groups {
		for _, f := range g.families {
			b.WriteString(f.name + "\t1\tvalid\tvalid\n" + f.name + "\t1\tvalid\tvalid\n" + f.name + "\t2\tpolicy\tinvalid\n")
			for key := range why {
				if id, ok := strings.CutPrefix(key, f.name+" "); ok {
					b.WriteString(f.name + "\t" + id + "\tvalid\tinvalid\n")
				}
			}
		}
	}
	return b.String()
}

func page(t *testing.T, data string) ([]byte, error) {
	t.Helper()
	outcomes, err := parse(data)
	if err != nil {
		return nil, err
	}
	return render(outcomes)
}

func TestPage(t *testing.T) {
	got, err := page(t, whole())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 2 | 1 valid | 1 invalid | 0 |", "| 5 | 1 valid | 1 invalid | 3 |", "- corpus cms cms-014: ",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for name, data := range map[string]string{
		"in no table":                 whole() + "more\t1\tvalid\tvalid\n",
		"nobody says why":             whole() + "sign\t3\tvalid\tinvalid\n",
		"{valid valid} and {invalid ": whole() + "sign\t1\tinvalid\tinvalid\n",
		"is as expected now": strings.ReplaceAll(whole(), "smev transform\t092\tvalid\tinvalid",
			"smev transform\t092\tvalid\tvalid"),
		"is not an outcome":    whole() + "sign\n",
		`no outcome of "sign"`: strings.ReplaceAll(whole(), "sign\t", "xmldsig\t"),
	} {
		if _, err := page(t, data); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// What could not be run for want of a program is not held against the page.
func TestSame(t *testing.T) {
	full, err := page(t, whole())
	if err != nil {
		t.Fatal(err)
	}
	less, err := page(t, strings.ReplaceAll(strings.ReplaceAll(whole(), "bouncy castle\t1\tvalid\tvalid\n", ""),
		"bouncy castle\t2\tpolicy\tinvalid\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !same(full, less) || same(less, full) || !same(full, full) {
		t.Error("pages are compared wrongly")
	}
	other, err := page(t, whole()+"sign\t3\tvalid\tvalid\n")
	if err != nil || same(full, other) {
		t.Errorf("one more vector makes no difference (%v)", err)
	}
}
