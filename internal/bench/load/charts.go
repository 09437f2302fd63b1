package main

import (
	"fmt"
	"strings"

	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/plot"
)

const perSecond = "signatures in a second"

// charts are the pictures of the page, by their names.
func charts(r *results) map[string][]byte {
	return map[string][]byte{
		"sessions": lines(r, bySessions, "Throughput by sessions", plot.Axis{Label: "sessions"}, plot.Axis{Label: perSecond, Log: true},
			func(c cell) (string, float64) {
				if c.Delay > 0 {
					return fmt.Sprintf("%.0f ms slower", c.Delay), float64(c.Sessions)
				}
				return "SoftHSM", float64(c.Sessions)
			}),
		"size": lines(r, bySize, "Throughput by size of the message", plot.Axis{Label: "octets", Log: true, Name: func(v float64) string {
			return octets(int(v))
		}, Ticks: sizesOf(r)}, plot.Axis{Label: "messages in a second", Log: true}, func(c cell) (string, float64) {
			return strings.Replace(titles[c.Operation], "pkcs7-", "cms ", 1), float64(c.Octets)
		}),
		"callers": lines(r, byCallers, "Throughput by callers at once",
			plot.Axis{Label: "callers", Log: true, Ticks: []float64{1, 2, 4, 8, 16, 32, 64}},
			plot.Axis{Label: perSecond}, func(c cell) (string, float64) { return titles[c.Operation], float64(c.Callers) }),
		"rates":  rateChart(&r.Knee),
		"stages": stageChart(r.Stages),
		"memory": soakChart(&r.Soak, "Memory during the soak", "MiB", 0, 1, 2, 3),
		"counts": soakChart(&r.Soak, "What is held during the soak", "", 4, 5, 6, 7, 8),
	}
}

func sizesOf(r *results) (list []float64) {
	for _, c := range r.Throughput {
		if c.Table == bySize && c.Operation == load.SignXML {
			list = append(list, float64(c.Octets))
		}
	}
	return list
}

// lines draws a table, a line to each name.
func lines(r *results, table, title string, x, y plot.Axis, of func(cell) (string, float64)) []byte {
	chart := plot.Chart{Title: title, X: x, Y: y}
	for _, c := range r.Throughput {
		if c.Table != table || table == bySize && c.Operation == load.Digest {
			continue
		}
		name, at := of(c)
		i := 0
		for i < len(chart.Lines) && chart.Lines[i].Name != name {
			i++
		}
		if i == len(chart.Lines) {
			chart.Lines = append(chart.Lines, plot.Line{Name: name, Marks: true})
		}
		chart.Lines[i].Points = append(chart.Lines[i].Points, plot.Point{X: at, Y: c.PerSecond})
	}
	return chart.SVG()
}

func rateChart(k *rates) []byte {
	c := plot.Chart{
		Title: fmt.Sprintf("Latency by rate; the knee is at %.0f in a second", k.Knee),
		X:     plot.Axis{Label: "calls in a second, asked for", Log: true},
		Y:     plot.Axis{Label: "milliseconds from the intended moment", Log: true},
		Lines: []plot.Line{{Name: "p50", Marks: true}, {Name: "p99", Marks: true}, {Name: "p99.9", Marks: true}},
	}
	least, most := k.Knee, k.Knee
	for _, s := range k.Search {
		least, most = min(least, s.Rate), max(most, s.Rate)
		for i, v := range []float64{s.P50, s.P99, s.P999} {
			c.Lines[i].Points = append(c.Lines[i].Points, plot.Point{X: s.Rate, Y: v})
		}
	}
	c.Lines = append(c.Lines, plot.Line{Name: "bound of p99", Dashed: true,
		Points: []plot.Point{{X: least, Y: k.Bound}, {X: most, Y: k.Bound}}})
	return c.SVG()
}

func stageChart(stages []stage) []byte {
	c := plot.Bars{Title: "Where the time of a signature goes",
		Axis: plot.Axis{Label: "microseconds, as the caller sees it"}, Parts: stageNames}
	for _, s := range stages {
		row := plot.Row{Name: titles[s.Operation]}
		if s.Setting != "one caller" {
			row.Name += ", " + s.Setting
		}
		for _, name := range stageNames {
			row.Values = append(row.Values, s.Parts[name])
		}
		c.Rows = append(c.Rows, row)
	}
	return c.SVG()
}

// soakChart draws some of the quantities over time.
func soakChart(k *soak, title, unit string, which ...int) []byte {
	c := plot.Chart{Title: title, X: plot.Axis{Label: "seconds"}, Y: plot.Axis{Label: unit, Log: unit == ""}}
	for _, i := range which {
		q := quantities[i]
		line := plot.Line{Name: q.short}
		for _, s := range k.Samples {
			line.Points = append(line.Points, plot.Point{X: s.At, Y: q.of(s)})
		}
		c.Lines = append(c.Lines, line)
	}
	return c.SVG()
}
