package gost

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	maxRequestSize = 64 << 10 // octets
	maxAttributes  = 64
)

var oidExtensionRequest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14} // RFC 2985 section 5.4.2

var tagAttributes = cbasn1.Tag(0).Constructed().ContextSpecific()

// Request is a PKCS#10 certification request (RFC 2986).
type Request struct {
	Raw, RawInfo []byte
	Subject      Name
	PublicKey    *PublicKey
	SignatureOID asn1.ObjectIdentifier
	Signature    []byte
	Extensions   []Extension // asked for in extensionRequest

	algorithm *algorithmIdentifier
}

// Certificate is an unsigned certificate of nobody's that has what the request asks for, to look at: subject, key and the fields that
// come from the extensions.
func (r *Request) Certificate() (*Certificate, error) {
	c := &Certificate{Subject: r.Subject, PublicKey: r.PublicKey, Extensions: r.Extensions}
	if err := c.processExtensions(); err != nil {
		return nil, err
	}
	return c, nil
}

// ParseRequest reads one DER request with nothing after it, of at most 64 KiB. Refused: a version other than 0, missing
// attributes (an empty list is fine), and a key that is no acceptable GOST key.
func ParseRequest(der []byte, opts ...KeyOption) (*Request, error) {
	fail := func(field, format string, args ...any) (*Request, error) {
		return nil, derError("request", field, format, args...)
	}
	if len(der) > maxRequestSize {
		return fail("length", "%d octets exceed the limit of %d", len(der), maxRequestSize)
	}
	r := &Request{Raw: bytes.Clone(der)}
	s := cryptobyte.String(r.Raw)
	var in, info cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) {
		return fail("CertificationRequest", "not a DER SEQUENCE")
	}
	if !s.Empty() {
		return fail("CertificationRequest", "%d octets follow it", len(s))
	}
	if !in.ReadASN1Element(&info, cbasn1.SEQUENCE) {
		return fail("certificationRequestInfo", "not a DER SEQUENCE")
	}
	r.RawInfo = info
	var ok bool
	if r.algorithm, ok = readAlgorithm(&in); !ok {
		return fail("signatureAlgorithm", "not an AlgorithmIdentifier")
	}
	r.SignatureOID = r.algorithm.oid
	if !in.ReadASN1BitStringAsBytes(&r.Signature) {
		return fail("signature", "not a DER BIT STRING without unused bits")
	}
	if !in.Empty() {
		return fail("CertificationRequest", "more than three fields")
	}
	if err := r.parseInfo(info, opts); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Request) parseInfo(info cryptobyte.String, opts []KeyOption) error {
	fail := func(field, format string, args ...any) error { return derError("request", field, format, args...) }
	var s, attributes cryptobyte.String
	var version int64
	if !info.ReadASN1(&s, cbasn1.SEQUENCE) || !s.ReadASN1Integer(&version) {
		return fail("version", "not an INTEGER in its shortest encoding")
	}
	if version != 0 {
		return fail("version", "%d is not v1 (0)", version)
	}
	var err error
	if r.Subject, err = readName(&s); err != nil {
		return fail("subject", "%v", err)
	}
	var spki cryptobyte.String
	if !s.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return fail("subjectPKInfo", "not a DER SEQUENCE")
	}
	if r.PublicKey, err = ParsePublicKey(spki, opts...); err != nil {
		return fmt.Errorf("gost: request: subjectPKInfo: %w", err)
	}
	if !s.ReadASN1(&attributes, tagAttributes) {
		return fail("attributes", "missing: [0] must be there even when empty")
	}
	if !s.Empty() {
		return fail("certificationRequestInfo", "unknown field after the last one")
	}
	if err := r.parseAttributes(attributes); err != nil {
		return fail("attributes", "%v", err)
	}
	return nil
}

// parseAttributes keeps the extensions asked for; other attributes are read past.
func (r *Request) parseAttributes(list cryptobyte.String) error {
	for n := 0; !list.Empty(); n++ {
		var in, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if n == maxAttributes {
			return fmt.Errorf("more than %d", maxAttributes)
		}
		if !list.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&oid) ||
			!in.ReadASN1(&values, cbasn1.SET) || !in.Empty() || values.Empty() {
			return errors.New("one is not a SEQUENCE of an OBJECT IDENTIFIER and a SET of values")
		}
		if !oid.Equal(oidExtensionRequest) {
			continue
		}
		if r.Extensions != nil {
			return errors.New("extensionRequest comes twice")
		}
		var err error
		if r.Extensions, err = readExtensions(&values); err != nil {
			return fmt.Errorf("extensionRequest: %w", err)
		}
		if !values.Empty() {
			return errors.New("extensionRequest: more than one value")
		}
	}
	return nil
}

// CheckSignature checks the proof of possession: signatureAlgorithm is the one that belongs to the key asked about, with
// parameters absent or NULL, the signature has exactly the right length and verifies.
func (r *Request) CheckSignature() error {
	if err := checkSignedBy(r.PublicKey, nil, r.algorithm, r.RawInfo, r.Signature); err != nil {
		return fmt.Errorf("gost: request: %w", err)
	}
	return nil
}

// RequestTemplate is what to ask a certificate for.
type RequestTemplate struct {
	Subject  Name
	KeyUsage KeyUsage // asked for in extensionRequest, critical, when not 0
	// Extensions already encoded; filled by callers that need more.
	Extensions []Extension
}

// PreparedRequest awaits its signature. Immutable, safe for concurrent use.
type PreparedRequest struct {
	key    *PublicKey
	info   []byte // CertificationRequestInfo
	digest []byte
}

// PrepareRequest encodes the part to be signed. A gost2001 key is refused: nothing new is signed with it.
func PrepareRequest(t RequestTemplate, key *PublicKey) (*PreparedRequest, error) {
	if key.Algorithm == GOST2001 {
		return nil, errors.New("gost: request: gost2001 keys are for verification only, nothing new is signed with them")
	}
	s := cryptobyte.String(t.Subject)
	if rdns, err := readName(&s); err != nil {
		return nil, derError("request", "subject", "%v", err)
	} else if !s.Empty() {
		return nil, derError("request", "subject", "octets follow it")
	} else if len(rdns) <= 2 {
		return nil, derError("request", "subject", "empty")
	}
	extensions := t.Extensions
	if t.KeyUsage != 0 {
		extensions = append([]Extension{KeyUsageExtension(t.KeyUsage)}, extensions...)
	}
	wanted, err := MarshalExtensions(extensions)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(t.Subject)
		b.AddBytes(key.SubjectPublicKeyInfo())
		b.AddASN1(tagAttributes, func(b *cryptobyte.Builder) {
			if len(extensions) == 0 {
				return
			}
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidExtensionRequest)
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(wanted) })
			})
		})
	})
	info, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("gost: request: %w", err)
	}
	h := key.Algorithm.Digest.New()
	h.Write(info)
	return &PreparedRequest{key: key, info: info, digest: h.Sum(nil)}, nil
}

// Digest is what the private key must sign, in wire order.
func (p *PreparedRequest) Digest() []byte { return bytes.Clone(p.digest) }

// Complete checks signature (s ‖ r) with the public key and returns the DER request.
func (p *PreparedRequest) Complete(signature []byte) ([]byte, error) {
	if err := p.key.Verify(p.digest, signature); err != nil {
		return nil, fmt.Errorf("gost: request: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(p.info)
		addSignatureAlgorithm(b, p.key.Algorithm)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}
