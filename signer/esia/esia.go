// Package esia makes and verifies what an information system signs to speak with ESIA, the state identity service: the
// client_secret of its OAuth requests, in both generations of the interface.
//
// It says which octets are signed and how the signature travels; the key signs elsewhere. A request is made in three steps:
// fill a [Request], sign its [Request.Text], put the result through [Request.Parameters].
package esia

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// Generation is which interface of ESIA a request is for. They sign other strings in another form; neither accepts the other.
type Generation int

const (
	// V1 is /aas/oauth2/ac and /aas/oauth2/te: a detached CMS message.
	V1 Generation = 1
	// V2 is /aas/oauth2/v2/ac and /aas/oauth2/v3/te: a bare signature s ‖ r, with the hash of the certificate beside it.
	V2 Generation = 2
)

// Request is an OAuth request as far as it is signed.
type Request struct {
	Generation  Generation
	ClientID    string // mnemonic of the information system
	Scope       string
	ScopeOrg    string // V2 only; empty: not sent
	RedirectURI string // V2 only, and required there
	Code        string // V2 only: the authorization code, in requests for a token
	Time        time.Time
	State       string // a UUID, new for each request
}

// maxField bounds each field, in octets.
const maxField = 16 << 10

// NewState returns a random UUID (version 4).
func NewState() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0F|0x40, u[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// TimeLayout is how the parameter timestamp is written.
const TimeLayout = "2006.01.02 15:04:05 -0700"

// Check says what of the request cannot be signed. Errors are *report.Error with the field as their place.
func (r *Request) Check() error {
	refuse := func(field, format string, args ...any) error {
		return report.Errorf(report.RequestInvalid, report.Place{Path: field}, format, args...)
	}
	if r.Generation != V1 && r.Generation != V2 {
		return refuse("generation", "the generation is neither 1 nor 2")
	}
	fields := []struct {
		name, value  string
		needed, only bool // only: not in V1
	}{
		{"client_id", r.ClientID, true, false}, {"scope", r.Scope, true, false}, {"state", r.State, true, false},
		{"redirect_uri", r.RedirectURI, r.Generation == V2, true}, {"scope_org", r.ScopeOrg, false, true}, {"code", r.Code, false, true},
	}
	for _, f := range fields {
		switch {
		case f.needed && f.value == "":
			return refuse(f.name, "%s is missing", f.name)
		case f.only && f.value != "" && r.Generation == V1:
			return refuse(f.name, "%s is not signed in the first generation", f.name)
		case len(f.value) > maxField:
			return refuse(f.name, "%s has more than %d octets", f.name, maxField)
		case strings.ContainsAny(f.value, "\x00\r\n"):
			return refuse(f.name, "%s has a line break or NUL in it", f.name)
		}
	}
	if r.Time.IsZero() {
		return refuse("timestamp", "timestamp is missing")
	}
	return nil
}

// Timestamp is the parameter timestamp, the same text as in what is signed.
func (r *Request) Timestamp() string { return r.Time.Format(TimeLayout) }

// Text is what is signed: UTF-8, without separators.
func (r *Request) Text() []byte {
	if r.Generation == V1 {
		return []byte(r.Scope + r.Timestamp() + r.ClientID + r.State)
	}
	return []byte(r.ClientID + r.Scope + r.ScopeOrg + r.Timestamp() + r.State + r.RedirectURI + r.Code)
}

// Digest is the digest of Text with the hash of a key, which is what the key signs in V2.
func (r *Request) Digest(a *gost.Algorithm) []byte {
	h := a.Digest.New()
	h.Write(r.Text())
	return h.Sum(nil)
}

// Parameters are those of the request to send that depend on the signature, before URL encoding.
type Parameters struct {
	ClientID        string `json:"client_id"`
	Scope           string `json:"scope"`
	ScopeOrg        string `json:"scope_org,omitempty"`
	Timestamp       string `json:"timestamp"`
	State           string `json:"state"`
	RedirectURI     string `json:"redirect_uri,omitempty"`
	Code            string `json:"code,omitempty"`
	ClientSecret    string `json:"client_secret"`
	CertificateHash string `json:"client_certificate_hash,omitempty"`
}

// Parameters puts a signature into the form that ESIA takes: in V1 a detached CMS message about Text, such as the profile
// pkcs7-detached makes; in V2 a bare signature s ‖ r over Digest, which is checked with the key of the certificate.
func (r *Request) Parameters(signature []byte, c *gost.Certificate) (Parameters, error) {
	if err := r.Check(); err != nil {
		return Parameters{}, err
	}
	p := Parameters{
		ClientID: r.ClientID, Scope: r.Scope, ScopeOrg: r.ScopeOrg, Timestamp: r.Timestamp(), State: r.State,
		RedirectURI: r.RedirectURI, Code: r.Code, ClientSecret: base64.URLEncoding.EncodeToString(signature),
	}
	if r.Generation == V1 {
		return p, nil
	}
	if c == nil || c.PublicKey == nil {
		return Parameters{}, report.Errorf(report.KeyUnusable, report.Place{}, "the certificate is missing, or its key is not usable")
	}
	if err := c.PublicKey.Verify(r.Digest(c.PublicKey.Algorithm), signature); err != nil {
		return Parameters{}, &report.Error{Code: report.SignatureValue,
			Message: "the signature does not verify with the certificate's key", Err: err}
	}
	p.CertificateHash = CertificateHash(c)
	return p, nil
}

// CertificateHash is client_certificate_hash: Streebog-256 of the DER certificate, hexadecimal, upper case.
func CertificateHash(c *gost.Certificate) string {
	return strings.ToUpper(c.FingerprintString())
}

// VerifyV1 examines a client_secret of the first generation against the request it came with; policy says whom to trust. The
// error, a *report.Error, says that it could not be examined. What is signed comes from r.
func (r *Request) VerifyV1(secret string, policy cms.Policy) (*report.Report, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	message, err := decode(secret)
	if err != nil {
		return nil, err
	}
	policy.Detached, policy.Content = true, r.Text()
	return cms.Verify(message, policy)
}

// VerifyV2 checks a client_secret and client_certificate_hash of the second generation against the request and the certificate
// of the client. It says nothing about trust in the certificate. Errors are *report.Error; nil when everything is right.
func (r *Request) VerifyV2(secret, certificateHash string, c *gost.Certificate) error {
	if err := r.Check(); err != nil {
		return err
	}
	if c.PublicKey == nil {
		return &report.Error{Code: report.CertKey, Message: "the certificate's key is not usable", Err: c.PublicKeyErr}
	}
	if !strings.EqualFold(certificateHash, CertificateHash(c)) {
		return report.Errorf(report.CMSSigner, report.Place{Path: "client_certificate_hash"},
			"client_certificate_hash is that of another certificate, or not made of DER")
	}
	value, err := decode(secret)
	if err != nil {
		return err
	}
	if err := c.PublicKey.Verify(r.Digest(c.PublicKey.Algorithm), value); err != nil {
		e := report.Errorf(report.SignatureValue, report.Place{Path: "client_secret"},
			"client_secret does not verify with the certificate's key")
		if errors.Is(err, gost.ErrSignatureLength) {
			e.Message = fmt.Sprintf("client_secret has %d octets, a signature of the certificate's key has %d",
				len(value), c.PublicKey.Algorithm.SignatureSize())
		}
		return e
	}
	return nil
}

// decode takes base64url with or without padding: clients differ.
func decode(secret string) ([]byte, error) {
	octets, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(secret, "="))
	if err != nil {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "client_secret"}, "client_secret is not base64url")
	}
	return octets, nil
}
