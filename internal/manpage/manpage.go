// Package manpage writes manual pages in the language of man(7), with the few requests that groff and mandoc agree on.
package manpage

import (
	"fmt"
	"strings"
)

// Page is a manual page in the making. Text is given as it is to be read; what means something to the formatter is escaped.
type Page struct{ b strings.Builder }

// New begins the page of a name in a section, such as epov in 1, with the line that whatis(1) shows. It bears no date, so that the same
// sources make the same page.
func New(name string, section int, what string) *Page {
	p := &Page{}
	fmt.Fprintf(&p.b, ".TH %s %d \"\" epov\n.nh\n.ad l\n", quoted(strings.ToUpper(name)), section)
	p.Section("NAME")
	fmt.Fprintf(&p.b, "%s \\- %s\n", escape(name), escape(what))
	return p
}

// Section begins a section.
func (p *Page) Section(title string) { fmt.Fprintf(&p.b, ".SH %s\n", quoted(title)) }

// Subsection begins a part of a section.
func (p *Page) Subsection(title string) { fmt.Fprintf(&p.b, ".SS %s\n", quoted(title)) }

// Text writes paragraphs, which empty lines separate.
func (p *Page) Text(text string) {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		p.b.WriteString(".PP\n")
		p.lines(paragraph)
	}
}

// Bold writes a line of its own in bold, as synopses have it.
func (p *Page) Bold(text string) { fmt.Fprintf(&p.b, ".PP\n\\fB%s\\fR\n", escape(text)) }

// Item writes a term and what is to be said of it, indented.
func (p *Page) Item(term, text string) {
	fmt.Fprintf(&p.b, ".TP\n\\fB%s\\fR\n", escape(term))
	p.lines(text)
}

// Verbatim writes lines that are not to be filled.
func (p *Page) Verbatim(text string) {
	p.b.WriteString(".PP\n.in +4n\n.nf\n")
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		p.b.WriteString(guarded(line) + "\n")
	}
	p.b.WriteString(".fi\n.in\n")
}

// String is the page so far.
func (p *Page) String() string { return p.b.String() }

func (p *Page) lines(text string) {
	wrote := false
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			p.b.WriteString(guarded(line) + "\n")
			wrote = true
		}
	}
	if !wrote {
		p.b.WriteString("\\&\n")
	}
}

// guarded is an escaped line that is no request, whatever it begins with.
func guarded(line string) string {
	line = escape(line)
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") || line == "" {
		line = `\&` + line
	}
	return line
}

func quoted(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }

// escape keeps hyphens that are typed, apostrophes and backslashes what they are. Other characters than ASCII are left to the
// formatter, which reads UTF-8.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "\\`", "'", `\(aq`, "~", `\(ti`, "^", `\(ha`).Replace(s)
}
