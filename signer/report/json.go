package report

import (
	"encoding/json"
	"io"
	"time"
)

// The report for machines. Field names are a contract, described in docs/report.md: fields may be added, none is renamed.
type (
	jsonReport struct {
		File       string          `json:"file,omitempty"`
		Verdict    string          `json:"verdict"`
		Integrity  string          `json:"integrity"`
		Format     string          `json:"format"`
		Checks     []jsonCheck     `json:"checks"`
		Signatures []jsonSignature `json:"signatures"`
	}
	jsonSignature struct {
		Name        string         `json:"name"`
		Profile     string         `json:"profile,omitempty"`
		Verdict     string         `json:"verdict"`
		Integrity   string         `json:"integrity"`
		Algorithm   string         `json:"algorithm,omitempty"`
		Place       *Place         `json:"place,omitempty"`
		Signer      *jsonSigner    `json:"signer,omitempty"`
		ClaimedTime *time.Time     `json:"claimed_time,omitempty"`
		Evidence    *jsonEvidence  `json:"evidence,omitempty"`
		TimeStamps  []jsonStamp    `json:"time_stamps,omitempty"`
		Coverage    []jsonCoverage `json:"coverage"`
		Covers      []int          `json:"covers,omitempty"`
		Checks      []jsonCheck    `json:"checks"`
	}
	jsonSigner struct {
		Subject     string    `json:"subject"`
		Issuer      string    `json:"issuer"`
		Serial      string    `json:"serial"`
		NotBefore   time.Time `json:"not_before"`
		NotAfter    time.Time `json:"not_after"`
		Fingerprint string    `json:"fingerprint"`
		Certificate []byte    `json:"certificate"`
	}
	jsonCoverage struct {
		URI        string   `json:"uri"`
		Element    string   `json:"element,omitempty"`
		Place      *Place   `json:"place,omitempty"`
		Transforms []string `json:"transforms,omitempty"`
		Digest     string   `json:"digest"`
		Octets     int64    `json:"octets"`
	}
	jsonCheck struct {
		Code      Code   `json:"code"`
		Status    string `json:"status"`
		Message   string `json:"message"`
		English   string `json:"sentence_en,omitempty"`
		Russian   string `json:"sentence_ru,omitempty"`
		Place     *Place `json:"place,omitempty"`
		Expected  string `json:"expected,omitempty"`
		Got       string `json:"got,omitempty"`
		SMEVFault string `json:"smev_fault,omitempty"`
	}
	jsonEvidence struct {
		Time         time.Time         `json:"time"`
		Policy       string            `json:"revocation_policy"`
		Certificates []jsonCertificate `json:"certificates"`
	}
	jsonStamp struct {
		Time      time.Time     `json:"time"`
		Accuracy  float64       `json:"accuracy_seconds,omitempty"`
		Policy    string        `json:"policy"`
		Serial    string        `json:"serial"`
		Digest    string        `json:"digest"`
		Algorithm string        `json:"algorithm"`
		Trusted   bool          `json:"trusted"`
		Place     *Place        `json:"place,omitempty"`
		Signer    *jsonSigner   `json:"signer,omitempty"`
		Evidence  *jsonEvidence `json:"evidence,omitempty"`
	}
	jsonCertificate struct {
		Subject     string          `json:"subject"`
		Serial      string          `json:"serial"`
		Fingerprint string          `json:"fingerprint"`
		Anchor      bool            `json:"anchor"`
		Revocation  *jsonRevocation `json:"revocation,omitempty"`
	}
	jsonRevocation struct {
		Kind       string     `json:"kind"`
		Source     string     `json:"source"`
		Issuer     string     `json:"issuer"`
		Number     string     `json:"number,omitempty"`
		ThisUpdate time.Time  `json:"this_update"`
		NextUpdate *time.Time `json:"next_update,omitempty"`
		Revoked    bool       `json:"revoked"`
		RevokedAt  *time.Time `json:"revoked_at,omitempty"`
		Reason     string     `json:"reason,omitempty"`
	}
)

// WriteJSON writes the report as JSON with a line feed after it; name says what was examined.
func (r *Report) WriteJSON(w io.Writer, name string) error {
	out := r.json()
	out.File = name
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// MarshalJSON is the same without the name, for reports inside of other JSON.
func (r *Report) MarshalJSON() ([]byte, error) { return json.Marshal(r.json()) }

// ChecksJSON is the JSON form of checks that are not part of a report.
func ChecksJSON(checks []Check) ([]byte, error) { return json.Marshal(checksJSON(checks)) }

func (r *Report) json() *jsonReport {
	out := &jsonReport{
		Verdict: r.Verdict().String(), Integrity: r.Integrity().String(), Format: r.Format,
		Checks: checksJSON(r.Checks), Signatures: []jsonSignature{},
	}
	for i := range r.Signatures {
		out.Signatures = append(out.Signatures, signatureJSON(&r.Signatures[i]))
	}
	return out
}

func signatureJSON(s *Signature) jsonSignature {
	out := jsonSignature{
		Name: s.Name, Profile: s.Profile, Verdict: s.Verdict().String(), Integrity: s.Integrity().String(),
		Algorithm: s.Algorithm, Place: placeJSON(s.Place), Signer: signerJSON(s.Signer), ClaimedTime: timeJSON(s.ClaimedTime),
		Evidence: evidenceJSON(s.Evidence), Coverage: []jsonCoverage{}, Covers: s.Covers, Checks: checksJSON(s.Checks),
	}
	for _, ts := range s.TimeStamps {
		out.TimeStamps = append(out.TimeStamps, jsonStamp{
			ts.Time.UTC(), ts.Accuracy.Seconds(), ts.Policy, ts.Serial, ts.Digest, ts.Algorithm, ts.Trusted,
			placeJSON(ts.Place), signerJSON(ts.Signer), evidenceJSON(ts.Evidence),
		})
	}
	for _, c := range s.Coverage {
		out.Coverage = append(out.Coverage, jsonCoverage{c.URI, c.Element, placeJSON(c.Place), c.Transforms, c.Digest, c.Octets})
	}
	return out
}

func signerJSON(g *Signer) *jsonSigner {
	if g == nil {
		return nil
	}
	return &jsonSigner{g.Subject, g.Issuer, g.Serial, g.NotBefore.UTC(), g.NotAfter.UTC(), g.Fingerprint, g.Certificate}
}

func evidenceJSON(e *Evidence) *jsonEvidence {
	if e == nil {
		return nil
	}
	out := &jsonEvidence{Time: e.Time.UTC(), Policy: e.Revocation, Certificates: []jsonCertificate{}}
	for _, c := range e.Path {
		j := jsonCertificate{Subject: c.Subject, Serial: c.Serial, Fingerprint: c.Fingerprint, Anchor: c.Anchor}
		if r := c.Revocation; r != nil {
			j.Revocation = &jsonRevocation{r.Kind, r.Source, r.Issuer, r.Number, r.ThisUpdate.UTC(), timeJSON(r.NextUpdate),
				r.Revoked, timeJSON(r.RevokedAt), r.Reason}
		}
		out.Certificates = append(out.Certificates, j)
	}
	return out
}

func checksJSON(checks []Check) []jsonCheck {
	out := []jsonCheck{}
	for _, c := range checks {
		j := jsonCheck{
			Code: c.Code, Status: c.Status.String(), Message: c.Message, Place: placeJSON(c.Place), Expected: c.Expected, Got: c.Got,
		}
		if c.Status == Failed {
			info := c.Code.Info()
			j.English, j.Russian, j.SMEVFault = info.English, info.Russian, info.Fault
		}
		out = append(out, j)
	}
	return out
}

func placeJSON(p Place) *Place {
	if p == (Place{}) {
		return nil
	}
	return &p
}

func timeJSON(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
