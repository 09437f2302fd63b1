package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/epov-signer/epov/signer/report"
)

// words is the fixed text of one language.
type words struct {
	nothing, trust, heading, what, with, note, other, where, stated, matching, changed, advice, fault string
	value                                                                                             string
	kinds                                                                                             map[EditKind]string
}

var languages = [...]words{
	report.English: {
		nothing: "There is nothing to explain: every digest and every signature value is right.",
		trust:   "What is missing is trust in a certificate; the report says why.",
		heading: "Why", what: "mistake", with: "with", note: "note", other: "element", where: "differs", stated: "stated", matching: "signed",
		changed: "changed", advice: "do", fault: "SMEV", value: "at octet %d of what is digested",
		kinds: map[EditKind]string{TextChanged: "text", AttributeChanged: "attribute", NamespaceChanged: "name or namespace",
			ElementAdded: "element added", ElementRemoved: "element removed"},
	},
	report.Russian: {
		nothing: "Объяснять нечего: все хэши и значения подписей верны.",
		trust:   "Не хватает лишь доверия к сертификату; причина указана в отчёте.",
		heading: "Причина", what: "ошибка", with: "вместе с", note: "примечание", other: "элемент", where: "различие", stated: "по подписи",
		matching: "подписано", changed: "изменено", advice: "сделайте", fault: "СМЭВ", value: "с октета %d хэшируемых данных",
		kinds: map[EditKind]string{TextChanged: "текст", AttributeChanged: "атрибут", NamespaceChanged: "имя или пространство имён",
			ElementAdded: "добавлен элемент", ElementRemoved: "удалён элемент"},
	},
}

// WriteText writes the report, and then what explains it, for people. name says what was examined.
func (e *Explanation) WriteText(w io.Writer, name string, l report.Language) error {
	if err := e.Report.WriteText(w, name, l); err != nil {
		return err
	}
	p := report.NewPage(w)
	say := &languages[l]
	p.Line("")
	if len(e.Findings) == 0 && e.Report.Integrity() == report.Valid {
		p.Line("%s", say.nothing)
		if e.Report.Verdict() != report.Valid {
			p.Line("%s", say.trust)
		}
	}
	for i := range e.Findings {
		e.Findings[i].write(p, e.Report, l)
	}
	for _, a := range e.Advice() {
		p.Line("%s: %s", a.Code, a.Code.Info().In(l))
		p.Line("  %-12s %s", say.advice, a.In(l))
	}
	return p.Err
}

func (f *Finding) write(p *report.Page, r *report.Report, l report.Language) {
	say := &languages[l]
	field := func(label, format string, args ...any) {
		p.Line("  %-12s %s", label, report.Printable(fmt.Sprintf(format, args...)))
	}
	of := ""
	if f.Signature < len(r.Signatures) {
		of = r.Signatures[f.Signature].Name + ", "
	}
	at := ""
	if s := f.Place.In(l); s != "" {
		at = " (" + s + ")"
	}
	p.Line("%s: %s", say.heading, report.Printable(of+f.Subject+at))
	label := say.what
	for _, m := range f.Mistakes {
		field(label, "%s: %s", m, m.Info().What.In(l))
		label = say.with
	}
	for _, what := range f.What {
		field(say.note, "%s", what)
	}
	if f.Other != nil {
		field(say.other, "%s", f.Other.In(l))
	}
	if d := f.Difference; d != nil {
		field(say.where, say.value, d.Offset)
		field("  "+say.stated, "%s", strconv.Quote(d.Stated))
		field("  "+say.matching, "%s", strconv.Quote(d.Matching))
	}
	for _, e := range f.Edits {
		field(say.changed, "%s, %s%s", say.kinds[e.Kind], e.Place.In(l), became(e))
	}
	for _, m := range f.Mistakes {
		field(say.advice, "%s", m.Info().Advice.In(l))
	}
	if fault := f.Fault(); fault != "" {
		field(say.fault, "%s", fault)
	}
}

// became shows what an edit made of what.
func became(e Edit) string {
	var b strings.Builder
	switch e.Kind {
	case ElementAdded, ElementRemoved:
		return ": " + e.Name
	}
	fmt.Fprintf(&b, ": %s → %s", strconv.Quote(e.Was), strconv.Quote(e.Is))
	return b.String()
}
