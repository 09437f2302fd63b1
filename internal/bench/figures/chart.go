package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
)

// Sizes of a chart, in pixels.
const (
	rowHeight = 26
	labels    = 330
	plot      = 460
	values    = 90
	top       = 54
)

// chart draws how far each figure is from what is asked of it, on a logarithmic scale: the line at 1 is the least that is
// accepted, a diamond the goal, a whisker the quartiles of the rounds. Figures of which nothing is asked stand at their value.
func chart(title string, lines []line) []byte {
	least, most := 0.5, 2.0
	for _, l := range lines {
		for _, v := range []float64{l.at(l.value), l.at(l.moonshot)} {
			if v > 0 {
				least, most = min(least, v*0.9), max(most, v*1.1)
			}
		}
	}
	least = max(least, 0.01)
	x := func(v float64) float64 {
		return labels + plot*(math.Log(max(v, least))-math.Log(least))/(math.Log(most)-math.Log(least))
	}
	height := top + rowHeight*len(lines) + 20
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		labels+plot+values, height, labels+plot+values, height)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	fmt.Fprintf(&b, `<text x="8" y="20" font-size="15" font-weight="bold">%s</text>`+"\n", escape(title))
	fmt.Fprintf(&b, `<text x="8" y="38" fill="#666">times what is asked; logarithmic; the diamond is the goal</text>`+"\n")
	for _, tick := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100} {
		if tick < least || tick > most {
			continue
		}
		colour, width := "#ddd", 1
		if tick == 1 {
			colour, width = "#c33", 2
		}
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="%d"/>`+"\n", x(tick), top-6,
			x(tick), height-16, colour, width)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#666">%s×</text>`+"\n", x(tick), height-3, number(tick))
	}
	for i, l := range lines {
		y := top + rowHeight*i
		colour := "#3a7d44"
		switch s := l.score(l.value); {
		case s == 0:
			colour = "#999"
		case s < 1:
			colour = "#d98c2b"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labels-8, y+14, escape(l.what))
		from, to := x(least), x(l.at(l.value))
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="16" fill="%s"><title>%s</title></rect>`+"\n",
			from, y+2, max(to-from, 1), colour, escape(l.name+" "+l.detail))
		if l.low != l.high {
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#222"/>`+"\n", x(l.at(l.low)), y+10, x(l.at(l.high)), y+10)
		}
		if m := l.at(l.moonshot); m > 0 {
			fmt.Fprintf(&b, `<path d="M%.1f %d l5 6 l-5 6 l-5 -6 z" fill="#333"/>`+"\n", x(m), y+4)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s%s</text>`+"\n", labels+plot+8, y+14, number(l.value), unit(l.unit))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// at is where a value of the figure stands on the scale.
func (l line) at(v float64) float64 {
	if s := l.score(v); s > 0 {
		return s
	}
	return v
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}
