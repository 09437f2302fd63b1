// Package plot draws charts as SVG, lines over two axes and bars, without a script or a font of its own.
package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
)

// Chart is a drawing.
type Chart struct {
	Title string
	X, Y  Axis
	Lines []Line
}

// Axis is a scale. Values that it cannot show, not positive ones on a logarithmic axis for instance, are left out.
type Axis struct {
	Label string
	Log   bool
	Ticks []float64              // none: chosen
	Name  func(v float64) string // of a tick; nil: a number
}

// Line is a series of points, with or without marks and the line between them.
type Line struct {
	Name   string
	Points []Point
	Dashed bool
	Marks  bool
}

// Point is at X, Y.
type Point struct{ X, Y float64 }

const (
	width, height             = 760, 400
	left, right, above, below = 76, 170, 44, 50
)

var colours = []string{"#1f6fb2", "#c4501b", "#3a7d44", "#7a4fa3", "#a08000", "#444"}

// SVG is the drawing.
func (c *Chart) SVG() []byte {
	x, y := c.X.scale(c.values(func(p Point) float64 { return p.X })), c.Y.scale(c.values(func(p Point) float64 { return p.Y }))
	px := func(v float64) float64 { return left + x.at(v)*(width-left-right) }
	py := func(v float64) float64 { return height - below - y.at(v)*(height-above-below) }
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		width, height, width, height)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", left, escape(c.Title))
	for _, t := range x.ticks {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", px(t), above, px(t), height-below)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%s</text>`+"\n", px(t), height-below+16, escape(x.name(t)))
	}
	for _, t := range y.ticks {
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", left, py(t), width-right, py(t))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end" fill="#555">%s</text>`+"\n", left-6, py(t)+4, escape(y.name(t)))
	}
	fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#888"/>`+"\n", left, above,
		width-left-right, height-above-below)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+(width-left-right)/2, height-10, escape(c.X.Label))
	fmt.Fprintf(&b, `<text x="18" y="%d" text-anchor="middle" transform="rotate(-90 18 %d)">%s</text>`+"\n", height/2,
		height/2, escape(c.Y.Label))
	for i, l := range c.Lines {
		colour := colours[i%len(colours)]
		dash := ""
		if l.Dashed {
			dash = ` stroke-dasharray="6 4"`
		}
		var points bytes.Buffer
		for _, p := range l.Points {
			if x.shows(p.X) && y.shows(p.Y) {
				fmt.Fprintf(&points, "%.1f,%.1f ", px(p.X), py(p.Y))
				if l.Marks {
					fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", px(p.X), py(p.Y), colour)
				}
			}
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", points.String(), colour, dash)
		ky := above + 10 + 18*i
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="2"%s/>`+"\n", width-right+10, ky,
			width-right+32, ky, colour, dash)
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", width-right+38, ky+4, escape(l.Name))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (c *Chart) values(of func(Point) float64) (out []float64) {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			out = append(out, of(p))
		}
	}
	return out
}

// scale is an axis with its ends.
type scale struct {
	Axis
	low, high float64
	ticks     []float64
}

func (a Axis) scale(values []float64) *scale {
	s := &scale{Axis: a, low: math.Inf(1), high: math.Inf(-1)}
	for _, v := range append(values, a.Ticks...) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.Log || v > 0) {
			s.low, s.high = min(s.low, v), max(s.high, v)
		}
	}
	switch {
	case s.low > s.high: // nothing to show
		s.low, s.high = 1, 10
	case !a.Log:
		s.low = min(s.low, 0)
		if s.high == s.low {
			s.high = s.low + 1
		}
	case s.high/s.low < 2:
		s.low, s.high = s.low/2, s.high*2
	}
	s.ticks = a.Ticks
	if len(s.ticks) == 0 {
		s.ticks = s.choose()
	}
	return s
}

// choose gives round numbers: 1, 2 and 5 times powers of ten on a logarithmic axis, about six steps on another.
func (s *scale) choose() (ticks []float64) {
	if s.Log {
		for p := math.Pow(10, math.Floor(math.Log10(s.low))); p <= s.high; p *= 10 {
			for _, m := range []float64{1, 2, 5} {
				if v := m * p; s.shows(v) && (s.high/s.low < 2000 || m == 1) {
					ticks = append(ticks, v)
				}
			}
		}
		return ticks
	}
	step := math.Pow(10, math.Floor(math.Log10((s.high-s.low)/5)))
	for _, m := range []float64{5, 2} {
		if (s.high-s.low)/(m*step) >= 5 {
			step *= m
			break
		}
	}
	for v := math.Ceil(s.low/step) * step; v <= s.high*(1+1e-9); v += step {
		ticks = append(ticks, v)
	}
	return ticks
}

func (s *scale) shows(v float64) bool {
	return v >= s.low*(1-1e-9) && v <= s.high*(1+1e-9) && (!s.Log || v > 0)
}

// at is where a value is, from 0 to 1.
func (s *scale) at(v float64) float64 {
	if s.Log {
		return math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return (v - s.low) / (s.high - s.low)
}

func (s *scale) name(v float64) string {
	if s.Name != nil {
		return s.Name(v)
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
