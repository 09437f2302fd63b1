// Package report says what was checked on a signed document, what was found, and what the signatures cover.
//
// A [Report] is plain data: the packages that verify fill it, callers read it or render it. Its verdict is a pure function
// of its checks. Anything that was not understood is a [NotChecked] check and makes the verdict [Indeterminate]; nothing is
// skipped silently.
package report

import (
	"fmt"
	"time"
)

// Status is the outcome of one check.
type Status uint8

const (
	Passed     Status = iota // the rule was applied and holds
	Failed                   // the rule was applied and is broken
	NotChecked               // the rule could not be applied; the message says why
)

func (s Status) String() string { return [...]string{"passed", "failed", "not checked"}[s] }

// Verdict is the answer about a signature or a document.
type Verdict uint8

const (
	Indeterminate Verdict = iota // nothing is wrong, but something needed was not checked
	Valid                        // every check passed
	Invalid                      // at least one check failed, or nothing is signed
)

func (v Verdict) String() string { return [...]string{"indeterminate", "valid", "invalid"}[v] }

// Place is where in the input something is. The zero Place is "nowhere in particular".
type Place struct {
	Offset int    `json:"offset"` // byte offsets into the input as it came: [Offset, End); both 0 when unknown
	End    int    `json:"end"`
	Line   int    `json:"line,omitempty"` // 1-based; Column counts bytes; 0 when unknown
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"` // XPath-like for XML ("/soap:Envelope/soap:Body"), ASN.1 field path for CMS; may be empty
}

func (p Place) String() string { return p.In(English) }

// In says in a language where the place is, on one line; empty for the zero Place.
func (p Place) In(l Language) string {
	at, offset := "line %d, column %d", "offset %d"
	if l == Russian {
		at, offset = "строка %d, столбец %d", "смещение %d"
	}
	switch {
	case p.Line > 0 && p.Path != "":
		return fmt.Sprintf(at, p.Line, p.Column) + ", " + p.Path
	case p.Line > 0:
		return fmt.Sprintf(at, p.Line, p.Column)
	case p.Path != "":
		return p.Path
	case p.End > p.Offset:
		return fmt.Sprintf(offset, p.Offset)
	}
	return ""
}

// Check is one rule applied to one thing.
type Check struct {
	Code     Code
	Status   Status
	Message  string // one English sentence without a final period; never payload, never a secret
	Place    Place
	Expected string // what would have passed, where that can be said (base64 for digests)
	Got      string // what was there instead
}

// Coverage is one part of the input that a signature covers.
type Coverage struct {
	URI        string   // the Reference's URI as written; empty for CMS content
	Element    string   // expanded name "{namespace}local" of the covered element; empty for a whole document or CMS content
	Place      Place    // of the covered octets in the input
	Transforms []string // algorithm identifiers in the order they were applied
	Digest     string   // digest algorithm identifier
	Octets     int64    // length of what was digested
}

// Signer is the certificate that a signature names, as far as it could be read.
type Signer struct {
	Subject, Issuer     string // RFC 4514 strings
	Serial              string // hexadecimal, upper case
	NotBefore, NotAfter time.Time
	Fingerprint         string // Streebog-256 of the DER, hexadecimal
	Certificate         []byte // DER
}

// Signature is what was found out about one signature.
type Signature struct {
	Name        string // what the signature is in its message: "CallerInformationSystemSignature", "wsse:Security[actor smev]", "SignerInfo 1"
	Profile     string // the profile it was held against; empty when none applies
	Place       Place
	Algorithm   string // "gost2012-256"
	Signer      *Signer
	Coverage    []Coverage
	Covers      []int     // other signatures of the report, by index, that lie in what this one covers
	ClaimedTime time.Time // signing time as claimed by the signer, zero when absent
	Evidence    *Evidence // what the checks of the certificate rest on; nil without a certificate
	TimeStamps  []TimeStamp
	Checks      []Check
}

// Report is the answer to "verify this".
type Report struct {
	Format     string // "xmldsig" or "cms"
	Checks     []Check
	Signatures []Signature
}

// Add appends a check.
func (r *Report) Add(c Check) { r.Checks = append(r.Checks, c) }

// maxChecks bounds what is told of one signature. A hostile message has a mistake every few octets.
const maxChecks = 512

// Add appends checks. After 512 of them one more fails and says so, and further ones are dropped.
func (s *Signature) Add(checks ...Check) {
	for _, c := range checks {
		switch n := len(s.Checks); {
		case n < maxChecks:
			s.Checks = append(s.Checks, c)
		case n == maxChecks:
			s.Checks = append(s.Checks, Check{Code: ReferenceLimit, Status: Failed, Place: s.Place,
				Message: fmt.Sprintf("there are more than %d things to tell of this signature: not all are told", maxChecks)})
		}
	}
}

// Verdict is Invalid when a check failed or nothing is signed, else Indeterminate when something was not checked, else
// Valid.
func (r *Report) Verdict() Verdict {
	if len(r.Signatures) == 0 {
		return Invalid
	}
	v := verdict(r.Checks, nil)
	for i := range r.Signatures {
		v = worse(v, r.Signatures[i].Verdict())
	}
	return v
}

// Integrity is the verdict over everything but trust: the signatures are whole, cover what they must, and fit the keys
// they name, whoever holds these. It is what remains to be said of a signature whose certificate has expired.
func (r *Report) Integrity() Verdict {
	if len(r.Signatures) == 0 {
		return Invalid
	}
	v := verdict(r.Checks, Code.AboutTrust)
	for i := range r.Signatures {
		v = worse(v, r.Signatures[i].Integrity())
	}
	return v
}

// Verdict of this signature alone.
func (s *Signature) Verdict() Verdict { return verdict(s.Checks, nil) }

// Integrity is the verdict of this signature alone without the checks about trust.
func (s *Signature) Integrity() Verdict { return verdict(s.Checks, Code.AboutTrust) }

func verdict(checks []Check, skip func(Code) bool) Verdict {
	v := Valid
	for _, c := range checks {
		if skip != nil && skip(c.Code) {
			continue
		}
		switch c.Status {
		case Failed:
			return Invalid
		case NotChecked:
			v = Indeterminate
		}
	}
	return v
}

func worse(a, b Verdict) Verdict {
	rank := [...]int{Indeterminate: 1, Valid: 0, Invalid: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Failures returns the failed checks of the whole report, in order.
func (r *Report) Failures() []Check {
	var out []Check
	add := func(checks []Check) {
		for _, c := range checks {
			if c.Status == Failed {
				out = append(out, c)
			}
		}
	}
	add(r.Checks)
	for i := range r.Signatures {
		add(r.Signatures[i].Checks)
	}
	return out
}

// Err returns nil when the verdict is Valid and an [*InvalidError] otherwise, so that nobody passes by forgetting to look.
func (r *Report) Err() error {
	if r.Verdict() == Valid {
		return nil
	}
	return &InvalidError{r}
}

// InvalidError says that a document was examined and is not valid.
type InvalidError struct{ Report *Report }

func (e *InvalidError) Error() string {
	if f := e.Report.Failures(); len(f) > 0 {
		return fmt.Sprintf("signature %s: %s: %s", e.Report.Verdict(), f[0].Code, f[0].Message)
	}
	if len(e.Report.Signatures) == 0 {
		return "signature invalid: " + string(SignatureNone) + ": nothing is signed"
	}
	return "signature " + e.Report.Verdict().String()
}

// Error says why a document could not be examined, or could not be signed, at all. Its Code is as stable as a check's.
type Error struct {
	Code    Code
	Place   Place
	Message string // one English sentence without a final period; never payload, never a secret
	Err     error  // cause, may be nil
	Key     string // key or key version that it is about, by its name; empty: none in particular

	// RetryAfter is when asking again has some hope, where that is known; else 0.
	RetryAfter time.Duration

	// Quota is the limit that a call went over, where it did.
	Quota *Quota
}

// Quota is a limit of a caller.
type Quota struct {
	Subject string // whose it is: "clients/{client}/roles/{role}"
	Limit   string // its name in the policy: "rate", "concurrent", "message_bytes"
	Value   int64  // calls a second, calls, octets
}

func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if p := e.Place.String(); p != "" {
		s += " (" + p + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an [*Error] without a cause.
func Errorf(code Code, place Place, format string, args ...any) *Error {
	return &Error{Code: code, Place: place, Message: fmt.Sprintf(format, args...)}
}
