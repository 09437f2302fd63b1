package cms

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Policy is what a verifier demands.
type Policy struct {
	Trust        *trust.Store        // nil: trust is reported as not checked
	Time         time.Time           // when to judge certificates; zero: now. signingTime is a claim and never used for it
	Certificates []*gost.Certificate // to look for signers in, besides the message's own
	Keys         *gost.KeyCache      // prepares the keys of signers that come again; may be nil
	Detached     bool                // Content is the content of a detached signature (which may be empty)
	Content      []byte              // when the message has its own content, both must be equal
	Reader       io.Reader           // instead of Content: content of any size, read to its end once
	Digest       []byte              // instead of Content: its digest alone, wire order, made with DigestMethod
	DigestMethod *gost.Digest        // with Digest
	Profile      *Profile            // what every signature must be like, countersignatures not counted; nil: as it comes
	Limits       Limits
	Work         *trust.Work // shared with the rest of what this message is part of; nil: it stands alone
	// Trace, when set, receives the octets that were digested: name is "signer-0/signed-attributes" or "signer-0/content".
	// It must not change or keep them.
	Trace func(name string, octets []byte)
	// Stop, when set, is asked before each signer; its error ends the examination, and is what Verify returns.
	Stop func() error
}

// Limits bound what a message may hold. The zero value of a field means its default.
type Limits struct {
	Size    int // octets of the message, default 256 MiB
	Depth   int // nesting of the outer structure, default 16
	Signers int // default 64
}

const (
	maxSize       = 256 << 20
	maxNesting    = 16
	maxSigners    = 64
	maxCandidates = 4 // certificates that answer to one signer identifier
)

func (l Limits) withDefaults() Limits {
	return Limits{
		Size:    cmp.Or(l.Size, maxSize),
		Depth:   cmp.Or(l.Depth, maxNesting),
		Signers: cmp.Or(l.Signers, maxSigners),
	}
}

// oidCryptoProSBox is the digestParamSet of GOST R 34.11-94 (RFC 4357 section 11.2): the only one ever on the wire.
var oidCryptoProSBox = []byte{0x06, 0x07, 0x2A, 0x85, 0x03, 0x02, 0x02, 0x1E, 0x01}

// Verify examines every SignerInfo, its time-stamps and its countersignatures. The error is nil when the message could be
// examined, whatever the verdict. Otherwise it is a *report.Error, or what Policy.Reader returned. A message without signers
// is examined, and invalid.
//
// A countersignature is a signature of its own in the report, after the one that it is about; a time-stamp is part of the
// signature that it is about. A time-stamp that stands up to every check says when the signature existed at the latest, and
// the signer's certificate is judged at that moment; otherwise at Policy.Time.
func Verify(message []byte, policy Policy) (*report.Report, error) {
	sd, err := parse(message, policy.Limits.withDefaults())
	if err != nil {
		return nil, err
	}
	return verify(sd, policy)
}

func verify(sd *signedData, policy Policy) (*report.Report, error) {
	v := newVerifier(sd, policy)
	r := &report.Report{Format: "cms"}
	check, err := v.findContent()
	if err != nil {
		return nil, err
	}
	r.Add(check)
	if len(sd.signers) == 0 {
		r.Add(report.Check{Code: report.SignatureNone, Status: report.Failed, Message: "the message has no signers"})
	}
	for i := range sd.signers {
		if policy.Stop != nil {
			if err := policy.Stop(); err != nil {
				return nil, err
			}
		}
		si := &sd.signers[i]
		s := v.signer(si, &v.content).Signature
		if policy.Profile != nil {
			policy.Profile.expect(&s, sd, si)
		}
		r.Signatures = append(r.Signatures, s)
		r.Signatures = append(r.Signatures, v.countersignatures(si)...)
	}
	return r, nil
}

func newVerifier(sd *signedData, policy Policy) *verifier {
	v := &verifier{policy: policy, message: sd, trusted: make(map[moment]trust.Judgement)}
	if v.policy.Time.IsZero() {
		v.policy.Time = time.Now()
	}
	if v.policy.Work == nil {
		v.policy.Work = new(trust.Work)
	}
	v.known = slices.Concat(policy.Certificates, sd.certificates)
	return v
}

type verifier struct {
	policy  Policy
	message *signedData
	known   []*gost.Certificate // to find signers in and build paths from, configured ones first
	content content
	token   bool // the message is a time-stamp token: its signer may be of RSA or ECDSA, and must be a time-stamping authority
	trusted map[moment]trust.Judgement
}

// moment is a certificate and when to judge it.
type moment struct {
	certificate *gost.Certificate
	time        time.Time
}

func (v *verifier) checkTrust(c *gost.Certificate, at time.Time) trust.Judgement {
	m := moment{c, at}
	t, ok := v.trusted[m]
	if !ok {
		q := trust.Question{Certificate: c, Extra: v.known, Time: at, Work: v.policy.Work}
		if v.token {
			q.Purpose = trust.TimeStamping
		}
		t = v.policy.Trust.Judge(q)
		v.trusted[m] = t
	}
	return t
}

// examined is a signature with the certificate that it was found to be of.
type examined struct {
	report.Signature
	certificate *gost.Certificate // nil when there is none
}

// signer examines one SignerInfo. When several certificates answer to its identifier, each is tried and the one with the
// best outcome taken: the key that verifies tells whose signature it is.
func (v *verifier) signer(si *signerInfo, content *content) examined {
	s := report.Signature{Name: si.name, Place: si.place}
	si.checkAttributes(&s, content.contentType)
	if si.signed == nil {
		content.checkNoAttributes(&s)
	}
	covered := si.signed == nil || si.checkMessageDigest(&s, content.sums(v.digestMethod(si)))
	v.trace(si, content)
	at := v.policy.Time
	if !v.token {
		at = v.timeStamps(si, &s)
	}
	candidates, check := v.candidates(si)
	s.Add(check)
	if len(candidates) == 0 {
		s.Add(report.Check{
			Code: report.SignatureValue, Status: report.NotChecked, Place: si.signatureAt,
			Message: "the signature was not checked because there is no certificate to check it with",
		})
		return examined{Signature: s}
	}
	var best examined
	for i, c := range candidates {
		tried := examined{Signature: s, certificate: c}
		tried.Checks = slices.Clone(s.Checks)
		v.bind(&tried.Signature, si, c, content, covered, at)
		if i == 0 || better(&tried.Signature, &best.Signature) {
			best = tried
		}
	}
	return best
}

// digestMethod is what a SignerInfo says to have digested the content with; nil when it is unknown, or not used by documents.
func (v *verifier) digestMethod(si *signerInfo) *digest {
	if d := digestByOID(si.digestAlgorithm.oid); d != nil && (d.gost != nil || v.token) {
		return d
	}
	return nil
}

func (v *verifier) trace(si *signerInfo, content *content) {
	if v.policy.Trace == nil || v.token {
		return
	}
	if si.signed != nil {
		v.policy.Trace(si.trace+"/signed-attributes", si.signedOctets())
	}
	if content.octets != nil {
		v.policy.Trace(si.trace+"/content", content.octets)
	}
}

// better orders outcomes for one signature: integrity first, trust second.
func better(a, b *report.Signature) bool {
	rank := func(v report.Verdict) int {
		return [...]int{report.Valid: 2, report.Indeterminate: 1, report.Invalid: 0}[v]
	}
	return cmp.Or(cmp.Compare(rank(a.Integrity()), rank(b.Integrity())), cmp.Compare(rank(a.Verdict()), rank(b.Verdict()))) > 0
}

// candidates returns the certificates that answer to the signer identifier, configured ones first.
func (v *verifier) candidates(si *signerInfo) ([]*gost.Certificate, report.Check) {
	check := report.Check{Code: report.CMSSigner, Place: si.place, Message: "the signer's certificate was found"}
	check.Place.Path = si.path("sid")
	var found []*gost.Certificate
	for _, c := range v.known {
		if !si.identifies(c) || slices.ContainsFunc(found, func(f *gost.Certificate) bool { return bytes.Equal(f.Raw, c.Raw) }) {
			continue
		}
		if len(found) == maxCandidates {
			check.Status = report.Failed
			check.Message = fmt.Sprintf("more than %d certificates answer to the signer identifier", maxCandidates)
			return nil, check
		}
		found = append(found, c)
	}
	if len(found) == 0 {
		check.Status = report.Failed
		check.Message = "no certificate answers to the signer identifier"
		if v.message.unreadable > 0 {
			check.Message += fmt.Sprintf("; %d certificates of the message could not be read", v.message.unreadable)
		}
		if si.serial != nil {
			check.Expected = fmt.Sprintf("serial number %X", si.serial)
		} else {
			check.Expected = "subject key identifier " + hex.EncodeToString(si.keyID)
		}
	}
	return found, check
}

// identifies compares sid with a certificate, names and key identifiers as octets.
func (si *signerInfo) identifies(c *gost.Certificate) bool {
	if si.serial != nil {
		return si.serial.Cmp(c.Serial) == 0 && bytes.Equal(si.issuer, c.RawIssuer)
	}
	return len(si.keyID) > 0 && bytes.Equal(si.keyID, c.SubjectKeyID)
}

// key is what a certificate lets us verify with, nil when nothing.
func (v *verifier) key(c *gost.Certificate) (*signerKey, error) {
	switch {
	case c.PublicKey != nil:
		return gostKey(c.PublicKey, v.policy.Keys), nil
	case v.token && c.OtherKey != nil:
		return foreignKey(c)
	}
	return nil, c.PublicKeyErr
}

// bind applies the checks that need the signer's certificate.
func (v *verifier) bind(s *report.Signature, si *signerInfo, c *gost.Certificate, content *content, covered bool, at time.Time) {
	s.Signer = trust.Signer(c)
	key, err := v.key(c)
	if err != nil {
		s.Add(report.Check{
			Code: report.SignatureValue, Status: report.NotChecked, Place: si.signatureAt,
			Message: fmt.Sprintf("the signature was not checked because the certificate's key is not usable: %v", err),
		})
	} else {
		s.Algorithm = key.name
		method := digestByOID(si.digestAlgorithm.oid)
		if method == nil || !slices.Contains(key.digests, method) {
			method = key.digests[0]
		}
		s.Add(si.checkDigestAlgorithm(key))
		s.Add(si.checkSignatureAlgorithm(key, method))
		value := si.checkValue(key, method, content)
		s.Add(value)
		if covered && value.Status == report.Passed {
			s.Coverage = []report.Coverage{{Place: content.place, Digest: method.oid.String(), Octets: content.length}}
		}
	}
	further := si.checkSigningCertificate(s, c)
	t := v.checkTrust(c, at)
	s.Add(t.Checks...)
	s.Evidence = t.Evidence
	checkPathLimit(s, further, t.Path)
}

// checkDigestAlgorithm demands a digest that belongs to the key. Parameters are absent or NULL; for GOST R 34.11-94 they may
// name its S-box.
func (si *signerInfo) checkDigestAlgorithm(key *signerKey) report.Check {
	got := si.digestAlgorithm
	var names []asn1.ObjectIdentifier
	for _, d := range key.digests {
		names = append(names, d.oid)
	}
	c := report.Check{
		Code: report.CMSDigestMethod, Place: got.place, Message: "the digest algorithm fits the key",
		Expected: acceptable(names), Got: got.oid.String(),
	}
	method := digestByOID(got.oid)
	switch {
	case method == nil || !slices.Contains(key.digests, method):
		c.Status, c.Message = report.Failed, "the digest algorithm does not fit the key"
	case !got.plain() && !(method.gost == gost.GOSTR341194 && bytes.Equal(got.parameters, oidCryptoProSBox)):
		c.Status, c.Message = report.Failed, "the digest algorithm has unknown parameters"
	case method.weak:
		c.Status, c.Message = report.NotChecked, "the digest algorithm "+method.name+" is too weak to tell anything"
	}
	return c
}

// checkSignatureAlgorithm accepts the identifiers that stand for the certificate's algorithm: that of its keys and that of
// its signatures. Parameters are never used, those of the certificate count.
func (si *signerInfo) checkSignatureAlgorithm(key *signerKey, method *digest) report.Check {
	list := key.algorithms(method)
	c := report.Check{
		Code: report.SignatureMethod, Place: si.signatureAlgorithm.place, Message: "the signature algorithm fits the key",
		Expected: list[0].String(), Got: si.signatureAlgorithm.oid.String(),
	}
	if !slices.ContainsFunc(list, si.signatureAlgorithm.oid.Equal) {
		c.Status, c.Message = report.Failed, "the signature algorithm does not fit the key"
	}
	return c
}

// checkValue verifies the signature over the signed attributes, or over the content when there are none (RFC 5652 section
// 5.4), digested with the hash of the key.
func (si *signerInfo) checkValue(key *signerKey, method *digest, content *content) report.Check {
	c := report.Check{Code: report.SignatureValue, Place: si.signatureAt, Message: "the signature verifies"}
	var sums [][]byte
	if si.signed != nil {
		sums = [][]byte{sum(method.new(), si.signedOctets())}
	} else if sums = content.sums(method); sums == nil {
		c.Status, c.Message = report.NotChecked, "the signature was not checked because the content is not there"
		return c
	}
	var err error
	for _, digest := range sums {
		if err = key.verify(method, digest, si.signature); err == nil {
			return c
		}
	}
	c.Status, c.Message = report.Failed, "the signature does not verify with the signer's key"
	if errors.Is(err, gost.ErrSignatureLength) || key.size > 0 && key.size != len(si.signature) {
		c.Message = "the signature has a wrong length"
		c.Expected = fmt.Sprintf("%d octets", key.size)
		c.Got = fmt.Sprintf("%d octets", len(si.signature))
	}
	return c
}

// anyEqual compares digests in constant time.
func anyEqual(got []byte, acceptable [][]byte) bool {
	equal := 0
	for _, want := range acceptable {
		equal |= subtle.ConstantTimeCompare(got, want)
	}
	return equal == 1
}
