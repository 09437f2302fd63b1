package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// WriteText writes the report for people: the verdict first, then each signature with who made it, what it covers, and every
// check that did not pass. name says what was examined. What comes from the message is made safe for a terminal.
func (r *Report) WriteText(w io.Writer, name string, l Language) error {
	p := &page{Page: NewPage(w), l: l, say: &phrases[l]}
	p.Line("%s  %s, %s", p.say.verdicts[r.Verdict()], Printable(name), p.say.signatures(len(r.Signatures)))
	if r.Verdict() != Valid && r.Integrity() == Valid {
		p.Line("%s", p.say.whole)
	}
	p.checks(r.Checks)
	if len(r.Signatures) == 0 && len(r.Failures()) == 0 {
		p.field(p.say.failed, "%s: %s%s", SignatureNone, SignatureNone.Info().In(l), p.fault(SignatureNone))
	}
	for i := range r.Signatures {
		p.Line("")
		p.signature(r, &r.Signatures[i])
	}
	return p.Err
}

// WriteChecks writes checks that are not part of a report, as WriteText writes those that are.
func WriteChecks(w io.Writer, checks []Check, l Language) error {
	p := &page{Page: NewPage(w), l: l, say: &phrases[l]}
	p.checks(checks)
	return p.Err
}

// Page writes lines and keeps the first error.
type Page struct {
	w   io.Writer
	Err error
}

// NewPage returns a page that goes to w.
func NewPage(w io.Writer) *Page { return &Page{w: w} }

// Line writes a line.
func (p *Page) Line(format string, args ...any) {
	if p.Err == nil {
		_, p.Err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// phrase is the fixed text of one language.
type phrase struct {
	verdicts [3]string // upper case, indexed by Verdict
	whole    string

	width                                                                    int // of the labels
	signer, path, revocation, claimed, stamped, covers, failed, open, passed string

	unknown, issued, validity, profile, signedAt, anchor, untrusted, other string
	at, expected, got, detail, fault                                       string
	content, document, all, value, line, octets                            string
	signatures, checks                                                     func(n int) string
	revoked                                                                revokedPhrase
	unasked, unheard                                                       string // about revocation: nobody looked, nothing was found
}

type revokedPhrase struct{ number, issuer, source, since, until, at string }

var phrases = [...]phrase{
	English: {
		verdicts: [...]string{Indeterminate: "INDETERMINATE", Valid: "VALID", Invalid: "INVALID"},
		whole:    "The signatures are whole; what is missing is trust in a certificate.",
		width:    8,
		signer:   "signer", path: "path", claimed: "claimed", covers: "covers", failed: "FAILED", open: "NOT CHECKED", passed: "passed",
		stamped: "stamped", untrusted: " (does not count: not everything about it is in order)", other: "the signature ",
		revocation: "revocation", anchor: " (trust anchor)", unknown: "unknown", issued: "issued by ", validity: "serial %s, valid %s to %s", profile: "profile ",
		signedAt: "signed at ", at: "at ", expected: "expected ", got: "got      ", fault: " [SMEV answers %s]",
		content: "the content ", document: "the whole document", all: "the whole content", value: "the signature value at ", line: ", line %d", octets: ", %s digested",
		signatures: func(n int) string { return plural(n, "signature") },
		checks:     func(n int) string { return plural(n, "check") },
		unasked:    "not looked at", unheard: "nothing is known of it",
		revoked: revokedPhrase{" number %s", " of %s", " from %s", ", since %s", ", until %s", ", revoked at %s"},
	},
	Russian: {
		verdicts: [...]string{Indeterminate: "НЕ ОПРЕДЕЛЕНО", Valid: "ДЕЙСТВИТЕЛЬНА", Invalid: "НЕДЕЙСТВИТЕЛЬНА"},
		whole:    "Подписи целы и относятся к этим данным; нет лишь доверия к сертификату.",
		width:    12,
		signer:   "подписант", path: "цепочка", claimed: "время", covers: "охватывает", failed: "ОШИБКА", open: "НЕ ПРОВЕРЕНО", passed: "пройдено",
		stamped: "метка", untrusted: " (не учитывается: проверена не полностью)", other: "подпись ",
		revocation: "отзыв", anchor: " (доверенный корень)", unknown: "неизвестен", issued: "издатель ", validity: "серийный номер %s, действует с %s по %s", profile: "профиль ",
		signedAt: "заявленное подписантом время: ", at: "место: ", expected: "ожидалось ", got: "получено  ", detail: "подробнее: ",
		fault:   " [ответ СМЭВ: %s]",
		content: "содержимое ", document: "документ целиком", all: "содержимое целиком", value: "значение подписи ", line: ", строка %d", octets: ", хэшировано октетов: %s",
		signatures: func(n int) string { return "подписей: " + strconv.Itoa(n) },
		checks:     func(n int) string { return "проверок: " + strconv.Itoa(n) },
		unasked:    "не проверялся", unheard: "сведений нет",
		revoked: revokedPhrase{" № %s", ", издатель %s", ", источник %s", ", выпущен %s", ", действует до %s", ", сертификат отозван %s"},
	},
}

var verdictWords = [...][3]string{
	English: {Indeterminate: "indeterminate", Valid: "valid", Invalid: "invalid"},
	Russian: {Indeterminate: "не определено", Valid: "действительна", Invalid: "недействительна"},
}

// In names the verdict in a language.
func (v Verdict) In(l Language) string { return verdictWords[l][v] }

type page struct {
	*Page
	l   Language
	say *phrase
}

// field writes a line that starts with a label, more one that goes on.
func (p *page) field(label, format string, args ...any) {
	label += strings.Repeat(" ", max(1, p.say.width-utf8.RuneCountInString(label)))
	p.Line("  %s %s", label, fmt.Sprintf(format, args...))
}

func (p *page) more(format string, args ...any) { p.field("", format, args...) }

func (p *page) fault(code Code) string {
	if f := code.Info().Fault; f != "" {
		return fmt.Sprintf(p.say.fault, f)
	}
	return ""
}

func (p *page) signature(r *Report, s *Signature) {
	about := []string{s.Verdict().In(p.l)}
	if s.Profile != "" {
		about = append(about, p.say.profile+s.Profile)
	}
	if s.Algorithm != "" {
		about = append(about, s.Algorithm)
	}
	p.Line("%s: %s", Printable(s.Name), Printable(strings.Join(about, ", ")))
	if g := s.Signer; g != nil {
		p.field(p.say.signer, "%s", Printable(g.Subject))
		p.more("%s%s", p.say.issued, Printable(g.Issuer))
		p.more(p.say.validity, Printable(g.Serial), day(g.NotBefore), day(g.NotAfter))
	} else {
		p.field(p.say.signer, "%s", p.say.unknown)
	}
	if !s.ClaimedTime.IsZero() {
		p.field(p.say.claimed, "%s%s", p.say.signedAt, s.ClaimedTime.UTC().Format(time.RFC3339))
	}
	p.evidence(s.Evidence)
	for i := range s.TimeStamps {
		p.timeStamp(&s.TimeStamps[i])
	}
	for _, c := range s.Coverage {
		p.field(p.say.covers, "%s", Printable(p.covered(c)))
	}
	for _, i := range s.Covers {
		p.field(p.say.covers, "%s%s", p.say.other, Printable(r.Signatures[i].Name))
	}
	p.checks(s.Checks)
}

func (p *page) checks(checks []Check) {
	passed := 0
	for _, c := range checks {
		switch c.Status {
		case Passed:
			passed++
		case Failed:
			p.failure(c)
		case NotChecked:
			p.field(p.say.open, "%s: %s", c.Code, Printable(c.Message))
			p.about(c)
		}
	}
	if passed > 0 {
		p.field(p.say.passed, "%s", p.say.checks(passed))
	}
}

// failure says what is wrong: in English by the check's own sentence, in other languages by the code's and then that.
func (p *page) failure(c Check) {
	sentence := c.Code.Info().In(p.l)
	if p.say.detail == "" || sentence == "" {
		p.field(p.say.failed, "%s: %s%s", c.Code, Printable(c.Message), p.fault(c.Code))
	} else {
		p.field(p.say.failed, "%s: %s%s", c.Code, sentence, p.fault(c.Code))
		p.more("%s%s", p.say.detail, Printable(c.Message))
	}
	p.about(c)
}

func (p *page) about(c Check) {
	if at := c.Place.In(p.l); at != "" {
		p.more("%s%s", p.say.at, Printable(at))
	}
	if c.Expected != "" {
		p.more("%s%s", p.say.expected, Printable(c.Expected))
	}
	if c.Got != "" {
		p.more("%s%s", p.say.got, Printable(c.Got))
	}
}

// covered says in a line what a part of the message is.
func (p *page) covered(c Coverage) string {
	var b strings.Builder
	switch {
	case c.Element != "":
		b.WriteString(c.Element)
	case c.URI != "":
		b.WriteString(p.say.content + c.URI)
	case len(c.Transforms) > 0:
		b.WriteString(p.say.document)
	case strings.HasSuffix(c.Place.Path, "].signature"): // of a countersignature
		b.WriteString(p.say.value + c.Place.Path)
	default:
		b.WriteString(p.say.all)
	}
	if c.URI != "" && c.Element != "" {
		b.WriteString(" (" + c.URI + ")")
	}
	if c.Place.Line > 0 {
		fmt.Fprintf(&b, p.say.line, c.Place.Line)
	}
	octets := strconv.FormatInt(c.Octets, 10)
	if p.l == English {
		octets = plural(int(c.Octets), "octet")
	}
	fmt.Fprintf(&b, p.say.octets, octets)
	return b.String()
}

func (p *page) timeStamp(ts *TimeStamp) {
	by := p.say.unknown
	if ts.Signer != nil {
		by = ts.Signer.Subject
	}
	trusted := p.say.untrusted
	if ts.Trusted {
		trusted = ""
	}
	p.field(p.say.stamped, "%s, %s%s", moment(ts.Time), Printable(by), trusted)
}

// evidence shows the path above the signer, and what said whether its certificates were revoked.
func (p *page) evidence(e *Evidence) {
	if e == nil {
		return
	}
	label := p.say.path
	for i, c := range e.Path {
		if i > 0 {
			anchor := ""
			if c.Anchor {
				anchor = p.say.anchor
			}
			p.field(label, "%s%s", Printable(c.Subject), anchor)
			label = ""
		}
		switch r := c.Revocation; {
		case r != nil:
			p.field(p.say.revocation, "%s", Printable(r.in(p.l)))
			label = p.say.path
		case i == 0 && len(e.Path) > 1 && e.Revocation == "off":
			p.field(p.say.revocation, "%s", p.say.unasked)
		case len(e.Path) > 1 && e.Revocation != "off" && !c.Anchor:
			p.field(p.say.revocation, "%s", p.say.unheard)
			label = p.say.path
		}
	}
}

// in is one line about the evidence.
func (r *Revocation) in(l Language) string {
	say := &phrases[l].revoked
	line := r.Kind
	add := func(format, value string) {
		if value != "" {
			line += fmt.Sprintf(format, value)
		}
	}
	add(say.number, r.Number)
	add(say.issuer, r.Issuer)
	add(say.source, r.Source)
	add(say.since, moment(r.ThisUpdate))
	add(say.until, moment(r.NextUpdate))
	add(say.at, moment(r.RevokedAt))
	return line
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// Printable makes a string from elsewhere (a certificate, a message) safe for a terminal and keeps it on one line: what is
// not graphic is written as an escape.
func Printable(s string) string {
	unsafe := func(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) || r == unicode.ReplacementChar }
	if strings.IndexFunc(s, unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafe(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
