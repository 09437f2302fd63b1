// Command figures makes of the lines that benchmarks print what people and machines read:
//
//	figures write RATIOS docs/performance.md   the table between its marks, and a chart of each group in docs/performance/
//	figures check RATIOS COMMITTED             fails when a steady figure fell far below the committed one
//	figures fallen RATIOS COMMITTED            prints the names of those, with commas, to be measured again
//
// RATIOS has lines "ratio NAME VALUE [LOW-HIGH] (DETAIL)"; the range, quartiles of the rounds, may be absent. Other lines are
// passed over. Of a name that comes more than once, the best line counts: it is what the machine can do when nobody disturbs it. What is
// asked of a figure is in figures.go.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// line is one figure as it was measured.
type line struct {
	figure
	value, low, high float64 // low and high are the value when the range is not known
	detail           string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: figures write RATIOS PAGE, figures check RATIOS COMMITTED, or figures fallen RATIOS COMMITTED")
	}
	measured, err := read(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "write":
		return write(measured, args[2])
	case "check", "fallen":
		committed, err := read(args[2])
		if err != nil {
			return err
		}
		n, fallen := compare(measured, committed)
		if args[0] == "fallen" {
			var names []string
			for _, l := range fallen {
				names = append(names, l.name)
			}
			fmt.Println(strings.Join(names, ","))
			return nil
		}
		if n == 0 {
			return errors.New("nothing to compare")
		}
		fmt.Printf("%d figures compared with the committed ones\n", n)
		var list []error
		for _, l := range fallen {
			list = append(list, fmt.Errorf("%s is %.2f, and was %.2f", l.name, l.value, committed[l.name].value))
		}
		return errors.Join(list...)
	}
	return fmt.Errorf("no command %q", args[0])
}

var ratio = regexp.MustCompile(`^ratio (\S+) ([0-9.]+)(?: \[([0-9.]+)-([0-9.]+)\])?(?: \((.*)\))?$`)

// read reads the lines of a file.
func read(name string) (map[string]line, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines := map[string]line{}
	scan := bufio.NewScanner(bytes.NewReader(data))
	for scan.Scan() {
		m := ratio.FindStringSubmatch(scan.Text())
		if m == nil {
			if strings.HasPrefix(scan.Text(), "ratio ") {
				return nil, fmt.Errorf("%s: cannot read %q", name, scan.Text())
			}
			continue
		}
		f, ok := find(m[1])
		if !ok {
			return nil, fmt.Errorf("%s: %s is of no group of figures", name, m[1])
		}
		l := line{figure: f, detail: m[5]}
		if l.value, err = strconv.ParseFloat(m[2], 64); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		l.low, l.high = l.value, l.value
		if m[3] != "" {
			low, err1 := strconv.ParseFloat(m[3], 64)
			high, err2 := strconv.ParseFloat(m[4], 64)
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			l.low, l.high = low, high
		}
		if before, twice := lines[l.name]; !twice || l.lower == (l.value < before.value) {
			lines[l.name] = l
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s: no figures", name)
	}
	return lines, scan.Err()
}

// compare holds what was measured now against what was committed; only steady figures that were measured. It returns how many
// these are, and those that have fallen far below.
func compare(measured, committed map[string]line) (n int, fallen []line) {
	for _, g := range groups {
		for _, f := range g.figures {
			now, ok := measured[f.name]
			before, known := committed[f.name]
			if !ok || !known || !f.steady {
				continue
			}
			n++
			if f.lower && now.value > before.value/margin || !f.lower && now.value < before.value*margin {
				fallen = append(fallen, now)
			}
		}
	}
	return n, fallen
}

// The marks between which the page is written.
const (
	begin = "<!-- figures: written by make bench -->"
	end   = "<!-- end of figures -->"
)

func write(measured map[string]line, page string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the marks %q and %q", page, begin, end)
	}
	dir := strings.TrimSuffix(page, filepath.Ext(page))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(head + begin + "\n" + machine() + "\n")
	for _, g := range groups {
		var lines []line
		for _, f := range g.figures {
			if l, ok := measured[f.name]; ok {
				lines = append(lines, l)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(measured)) {
			if l := measured[name]; l.what == "" && strings.HasPrefix(name, g.title+"/") {
				l.what = strings.TrimPrefix(name, g.title+"/")
				lines = append(lines, l)
			}
		}
		if len(lines) == 0 {
			continue
		}
		picture := filepath.Join(dir, g.title+".svg")
		if err := os.WriteFile(picture, chart(g.title, lines), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n### %s: `make bench-%s`\n", g.title, g.title)
		fmt.Fprintf(&b, "\n![%s](%s/%s.svg)\n\n", g.title, filepath.Base(dir), g.title)
		b.WriteString("| figure | what | value | of the rounds | asked | goal | measured |\n| --- | --- | ---: | --- | ---: | ---: | --- |\n")
		for _, l := range lines {
			b.WriteString(l.row())
		}
		b.WriteString(limits(lines))
	}
	b.WriteString(end + tail)
	return os.WriteFile(page, []byte(b.String()), 0o644)
}

// limits says of those that fall short what they are held by, and of how many it is not known.
func limits(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		if l.short() && reasons[l.name] != "" {
			fmt.Fprintf(&b, "- `%s`: %s\n", l.name, reasons[l.name])
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nLimits reached, of figures below what is asked or below the goal, and why:\n\n" + b.String()
}

func (l line) row() string {
	spread := "–"
	if l.low != l.high {
		spread = number(l.low) + "–" + number(l.high)
	}
	value := number(l.value)
	if s := l.score(l.value); s > 0 && s < 1 {
		value = "**" + value + "**" // not what is asked
	}
	return fmt.Sprintf("| `%s` | %s | %s%s | %s | %s | %s | %s |\n", l.name, l.what, value, unit(l.unit), spread,
		l.bound(l.solid), l.bound(l.moonshot), l.detail)
}

func (f figure) bound(v float64) string {
	switch {
	case v == 0:
		return ""
	case f.lower:
		return "≤ " + number(v)
	}
	return "≥ " + number(v)
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return " " + u
}

// number writes three digits that count.
func number(v float64) string {
	digits := 2
	switch {
	case v >= 100:
		digits = 0
	case v >= 10:
		digits = 1
	}
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(v, 'f', digits, 64), "0"), ".")
}
