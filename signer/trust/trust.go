// Package trust decides whether a certificate can be relied upon: it builds a path to a trust anchor and checks it as RFC
// 5280 section 6 says for GOST certificates.
//
// A path is judged at one moment: signatures with exactly the algorithm of the issuer's key, name chaining, validity, key
// usage, basic constraints with path lengths, critical extensions, acceptable keys. Revocation is not looked at: neither
// CRL nor OCSP, so a certificate revoked before its time still passes here. Nor are extended key usage and policies
// demanded, and name constraints, being critical and unknown, are refused.
package trust

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Store holds trust anchors, which are trusted by configuration only, and intermediates, which are merely known. Immutable,
// safe for concurrent use. A nil *Store trusts nobody and says NotChecked.
type Store struct {
	anchors map[string]bool // by DER
	known   map[string][]*gost.Certificate
	keys    *gost.KeyCache // of issuers
}

// issuers bounds the issuers whose keys a store keeps prepared, in up to 4 MiB.
const issuers = 64

// New makes a store. An anchor may be any certificate: a self-signed CA, of v1 too; an intermediate CA; or the very
// certificate of a signer, which then is trusted itself but vouches for no other.
func New(anchors, intermediates []*gost.Certificate) *Store {
	s := &Store{anchors: make(map[string]bool), known: make(map[string][]*gost.Certificate), keys: gost.NewKeyCache(issuers)}
	for _, c := range anchors {
		s.anchors[string(c.Raw)] = true
	}
	for _, c := range slices.Concat(anchors, intermediates) {
		if name := string(c.RawSubject); !slices.ContainsFunc(s.known[name], same(c)) {
			s.known[name] = append(s.known[name], c)
		}
	}
	return s
}

func same(c *gost.Certificate) func(*gost.Certificate) bool {
	return func(d *gost.Certificate) bool { return bytes.Equal(c.Raw, d.Raw) }
}

// Judgement is what a store has to say about a certificate.
type Judgement struct {
	Path     []*gost.Certificate // the certificate first, the anchor last; nil when there is no path
	Checks   []report.Check      // one per rule, passed ones too
	Evidence *report.Evidence    // never nil
}

// Check judges a certificate that signed a document at time at, with further certificates from the message to build the
// path from. Checks are CertKey, CertTime, CertUsage, CertKeyPeriod and CertExtension about the certificate itself, CertPath
// about everything above it.
func (s *Store) Check(leaf *gost.Certificate, extra []*gost.Certificate, at time.Time) Judgement {
	j := Judgement{Checks: []report.Check{
		checkKey(leaf),
		checkTime(leaf, at),
		checkUsage(leaf),
		checkKeyPeriod(leaf, at),
		checkExtensions(leaf),
	}}
	path, check := s.checkPath(leaf, extra, at)
	j.Path, j.Checks = path, append(j.Checks, check)
	j.Evidence = evidence(leaf, path, at)
	return j
}

func evidence(leaf *gost.Certificate, path []*gost.Certificate, at time.Time) *report.Evidence {
	e := &report.Evidence{Time: at, Revocation: "off"}
	certificates := path
	if path == nil {
		certificates = []*gost.Certificate{leaf}
	}
	for i, c := range certificates {
		fingerprint := c.Fingerprint()
		e.Path = append(e.Path, report.PathCertificate{
			Subject: c.Subject.String(), Serial: fmt.Sprintf("%X", c.Serial), Fingerprint: hex.EncodeToString(fingerprint[:]),
			Anchor: path != nil && i == len(path)-1,
		})
	}
	return e
}

func checkKey(c *gost.Certificate) report.Check {
	if c.PublicKey == nil {
		return report.Check{Code: report.CertKey, Status: report.Failed,
			Message: fmt.Sprintf("the certificate's key is not usable: %v", c.PublicKeyErr)}
	}
	return report.Check{Code: report.CertKey, Message: "the certificate's key is an acceptable " + c.PublicKey.Algorithm.Name + " key"}
}

func checkTime(c *gost.Certificate, at time.Time) report.Check {
	check := report.Check{Code: report.CertTime, Expected: period(c.NotBefore, c.NotAfter), Got: stamp(at)}
	if why := outside(at, c.NotBefore, c.NotAfter); why != "" {
		check.Status, check.Message = report.Failed, "the certificate "+why
		return check
	}
	check.Message = "the certificate is within its validity"
	return check
}

// checkUsage: a certificate without keyUsage is not restricted; one with it must allow to sign documents (RFC 4490 wants
// more for signatures that replace a handwritten one; certificates of Russian CAs break that).
func checkUsage(c *gost.Certificate) report.Check {
	const documents = gost.UsageDigitalSignature | gost.UsageContentCommitment
	check := report.Check{Code: report.CertUsage, Expected: "digitalSignature or contentCommitment", Got: c.KeyUsage.String()}
	switch {
	case !c.HasKeyUsage:
		check.Got = "no keyUsage"
		check.Message = "the certificate does not restrict its key usage"
	case c.KeyUsage&documents == 0:
		check.Status, check.Message = report.Failed, "the key usage does not allow to sign documents"
	default:
		check.Message = "the key usage allows to sign documents"
	}
	return check
}

func checkKeyPeriod(c *gost.Certificate, at time.Time) report.Check {
	check := report.Check{Code: report.CertKeyPeriod, Expected: period(c.PrivateKeyNotBefore, c.PrivateKeyNotAfter), Got: stamp(at)}
	switch {
	case c.PrivateKeyNotBefore.IsZero() && c.PrivateKeyNotAfter.IsZero():
		check.Expected, check.Got = "", ""
		check.Message = "the certificate sets the private key no shorter period"
	case !c.PrivateKeyNotBefore.IsZero() && at.Before(c.PrivateKeyNotBefore):
		check.Status, check.Message = report.Failed, "the private key was not yet to be used"
	case !c.PrivateKeyNotAfter.IsZero() && at.After(c.PrivateKeyNotAfter):
		check.Status, check.Message = report.Failed, "the private key was no longer to be used"
	default:
		check.Message = "the private key is within its usage period"
	}
	return check
}

func checkExtensions(c *gost.Certificate) report.Check {
	if len(c.UnknownCritical) > 0 {
		return report.Check{Code: report.CertExtension, Status: report.Failed, Got: fmt.Sprint(c.UnknownCritical),
			Message: "the certificate has a critical extension that is not understood"}
	}
	return report.Check{Code: report.CertExtension, Message: "every critical extension is understood"}
}

// outside says how at misses the period, both ends of which belong to it; empty when it does not.
func outside(at, from, to time.Time) string {
	switch {
	case to.Before(from):
		return "is never valid: its notAfter lies before its notBefore"
	case at.Before(from):
		return "is not valid before " + stamp(from)
	case at.After(to):
		return "has expired at " + stamp(to)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func period(from, to time.Time) string {
	text := func(t time.Time) string {
		if t.IsZero() {
			return "…"
		}
		return stamp(t)
	}
	return text(from) + " to " + text(to)
}
