package plot

import (
	"bytes"
	"fmt"
)

// Bars are rows of parts, side by side from left to right.
type Bars struct {
	Title string
	Axis  Axis     // of the sum; Log is not for sums
	Parts []string // names, in the order of the values
	Rows  []Row
}

// Row is one bar; values that are missing are 0.
type Row struct {
	Name   string
	Values []float64
}

const (
	rowHeight = 30
	names     = 190 // width of the rows' names
	perLine   = 6   // names of parts in a line of the legend
)

var fills = []string{"#9db7d5", "#c9d6e6", "#1f6fb2", "#a08000", "#c4501b", "#3a7d44", "#7a4fa3", "#444", "#d98c2b"}

// SVG is the drawing.
func (c *Bars) SVG() []byte {
	sums := []float64{0}
	for _, r := range c.Rows {
		sum := 0.0
		for _, v := range r.Values {
			sum += max(v, 0)
		}
		sums = append(sums, sum)
	}
	axis := c.Axis
	axis.Log = false
	x := axis.scale(sums)
	px := func(v float64) float64 { return names + x.at(v)*(width-names-30) }
	legend := (len(c.Parts) + perLine - 1) / perLine
	first := 40 + 20*legend
	bottom := first + rowHeight*len(c.Rows) + 6
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		width, bottom+44, width, bottom+44)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	fmt.Fprintf(&b, `<text x="12" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", escape(c.Title))
	for i, name := range c.Parts {
		lx, ly := 12+(i%perLine)*120, 36+20*(i/perLine)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			lx, ly, fills[i%len(fills)], lx+17, ly+10, escape(name))
	}
	for _, t := range x.ticks {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", px(t), first, px(t), bottom)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%s</text>`+"\n", px(t), bottom+16, escape(x.name(t)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", names+(width-names-30)/2, bottom+36, escape(c.Axis.Label))
	for i, r := range c.Rows {
		y := first + rowHeight*i + 4
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", names-8, y+15, escape(r.Name))
		sum := 0.0
		for j, v := range r.Values {
			if !(v > 0) || !x.shows(sum+v) {
				continue
			}
			fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="20" fill="%s"/>`+"\n", px(sum), y,
				px(sum+v)-px(sum), fills[j%len(fills)])
			sum += v
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
