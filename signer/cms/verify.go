package cms

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/gost/gostr341194"
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
	Limits       Limits
	// Trace, when set, receives the octets that were digested: name is "signer-0/signed-attributes" or "signer-0/content".
	// It must not change or keep them.
	Trace func(name string, octets []byte)
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

// Verify examines every SignerInfo. The error is nil when the message could be examined, whatever the verdict. Otherwise it
// is a *report.Error. A message without signers is examined, and invalid.
func Verify(message []byte, policy Policy) (*report.Report, error) {
	sd, err := parse(message, policy.Limits.withDefaults())
	if err != nil {
		return nil, err
	}
	v := &verifier{
		policy: policy, message: sd,
		digests: make(map[*gost.Digest][][]byte), trusted: make(map[*gost.Certificate]trust.Judgement),
	}
	if v.policy.Time.IsZero() {
		v.policy.Time = time.Now()
	}
	v.known = slices.Concat(policy.Certificates, sd.certificates)
	r := &report.Report{Format: "cms"}
	r.Add(v.findContent())
	if len(sd.signers) == 0 {
		r.Add(report.Check{Code: report.SignatureNone, Status: report.Failed, Message: "the message has no signers"})
	}
	for i := range sd.signers {
		r.Signatures = append(r.Signatures, v.signer(&sd.signers[i]))
	}
	return r, nil
}

type verifier struct {
	policy     Policy
	message    *signedData
	known      []*gost.Certificate // to find signers in and build paths from, configured ones first
	content    []byte
	hasContent bool // false: there is none, or it is not certain which one is meant
	digests    map[*gost.Digest][][]byte
	trusted    map[*gost.Certificate]trust.Judgement
}

func (v *verifier) checkTrust(c *gost.Certificate) trust.Judgement {
	t, ok := v.trusted[c]
	if !ok {
		t = v.policy.Trust.Check(c, v.known, v.policy.Time)
		v.trusted[c] = t
	}
	return t
}

// findContent settles what was signed: attached content, supplied content, or both when they are equal.
func (v *verifier) findContent() report.Check {
	c := report.Check{Code: report.CMSContent, Place: v.message.contentPlace, Message: "the content is attached"}
	attached, supplied := v.message.content != nil, v.policy.Detached || len(v.policy.Content) > 0
	switch {
	case attached && supplied && !bytes.Equal(v.message.content, v.policy.Content):
		c.Status, c.Message = report.Failed, "the attached content differs from the content supplied beside the message"
		return c
	case attached:
		v.content = v.message.content
	case supplied:
		v.content, c.Message = v.policy.Content, "the content was supplied beside the message"
	default:
		c.Status, c.Message = report.Failed, "the signature is detached and no content was supplied"
		return c
	}
	v.hasContent = true
	return c
}

// contentDigests returns the digests of the content that may stand for it, nil when there is no content. There is one,
// except for empty content under GOST R 34.11-94, which implementations have digested in two ways.
func (v *verifier) contentDigests(d *gost.Digest) [][]byte {
	if d == nil || !v.hasContent {
		return nil
	}
	if _, ok := v.digests[d]; !ok {
		v.digests[d] = [][]byte{sum(d.New(), v.content)}
		if d == gost.GOSTR341194 && len(v.content) == 0 {
			v.digests[d] = append(v.digests[d], gostr341194.EmptyEngine[:])
		}
	}
	return v.digests[d]
}

// signer examines one SignerInfo. When several certificates answer to its identifier, each is tried and the one with the
// best outcome taken: the key that verifies tells whose signature it is.
func (v *verifier) signer(si *signerInfo) report.Signature {
	s := report.Signature{Name: fmt.Sprintf("SignerInfo %d", si.index+1), Place: si.place}
	si.checkAttributes(&s, v.message.contentType)
	if si.signed == nil && isSignedAttributes(v.content) {
		s.Add(report.Check{Code: report.CMSAttributes, Status: report.Failed, Place: v.message.contentPlace,
			Message: "the content is the signed attributes of another message: its signer has not signed them as content"})
	}
	covered := si.signed == nil ||
		si.checkMessageDigest(&s, v.contentDigests(gost.DigestByOID(si.digestAlgorithm.oid)))
	if v.policy.Trace != nil {
		if si.signed != nil {
			v.policy.Trace(fmt.Sprintf("signer-%d/signed-attributes", si.index), si.signedOctets())
		}
		if v.hasContent {
			v.policy.Trace(fmt.Sprintf("signer-%d/content", si.index), v.content)
		}
	}
	candidates, check := v.candidates(si)
	s.Add(check)
	if len(candidates) == 0 {
		s.Add(report.Check{
			Code: report.SignatureValue, Status: report.NotChecked, Place: si.signatureAt,
			Message: "the signature was not checked because there is no certificate to check it with",
		})
		return s
	}
	var best report.Signature
	for i, c := range candidates {
		tried := s
		tried.Checks = slices.Clone(s.Checks)
		v.bind(&tried, si, c, covered)
		if i == 0 || better(&tried, &best) {
			best = tried
		}
	}
	return best
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

// bind applies the checks that need the signer's certificate.
func (v *verifier) bind(s *report.Signature, si *signerInfo, c *gost.Certificate, covered bool) {
	s.Signer = describe(c)
	if key := c.PublicKey; key == nil {
		s.Add(report.Check{
			Code: report.SignatureValue, Status: report.NotChecked, Place: si.signatureAt,
			Message: "the signature was not checked because the certificate's key is not usable", // CertKey below says why
		})
	} else {
		s.Algorithm = key.Algorithm.Name
		s.Add(si.checkDigestAlgorithm(key.Algorithm))
		s.Add(si.checkSignatureAlgorithm(key.Algorithm))
		value := v.checkValue(si, key)
		s.Add(value)
		if covered && value.Status == report.Passed {
			s.Coverage = []report.Coverage{{
				Place: v.message.contentPlace, Digest: key.Algorithm.Digest.OID.String(), Octets: int64(len(v.content)),
			}}
		}
	}
	further := si.checkSigningCertificate(s, c)
	t := v.checkTrust(c)
	s.Checks = append(s.Checks, t.Checks...)
	s.Evidence = t.Evidence
	checkPathLimit(s, further, t.Path)
}

// checkDigestAlgorithm demands the digest that belongs to the key. Parameters are absent or NULL; for GOST R 34.11-94 they
// may name its S-box.
func (si *signerInfo) checkDigestAlgorithm(a *gost.Algorithm) report.Check {
	got := si.digestAlgorithm
	c := report.Check{
		Code: report.CMSDigestMethod, Place: got.place, Message: "the digest algorithm fits the key",
		Expected: a.Digest.OID.String(), Got: got.oid.String(),
	}
	switch {
	case !got.oid.Equal(a.Digest.OID):
		c.Status, c.Message = report.Failed, "the digest algorithm does not fit the key"
	case !got.plain() && !(a.Digest == gost.GOSTR341194 && bytes.Equal(got.parameters, oidCryptoProSBox)):
		c.Status, c.Message = report.Failed, "the digest algorithm has unknown parameters"
	}
	return c
}

// checkSignatureAlgorithm accepts the identifiers that stand for the certificate's algorithm: that of its keys and that of
// its signatures. Parameters are never used, those of the certificate count.
func (si *signerInfo) checkSignatureAlgorithm(a *gost.Algorithm) report.Check {
	c := report.Check{
		Code: report.SignatureMethod, Place: si.signatureAlgorithm.place, Message: "the signature algorithm fits the key",
		Expected: a.PublicKey.String(), Got: si.signatureAlgorithm.oid.String(),
	}
	if !slices.ContainsFunc([]asn1.ObjectIdentifier{a.PublicKey, a.Signature}, si.signatureAlgorithm.oid.Equal) {
		c.Status, c.Message = report.Failed, "the signature algorithm does not fit the key"
	}
	return c
}

// checkValue verifies the signature over the signed attributes, or over the content when there are none (RFC 5652 section
// 5.4), digested with the hash of the key.
func (v *verifier) checkValue(si *signerInfo, key *gost.PublicKey) report.Check {
	c := report.Check{Code: report.SignatureValue, Place: si.signatureAt, Message: "the signature verifies"}
	var digests [][]byte
	if si.signed != nil {
		digests = [][]byte{sum(key.Algorithm.Digest.New(), si.signedOctets())}
	} else if digests = v.contentDigests(key.Algorithm.Digest); digests == nil {
		c.Status, c.Message = report.NotChecked, "the signature was not checked because the content is not there"
		return c
	}
	var err error
	for _, digest := range digests {
		if err = v.policy.Keys.Verify(key, digest, si.signature); err == nil {
			return c
		}
	}
	c.Status, c.Message = report.Failed, "the signature does not verify with the signer's key"
	if errors.Is(err, gost.ErrSignatureLength) {
		c.Message = "the signature has a wrong length"
		c.Expected = fmt.Sprintf("%d octets", key.Algorithm.SignatureSize())
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

func describe(c *gost.Certificate) *report.Signer {
	fingerprint := c.Fingerprint()
	return &report.Signer{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: fmt.Sprintf("%X", c.Serial),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Fingerprint: hex.EncodeToString(fingerprint[:]), Certificate: c.Raw,
	}
}
