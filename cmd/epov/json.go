package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// The report for machines. Field names are a contract: fields may be added, none is renamed.
type (
	jsonReport struct {
		File       string          `json:"file"`
		Verdict    string          `json:"verdict"`   // "valid", "invalid", "indeterminate"
		Integrity  string          `json:"integrity"` // the same without the checks about trust
		Format     string          `json:"format"`    // "xmldsig", "cms"
		Checks     []jsonCheck     `json:"checks"`
		Signatures []jsonSignature `json:"signatures"`
	}
	jsonSignature struct {
		Name        string         `json:"name"`
		Profile     string         `json:"profile,omitempty"`
		Verdict     string         `json:"verdict"`
		Integrity   string         `json:"integrity"`
		Algorithm   string         `json:"algorithm,omitempty"`
		Place       *jsonPlace     `json:"place,omitempty"`
		Signer      *jsonSigner    `json:"signer,omitempty"`
		ClaimedTime *time.Time     `json:"claimed_time,omitempty"`
		Coverage    []jsonCoverage `json:"coverage"`
		Checks      []jsonCheck    `json:"checks"`
	}
	jsonSigner struct {
		Subject     string    `json:"subject"`
		Issuer      string    `json:"issuer"`
		Serial      string    `json:"serial"`
		NotBefore   time.Time `json:"not_before"`
		NotAfter    time.Time `json:"not_after"`
		Fingerprint string    `json:"fingerprint"` // Streebog-256 of the DER
		Certificate []byte    `json:"certificate"` // base64 of the DER
	}
	jsonCoverage struct {
		URI        string     `json:"uri"`
		Element    string     `json:"element,omitempty"`
		Place      *jsonPlace `json:"place,omitempty"`
		Transforms []string   `json:"transforms,omitempty"`
		Digest     string     `json:"digest"`
		Octets     int64      `json:"octets"`
	}
	jsonCheck struct {
		Code      report.Code `json:"code"`
		Status    string      `json:"status"` // "passed", "failed", "not checked"
		Message   string      `json:"message"`
		Place     *jsonPlace  `json:"place,omitempty"`
		Expected  string      `json:"expected,omitempty"`
		Got       string      `json:"got,omitempty"`
		SMEVFault string      `json:"smev_fault,omitempty"` // on failed checks
	}
	jsonPlace struct {
		Offset int    `json:"offset"`
		End    int    `json:"end"`
		Line   int    `json:"line,omitempty"`
		Column int    `json:"column,omitempty"`
		Path   string `json:"path,omitempty"`
	}
)

func renderJSON(w io.Writer, name string, r *report.Report) error {
	out := jsonReport{
		File: name, Verdict: r.Verdict().String(), Integrity: r.Integrity().String(), Format: r.Format,
		Checks: checksJSON(r.Checks), Signatures: []jsonSignature{},
	}
	for i := range r.Signatures {
		out.Signatures = append(out.Signatures, signatureJSON(&r.Signatures[i]))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

func signatureJSON(s *report.Signature) jsonSignature {
	out := jsonSignature{
		Name: s.Name, Profile: s.Profile, Verdict: s.Verdict().String(), Integrity: s.Integrity().String(),
		Algorithm: s.Algorithm, Place: placeJSON(s.Place), Coverage: []jsonCoverage{}, Checks: checksJSON(s.Checks),
	}
	if g := s.Signer; g != nil {
		out.Signer = &jsonSigner{g.Subject, g.Issuer, g.Serial, g.NotBefore.UTC(), g.NotAfter.UTC(), g.Fingerprint, g.Certificate}
	}
	if !s.ClaimedTime.IsZero() {
		t := s.ClaimedTime.UTC()
		out.ClaimedTime = &t
	}
	for _, c := range s.Coverage {
		out.Coverage = append(out.Coverage, jsonCoverage{c.URI, c.Element, placeJSON(c.Place), c.Transforms, c.Digest, c.Octets})
	}
	return out
}

func checksJSON(checks []report.Check) []jsonCheck {
	out := []jsonCheck{}
	for _, c := range checks {
		j := jsonCheck{
			Code: c.Code, Status: c.Status.String(), Message: c.Message, Place: placeJSON(c.Place), Expected: c.Expected, Got: c.Got,
		}
		if c.Status == report.Failed {
			j.SMEVFault = c.Code.Info().Fault
		}
		out = append(out, j)
	}
	return out
}

func placeJSON(p report.Place) *jsonPlace {
	if p == (report.Place{}) {
		return nil
	}
	return &jsonPlace{p.Offset, p.End, p.Line, p.Column, p.Path}
}
