package xmldsig

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Check says whether Prepare would accept the document, without a certificate where in has none. Errors are *report.Error.
func (p *Profile) Check(in Input) error {
	if in.Certificate == nil {
		in.Certificate = anyone
	} else if err := checkSigner(in.Certificate, in.Time); err != nil {
		return err
	}
	_, err := p.prepare(in, signing[p])
	return err
}

// anyone stands for the certificate that a signer will have.
var anyone = &gost.Certificate{
	PublicKey: &gost.PublicKey{Algorithm: gost.GOST2012_256}, Serial: big.NewInt(1), RawIssuer: []byte{0x30, 0x00},
}

// What SMEV and its users hold to.
const (
	messageLife    = 24 * time.Hour // of a message of SMEV 3, by the time in its MessageID
	inlineContents = 5 << 20        // octets of attachments that a message of SMEV 3 may carry
	clockDrift     = 5 * time.Minute
)

// Lint looks for what Prepare lets pass and recipients refuse: mistakes about messages of SMEV that are known, signatures in
// the document that are broken already, content that the transforms leave out. Its checks are Failed, each with a place. A
// document that cannot be read has none: Check says why.
func (p *Profile) Lint(in Input) []report.Check {
	if p.place == apart && !strings.HasPrefix(in.Target, "#") {
		return nil
	}
	o, err := locate(in.Document, in.Limits, nil)
	if err != nil {
		return nil
	}
	defer o.release()
	now := in.Time
	if now.IsZero() {
		now = time.Now()
	}
	l := &linter{outline: o, now: now, profile: p}
	l.versions()
	l.identifiers()
	l.parts()
	l.personal()
	l.body()
	l.content(in.Limits)
	l.existing(in)
	return l.checks
}

// linter collects what is found, of each kind the first few.
type linter struct {
	*outline
	profile *Profile
	now     time.Time
	checks  []report.Check
	told    map[string]int
}

// most bounds what is told of one kind.
const most = 5

func (l *linter) warn(code report.Code, n int, format string, args ...any) {
	if l.told == nil {
		l.told = map[string]int{}
	}
	if l.told[format]++; l.told[format] <= most {
		l.checks = append(l.checks, failed(l.fail(code, n, format, args...)))
	}
}

// plain is the text of an element that holds nothing but text, as written.
func (l *linter) plain(n int) string {
	node := &l.nodes[n]
	if node.empty() || node.children > 0 {
		return ""
	}
	return strings.TrimSpace(string(l.doc[node.tag.End:node.end.Start]))
}

// each calls f for the elements called sym.
func (l *linter) each(sym string, f func(n int)) {
	for i := range l.nodes {
		if l.nodes[i].sym == sym {
			f(i)
		}
	}
}

// versions: one message uses one version of SMEV's schemas throughout.
func (l *linter) versions() {
	first := ""
	for i := range l.nodes {
		v := l.nodes[i].version
		if symbol, _, _ := strings.Cut(l.nodes[i].sym, ":"); symbol != "t" && symbol != "b" {
			continue
		}
		switch {
		case first == "":
			first = v
		case v != first:
			l.warn(report.MessageForm, i, "this element is of schema version %s, the message began with %s", quote(v), quote(first))
			return
		}
	}
}

// identifiers: MessageID is a UUID of version 1 whose time is near.
func (l *linter) identifiers() {
	l.each("t:MessageID", func(n int) {
		if parent := l.nodes[n].parent; parent < 0 || !strings.HasPrefix(l.nodes[parent].sym, "t:SenderProvided") {
			return
		}
		version, at, ok := parseUUID(l.plain(n))
		switch {
		case !ok:
			l.warn(report.MessageIdentifier, n, "MessageID is not a UUID")
		case version != 1:
			l.warn(report.MessageIdentifier, n,
				"MessageID is a UUID of version %d, SMEV demands version 1 (RFC 4122, section 4.2)", version)
		case l.now.Sub(at) > messageLife:
			l.warn(report.MessageIdentifier, n, "the time in MessageID is %s: a message lives 24 hours", at.Format(time.RFC3339))
		case at.Sub(l.now) > clockDrift:
			l.warn(report.MessageIdentifier, n, "the time in MessageID lies ahead: %s", at.Format(time.RFC3339))
		}
	})
	l.each("b:uuid", func(n int) {
		if version, _, ok := parseUUID(l.plain(n)); !ok || version != 1 {
			l.warn(report.MessageIdentifier, n, "uuid of an attachment must be a UUID of version 1")
		}
	})
}

// parseUUID reads the text form of RFC 4122 and, of version 1, its time.
func parseUUID(s string) (version int, at time.Time, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return 0, at, false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		return 0, at, false
	}
	ticks := int64(b[6]&0x0F)<<56 | int64(b[7])<<48 | int64(b[4])<<40 | int64(b[5])<<32 |
		int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
	const epoch = 0x01B21DD213814000 // 1970 in ticks of 100 ns since 15 October 1582
	ticks -= epoch
	return int(b[6] >> 4), time.Unix(ticks/1e7, ticks%1e7*100).UTC(), true
}

// parts: what schemas demand of the elements that are signed most.
func (l *linter) parts() {
	has := func(n int, sym string) bool { return len(l.named(n, sym)) > 0 }
	l.each("b:MessageTypeSelector", func(n int) {
		if has(n, "b:NamespaceURI") != has(n, "b:RootElementLocalName") {
			l.warn(report.MessageForm, n, "NamespaceURI and RootElementLocalName go together")
		}
		if !has(n, "b:Timestamp") {
			l.warn(report.MessageForm, n, "MessageTypeSelector has no Timestamp")
		}
	})
	l.each("b:Timestamp", func(n int) {
		if _, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", l.plain(n)); err == nil {
			return
		} else if _, err := time.Parse("2006-01-02T15:04:05.999999999", l.plain(n)); err != nil {
			l.warn(report.MessageForm, n, "Timestamp is not an xs:dateTime")
		}
	})
	l.each("b:AckTargetMessage", func(n int) {
		if v, ok := l.nodes[n].attr("", "accepted"); !ok || v != "true" && v != "false" && v != "1" && v != "0" {
			l.warn(report.MessageForm, n, "AckTargetMessage says with accepted=\"true\" or \"false\" whether the message was in order")
		}
	})
	l.each("t:TestMessage", func(n int) { l.warn(report.MessageForm, n, "TestMessage marks the message as a test") })
	l.each("b:MessagePrimaryContent", func(n int) {
		if l.nodes[n].children != 1 {
			l.warn(report.MessageForm, n, "MessagePrimaryContent must hold one element, not %d", l.nodes[n].children)
		}
	})
	l.attachments()
}

// attachments: headers and contents name each other by an NCName.
func (l *linter) attachments() {
	contents := map[string]bool{}
	total := 0
	l.each("b:AttachmentContent", func(n int) {
		for _, k := range l.named(n, "b:Id") {
			contents[l.plain(k)] = true
		}
		span := l.nodes[n].span()
		total += (span.End - span.Start) / 4 * 3
		if total > inlineContents {
			l.warn(report.MessageForm, n, "attachments in the message are larger than 5 MB together: send them by file exchange")
		}
	})
	l.each("b:AttachmentHeader", func(n int) {
		for _, k := range l.named(n, "b:contentId") {
			id := l.plain(k)
			if !isReferable(id) {
				l.warn(report.MessageForm, k, "contentId is an xs:ID: it starts with a letter or an underscore")
			}
			if !contents[id] {
				l.warn(report.MessageForm, k, "no AttachmentContent has this contentId as its Id")
			}
		}
	})
}

// personal: an Id that is added to content changes what its schema must allow, and an official signs before the system.
func (l *linter) personal() {
	if l.profile != SMEV3Personal {
		return
	}
	l.each("b:MessagePrimaryContent", func(n int) {
		for _, k := range l.children(n) {
			if l.nodes[k].id() == "" {
				l.warn(report.MessageForm, k, "the content has no Id and gets one: its schema must declare the attribute Id of its root")
			}
		}
	})
}

// body: SMEV 2 signs soap:Body by wsu:Id.
func (l *linter) body() {
	if l.profile.place != inSecurity || l.outline.body < 0 {
		return
	}
	n := &l.nodes[l.outline.body]
	if _, qualified := n.attr(nsWSU, "Id"); !qualified && n.id() != "" {
		l.warn(report.MessageForm, l.outline.body, "soap:Body has a plain Id: SMEV 2 goes by wsu:Id, which is added")
	}
}

// content: what the transforms leave out or implementations of them disagree about.
func (l *linter) content(limits xmltext.Limits) {
	smev := l.profile.place == inWrapper
	t := xmltext.NewTokenizer(l.doc, limits)
	depth, noted := 0, map[string]bool{}
	note := func(format string) {
		if !noted[format] {
			noted[format] = true
			span := t.Span()
			line, column := l.position(span.Start)
			place := report.Place{Offset: span.Start, End: span.End, Line: line, Column: column}
			l.checks = append(l.checks, failed(report.Errorf(report.MessageForm, place, "%s", format)))
		}
	}
	for {
		kind, err := t.Next()
		if err != nil || kind == xmltext.EOF {
			return
		}
		switch kind {
		case xmltext.StartElement:
			depth++
			for _, a := range t.Attrs() {
				if smev && string(a.Space) == nsXSI && string(a.Local) == "type" && bytes.IndexByte(a.Value, ':') > 0 {
					note("xsi:type names a prefix, whose declaration the SMEV transform does not keep: it is not covered")
				}
			}
		case xmltext.EndElement:
			depth--
		case xmltext.Comment:
			if depth > 0 {
				note("comments are not covered by a signature, and may come and go: leave them out")
			}
		case xmltext.ProcInst:
			if depth > 0 && smev {
				note("processing instructions are not covered by a signature of SMEV 3: leave them out")
			}
		case xmltext.Text:
			if smev && t.Shape() != xmltext.Plain && bytes.IndexByte(t.Text(), '>') >= 0 {
				note("'>' in text: older implementations of the SMEV transform write it otherwise, and refuse the signature")
			}
		}
	}
}

const nsXSI = "http://www.w3.org/2001/XMLSchema-instance"

// existing: signatures that are in the document already and do not hold.
func (l *linter) existing(in Input) {
	if len(l.signatures) == 0 {
		return
	}
	r, err := Verify(in.Document, Policy{Limits: in.Limits, Content: nil, Keys: in.Keys})
	if err != nil {
		return
	}
	for i := range r.Signatures {
		s := &r.Signatures[i]
		if s.Integrity() != report.Invalid {
			continue
		}
		for _, c := range s.Checks {
			if c.Status == report.Failed && !c.Code.AboutTrust() {
				c.Message = fmt.Sprintf("%s, which is in the document already, is broken: %s", s.Name, c.Message)
				l.checks = append(l.checks, c)
				break
			}
		}
	}
}
