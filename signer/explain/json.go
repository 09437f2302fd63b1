package explain

import (
	"encoding/json"
	"io"

	"github.com/epov-signer/epov/signer/report"
)

// The explanation for machines. Field names are a contract, described in docs/explain.md: fields may be added, none is
// renamed.
type (
	jsonExplanation struct {
		File     string         `json:"file,omitempty"`
		Report   *report.Report `json:"report"`
		Findings []jsonFinding  `json:"findings"`
		Advice   []jsonAdvice   `json:"advice,omitempty"`
	}
	jsonAdvice struct {
		Code    report.Code `json:"code"`
		English string      `json:"advice_en"`
		Russian string      `json:"advice_ru"`
	}
	jsonFinding struct {
		Mistakes   []jsonMistake   `json:"mistakes"`
		Signature  int             `json:"signature"`
		Reference  *int            `json:"reference,omitempty"`
		Subject    string          `json:"subject"`
		Place      report.Place    `json:"place"`
		Code       report.Code     `json:"code"`
		SMEVFault  string          `json:"smev_fault,omitempty"`
		Notes      []string        `json:"notes,omitempty"`
		Other      *report.Place   `json:"other,omitempty"`
		Difference *jsonDifference `json:"difference,omitempty"`
		Edits      []jsonEdit      `json:"edits,omitempty"`
	}
	jsonMistake struct {
		Name            Mistake `json:"name"`
		English         string  `json:"sentence_en"`
		Russian         string  `json:"sentence_ru"`
		AdviceInEnglish string  `json:"advice_en"`
		AdviceInRussian string  `json:"advice_ru"`
	}
	jsonDifference struct {
		Offset   int    `json:"offset"`
		Stated   string `json:"stated"`
		Matching string `json:"matching"`
	}
	jsonEdit struct {
		Kind  EditKind     `json:"kind"`
		Place report.Place `json:"place"`
		Name  string       `json:"name,omitempty"`
		Was   string       `json:"was"`
		Is    string       `json:"is"`
	}
)

// WriteJSON writes the explanation as JSON with a line feed after it; name says what was examined.
func (e *Explanation) WriteJSON(w io.Writer, name string) error {
	out := jsonExplanation{File: name, Report: e.Report, Findings: []jsonFinding{}}
	for i := range e.Findings {
		f := &e.Findings[i]
		j := jsonFinding{
			Signature: f.Signature, Subject: f.Subject, Place: f.Place, Code: f.Code, SMEVFault: f.Fault(), Notes: f.What, Other: f.Other,
		}
		if f.Reference >= 0 {
			j.Reference = &f.Reference
		}
		for _, m := range f.Mistakes {
			info := m.Info()
			j.Mistakes = append(j.Mistakes, jsonMistake{m, info.What.English, info.What.Russian, info.Advice.English, info.Advice.Russian})
		}
		if d := f.Difference; d != nil {
			j.Difference = &jsonDifference{d.Offset, d.Stated, d.Matching}
		}
		for _, edit := range f.Edits {
			j.Edits = append(j.Edits, jsonEdit(edit))
		}
		out.Findings = append(out.Findings, j)
	}
	for _, a := range e.Advice() {
		out.Advice = append(out.Advice, jsonAdvice{a.Code, a.English, a.Russian})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
