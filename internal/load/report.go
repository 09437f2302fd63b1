package load

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epov-signer/epov/internal/plot"
)

// Report is what a measurement gave, as JSON and as a page.
type Report struct {
	Title     string    `json:"title"`
	Operation string    `json:"operation"`
	Octets    int       `json:"octets,omitempty"`
	Begun     time.Time `json:"begun"`
	Knee      float64   `json:"knee_per_second,omitempty"` // 0: not looked for, or not found
	Bound     Millis    `json:"p99_bound_ms,omitempty"`
	Search    []Figures `json:"search,omitempty"` // steps that looked for the knee, by rate
	Runs      []Figures `json:"runs"`

	results []Result // of Runs
}

// Millis is a duration that JSON shows as milliseconds.
type Millis time.Duration

// MarshalJSON writes a number with microseconds after the point.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, math.Round(float64(m)/1e3)/1e3, 'f', -1, 64), nil
}

// Figures are those of one run.
type Figures struct {
	Name    string           `json:"name,omitempty"`
	Rate    float64          `json:"rate_per_second"`
	Offered float64          `json:"offered_per_second"`
	Goodput float64          `json:"goodput_per_second"`
	Asked   int64            `json:"asked"`
	Good    int64            `json:"good"`
	Errors  map[string]int64 `json:"errors,omitempty"`
	Mean    Millis           `json:"mean_ms"`
	P50     Millis           `json:"p50_ms"`
	P90     Millis           `json:"p90_ms"`
	P99     Millis           `json:"p99_ms"`
	P999    Millis           `json:"p999_ms"`
	Max     Millis           `json:"max_ms"`
}

func figures(name string, r Result) Figures {
	h := r.Latency
	return Figures{
		Name: name, Rate: round(r.Rate), Offered: round(r.Offered()), Goodput: round(r.Goodput()), Asked: r.Asked,
		Good: r.Good, Errors: r.Errors,
		Mean: Millis(h.Mean()), P50: Millis(h.Quantile(0.5)), P90: Millis(h.Quantile(0.9)), P99: Millis(h.Quantile(0.99)),
		P999: Millis(h.Quantile(0.999)), Max: Millis(h.Max()),
	}
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// Add adds a run.
func (r *Report) Add(name string, run Result) {
	r.Runs, r.results = append(r.Runs, figures(name, run)), append(r.results, run)
}

// AddSearch adds the steps that looked for the knee.
func (r *Report) AddSearch(knee float64, bound time.Duration, steps []Result) {
	r.Knee, r.Bound = round(knee), Millis(bound)
	for _, s := range steps {
		r.Search = append(r.Search, figures("", s))
	}
	slices.SortFunc(r.Search, func(a, b Figures) int { return int(math.Copysign(1, a.Rate-b.Rate)) })
}

// Latencies draws each run's latency over the share of calls that it covers, from the median on.
func (r *Report) Latencies() []byte {
	c := plot.Chart{
		Title: "Latency by share of calls",
		X: plot.Axis{Label: "share of calls that are not slower", Log: true, Name: func(v float64) string {
			return strconv.FormatFloat(100-100/v, 'g', 6, 64) + " %"
		}, Ticks: []float64{2, 10, 100, 1000, 10000}},
		Y: plot.Axis{Label: "milliseconds from the intended moment", Log: true},
	}
	for i, run := range r.results {
		line := plot.Line{Name: r.Runs[i].label()}
		for x := 2.0; x <= 10000 && x <= float64(run.Good); x *= 1.15 {
			line.Points = append(line.Points, plot.Point{X: x, Y: float64(run.Latency.Quantile(1-1/x)) / 1e6})
		}
		c.Lines = append(c.Lines, line)
	}
	return c.SVG()
}

func (f *Figures) label() string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("%.0f/s", f.Rate)
}

// Rates draws latency over the rate, as the search for the knee saw it; nil without one.
func (r *Report) Rates() []byte {
	if len(r.Search) == 0 {
		return nil
	}
	lines := []plot.Line{{Name: "p50", Marks: true}, {Name: "p99", Marks: true}, {Name: "p99.9", Marks: true}}
	for _, f := range r.Search {
		for i, v := range []Millis{f.P50, f.P99, f.P999} {
			lines[i].Points = append(lines[i].Points, plot.Point{X: f.Rate, Y: float64(v) / 1e6})
		}
	}
	first, last := r.Search[0].Rate, r.Search[len(r.Search)-1].Rate
	bound := float64(r.Bound) / 1e6
	lines = append(lines, plot.Line{Name: "bound of p99", Dashed: true, Points: []plot.Point{{X: first, Y: bound}, {X: last, Y: bound}}})
	c := plot.Chart{
		Title: fmt.Sprintf("Latency by rate; the knee is at %.0f in a second", r.Knee),
		X:     plot.Axis{Label: "calls in a second, asked for", Log: true},
		Y:     plot.Axis{Label: "milliseconds from the intended moment", Log: true}, Lines: lines,
	}
	return c.SVG()
}

// Goodputs draws what was answered well over what was asked for; nil without a search.
func (r *Report) Goodputs() []byte {
	if len(r.Search) == 0 {
		return nil
	}
	ideal, got := plot.Line{Name: "asked for", Dashed: true}, plot.Line{Name: "answered well", Marks: true}
	for _, f := range r.Search {
		ideal.Points = append(ideal.Points, plot.Point{X: f.Rate, Y: f.Rate})
		got.Points = append(got.Points, plot.Point{X: f.Rate, Y: f.Goodput})
	}
	c := plot.Chart{
		Title: "Goodput by rate", X: plot.Axis{Label: "calls in a second, asked for"}, Y: plot.Axis{Label: "calls in a second"},
		Lines: []plot.Line{got, ideal},
	}
	return c.SVG()
}

// HTML is a page that needs nothing else.
func (r *Report) HTML() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title><style>%s</style></head><body>\n<h1>%s</h1>\n",
		escape(r.Title), style, escape(r.Title))
	fmt.Fprintf(&b, "<p>%s", escape(r.Operation))
	if r.Octets > 0 {
		fmt.Fprintf(&b, ", messages of about %d bytes", r.Octets)
	}
	fmt.Fprintf(&b, ", begun %s. Calls are made at moments that do not depend on the answers; latency counts from those moments.</p>\n",
		r.Begun.UTC().Format("2006-01-02 15:04 MST"))
	if r.Knee > 0 {
		fmt.Fprintf(&b, "<p>Knee: <b>%.0f calls in a second</b>, the highest rate of which 99 %% were answered well with a p99 of at most %s.</p>\n",
			r.Knee, time.Duration(r.Bound))
	}
	r.table(&b, r.Runs)
	for _, svg := range [][]byte{r.Latencies(), r.Rates(), r.Goodputs()} {
		b.Write(svg)
	}
	if len(r.Search) > 0 {
		b.WriteString("<h2>Steps of the search</h2>\n")
		r.table(&b, r.Search)
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}

const style = "body{font:14px sans-serif;max-width:60em;margin:2em auto}table{border-collapse:collapse;margin:1em 0}" +
	"td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}td:last-child{text-align:left}svg{display:block;margin:1em 0}"

func (r *Report) table(b *bytes.Buffer, list []Figures) {
	b.WriteString("<table><tr><th></th><th>asked/s</th><th>good/s</th><th>p50 ms</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>errors</th></tr>\n")
	for _, f := range list {
		var errs []string
		for _, name := range slices.Sorted(maps.Keys(f.Errors)) {
			errs = append(errs, fmt.Sprintf("%s %d", name, f.Errors[name]))
		}
		fmt.Fprintf(b, "<tr><td>%s</td><td>%.0f</td><td>%.0f</td>", escape(f.label()), f.Offered, f.Goodput)
		for _, v := range []Millis{f.P50, f.P90, f.P99, f.P999, f.Max} {
			fmt.Fprintf(b, "<td>%.2f</td>", float64(v)/1e6)
		}
		fmt.Fprintf(b, "<td>%s</td></tr>\n", escape(strings.Join(errs, ", ")))
	}
	b.WriteString("</table>\n")
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
