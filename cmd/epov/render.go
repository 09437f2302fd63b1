package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// render writes a report for people: the verdict first, then each signature with who made it, what it covers, and every
// check that did not pass.
func render(w io.Writer, name string, r *report.Report) error {
	p := &page{w: w}
	p.line("%s  %s, %s", strings.ToUpper(r.Verdict().String()), printable(name), plural(len(r.Signatures), "signature"))
	if r.Verdict() != report.Valid && r.Integrity() == report.Valid {
		p.line("The signatures are whole; what is missing is trust in a certificate.")
	}
	p.checks(r.Checks)
	if len(r.Signatures) == 0 && len(r.Failures()) == 0 {
		p.line("  FAILED   %s: nothing is signed%s", report.SignatureNone, asides(faultAside(report.SignatureNone)))
	}
	for i := range r.Signatures {
		p.line("")
		p.signature(&r.Signatures[i])
	}
	return p.err
}

// page writes lines and remembers the first error.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *page) signature(s *report.Signature) {
	about := []string{s.Verdict().String()}
	if s.Profile != "" {
		about = append(about, "profile "+s.Profile)
	}
	if s.Algorithm != "" {
		about = append(about, s.Algorithm)
	}
	p.line("%s: %s", printable(s.Name), printable(strings.Join(about, ", ")))
	if g := s.Signer; g != nil {
		p.line("  signer   %s", printable(g.Subject))
		p.line("           issued by %s", printable(g.Issuer))
		p.line("           serial %s, valid %s to %s", printable(g.Serial), day(g.NotBefore), day(g.NotAfter))
	} else {
		p.line("  signer   unknown")
	}
	if !s.ClaimedTime.IsZero() {
		p.line("  claimed  signed at %s", s.ClaimedTime.UTC().Format(time.RFC3339))
	}
	for _, c := range s.Coverage {
		p.line("  covers   %s", printable(covered(c)))
	}
	p.checks(s.Checks)
}

func (p *page) checks(checks []report.Check) {
	passed := 0
	for _, c := range checks {
		switch c.Status {
		case report.Passed:
			passed++
			continue
		case report.Failed:
			p.line("  FAILED   %s: %s%s", c.Code, printable(c.Message), asides(faultAside(c.Code)))
		case report.NotChecked:
			p.line("  NOT CHECKED  %s: %s", c.Code, printable(c.Message))
		}
		if at := c.Place.String(); at != "" {
			p.line("           at %s", printable(at))
		}
		if c.Expected != "" {
			p.line("           expected %s", printable(c.Expected))
		}
		if c.Got != "" {
			p.line("           got      %s", printable(c.Got))
		}
	}
	if passed > 0 {
		p.line("  passed   %s", plural(passed, "check"))
	}
}

// covered says in a line what a part of the message is.
func covered(c report.Coverage) string {
	var b strings.Builder
	switch {
	case c.Element != "":
		b.WriteString(c.Element)
	case c.URI != "":
		b.WriteString("the content " + c.URI)
	case len(c.Transforms) > 0:
		b.WriteString("the whole document")
	default:
		b.WriteString("the whole content")
	}
	if c.URI != "" && c.Element != "" {
		b.WriteString(" (" + c.URI + ")")
	}
	if c.Place.Line > 0 {
		fmt.Fprintf(&b, ", line %d", c.Place.Line)
	}
	fmt.Fprintf(&b, ", %s digested", plural(int(c.Octets), "octet"))
	return b.String()
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
