package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	for name, c := range map[string]Chart{
		"nothing":  {},
		"one":      {Title: "a < b & c", Lines: []Line{{Name: "<x>", Points: []Point{{1, 1}}}}},
		"log":      {X: Axis{Log: true}, Y: Axis{Log: true}, Lines: []Line{{Points: []Point{{0, 1}, {1, 10}, {1000, 1e7}}, Marks: true}}},
		"infinite": {Lines: []Line{{Points: []Point{{math.Inf(1), 1}, {math.NaN(), 2}, {2, 3}}, Dashed: true}}},
	} {
		wellFormed(t, name, string(c.SVG()))
	}
	for name, c := range map[string]Bars{
		"no bars": {},
		"bars": {Title: "<&", Parts: []string{"a", "<b>"},
			Rows: []Row{{"r & s", []float64{1, 2, 3}}, {"t", []float64{-1, math.NaN(), math.Inf(1), 0}}}},
	} {
		out := string(c.SVG())
		wellFormed(t, name, out)
		if n := strings.Count(out, `height="20"`); n != 3*len(c.Rows)/2 {
			t.Errorf("%s: %d parts are drawn", name, n)
		}
	}
}

func wellFormed(t *testing.T, name, out string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(out))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if strings.Contains(out, "NaN") || strings.Contains(out, "Inf") {
		t.Errorf("%s: %s", name, out)
	}
}

func TestTicks(t *testing.T) {
	s := Axis{}.scale([]float64{0, 97})
	if len(s.ticks) < 4 || len(s.ticks) > 12 || s.ticks[0] != 0 {
		t.Errorf("%v", s.ticks)
	}
	s = Axis{Log: true}.scale([]float64{1.5, 80})
	if len(s.ticks) != 5 { // 2 5 10 20 50
		t.Errorf("%v", s.ticks)
	}
}
