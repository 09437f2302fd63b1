package gost

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of OCSP messages.
const (
	MaxOCSPResponse  = 256 << 10 // octets
	maxOCSPAnswers   = 64
	maxResponders    = 8   // certificates in a response
	maxOCSPNonceSize = 128 // octets; RFC 9654 section 2.1
)

// Object identifiers of OCSP (RFC 6960).
var (
	oidOCSPBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidOCSPNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidSHA1      = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// OCSPError is an OCSPResponseStatus other than successful: the responder did not answer the question.
type OCSPError uint8

func (e OCSPError) Error() string {
	names := map[OCSPError]string{1: "malformedRequest", 2: "internalError", 3: "tryLater", 5: "sigRequired", 6: "unauthorized"}
	if name, ok := names[e]; ok {
		return "gost: OCSP: the responder answers " + name
	}
	return fmt.Sprintf("gost: OCSP: the responder answers with the unknown status %d", uint8(e))
}

// OCSPResponse is a parsed basic OCSP response (RFC 6960 section 4.2). Strict DER; immutable.
type OCSPResponse struct {
	Raw             []byte
	ResponderName   Name   // responderID byName; nil when it is by key
	ResponderKey    []byte // responderID byKey: SHA-1 of the key; nil when it is by name
	ProducedAt      time.Time
	Answers         []OCSPAnswer
	Nonce           []byte // nil when absent
	Certificates    []*Certificate
	UnknownCritical []asn1.ObjectIdentifier

	algorithm *algorithmIdentifier
	digest    []byte
	signature []byte
}

// OCSPStatus is what a responder says of a certificate.
type OCSPStatus uint8

const (
	OCSPGood OCSPStatus = iota
	OCSPRevoked
	OCSPUnknown
)

func (s OCSPStatus) String() string { return [...]string{"good", "revoked", "unknown"}[s] }

// OCSPAnswer is a SingleResponse.
type OCSPAnswer struct {
	Status                 OCSPStatus
	Revoked                Revoked   // with OCSPRevoked
	ThisUpdate, NextUpdate time.Time // NextUpdate is zero when absent

	hash              hashFunction // nil when unknown
	nameHash, keyHash []byte
	serial            *big.Int
}

type hashFunction func() hash.Hash

// certIDHash is the hash of a CertID by its identifier. SHA-1 is everyday there: it is no signature.
func certIDHash(oid asn1.ObjectIdentifier) hashFunction {
	if oid.Equal(oidSHA1) {
		return sha1.New
	}
	for _, h := range pssHashNames {
		if h.oid.Equal(oid) {
			return h.hash.New
		}
	}
	for _, d := range Digests {
		if d.OID.Equal(oid) {
			return d.New
		}
	}
	return nil
}

// keyBits is the content of the BIT STRING of a subject public key, without the count of unused bits.
func (c *Certificate) keyBits() []byte {
	spki := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	var in cryptobyte.String
	var bits []byte
	if !spki.ReadASN1(&in, cbasn1.SEQUENCE) || !in.SkipASN1(cbasn1.SEQUENCE) || !in.ReadASN1BitStringAsBytes(&bits) {
		return nil
	}
	return bits
}

func digestOf(h hashFunction, data []byte) []byte {
	w := h()
	w.Write(data)
	return w.Sum(nil)
}

// Is reports whether the answer is about the certificate that issuer has issued.
func (a *OCSPAnswer) Is(certificate, issuer *Certificate) bool {
	return a.hash != nil && a.serial.Cmp(certificate.Serial) == 0 && bytes.Equal(a.nameHash, digestOf(a.hash, certificate.RawIssuer)) &&
		bytes.Equal(a.keyHash, digestOf(a.hash, issuer.keyBits()))
}

// IsBy reports whether responderID names the certificate.
func (r *OCSPResponse) IsBy(responder *Certificate) bool {
	if r.ResponderName != nil {
		return r.ResponderName.Equal(responder.Subject)
	}
	key := sha1.Sum(responder.keyBits())
	return bytes.Equal(r.ResponderKey, key[:])
}

// CheckSignatureFrom checks that the responder's key signed the response. Whether it may is for the caller.
func (r *OCSPResponse) CheckSignatureFrom(responder *Certificate) error {
	return (*KeyCache)(nil).CheckOCSPResponse(r, responder)
}

// CheckOCSPResponse is r.CheckSignatureFrom(responder), with tables when the key has come often enough.
func (c *KeyCache) CheckOCSPResponse(r *OCSPResponse, responder *Certificate) error {
	if err := r.algorithm.checkDigest(responder, c, r.digest, r.signature); err != nil {
		return fmt.Errorf("gost: OCSP: %w", err)
	}
	return nil
}

// NewOCSPRequest asks about one certificate (RFC 6960 section 4.1), unsigned. The CertID uses SHA-1, which every responder
// knows; nonce is left out when empty.
func NewOCSPRequest(certificate, issuer *Certificate, nonce []byte) ([]byte, error) {
	if len(nonce) > maxOCSPNonceSize {
		return nil, fmt.Errorf("gost: OCSP: a nonce of %d octets, the limit is %d", len(nonce), maxOCSPNonceSize)
	}
	var b cryptobyte.Builder
	sequence := func(f cryptobyte.BuilderContinuation) cryptobyte.BuilderContinuation {
		return func(b *cryptobyte.Builder) { b.AddASN1(cbasn1.SEQUENCE, f) }
	}
	sequence(sequence(func(b *cryptobyte.Builder) {
		sequence(sequence(sequence(func(b *cryptobyte.Builder) {
			sequence(func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidSHA1)
				b.AddASN1NULL()
			})(b)
			b.AddASN1OctetString(digestOf(sha1.New, certificate.RawIssuer))
			b.AddASN1OctetString(digestOf(sha1.New, issuer.keyBits()))
			b.AddASN1BigInt(certificate.Serial)
		})))(b)
		if len(nonce) == 0 {
			return
		}
		var value cryptobyte.Builder
		value.AddASN1OctetString(nonce)
		b.AddASN1(cbasn1.Tag(2).Constructed().ContextSpecific(),
			sequence(Extension{OID: oidOCSPNonce, Value: value.BytesOrPanic()}.marshal))
	}))(&b)
	return b.Bytes()
}

// ParseOCSPResponse reads one DER OCSPResponse with nothing after it. The error is an OCSPError when the responder did not
// answer the question.
func ParseOCSPResponse(der []byte) (*OCSPResponse, error) {
	fail := func(field, format string, args ...any) (*OCSPResponse, error) {
		return nil, derError("OCSP", field, format, args...)
	}
	if len(der) > MaxOCSPResponse {
		return fail("length", "%d octets exceed the limit of %d", len(der), MaxOCSPResponse)
	}
	r := &OCSPResponse{Raw: bytes.Clone(der)}
	s := cryptobyte.String(r.Raw)
	var in, rest, body, basic, tbs cryptobyte.String
	var status int
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || !s.Empty() || !in.ReadASN1Enum(&status) || status < 0 || status > math.MaxUint8 {
		return fail("OCSPResponse", "not one DER SEQUENCE that begins with its status")
	}
	if status != 0 {
		return nil, OCSPError(status)
	}
	if !in.ReadASN1(&rest, cbasn1.Tag(0).Constructed().ContextSpecific()) || !in.Empty() || !rest.ReadASN1(&body, cbasn1.SEQUENCE) ||
		!rest.Empty() || !body.ReadASN1ObjectIdentifier(&oid) || !body.ReadASN1(&rest, cbasn1.OCTET_STRING) || !body.Empty() {
		return fail("responseBytes", "not what RFC 6960 section 4.2.1 defines")
	}
	if !oid.Equal(oidOCSPBasic) {
		return fail("responseType", "%v is not a basic response", oid)
	}
	if !rest.ReadASN1(&basic, cbasn1.SEQUENCE) || !rest.Empty() || !basic.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return fail("BasicOCSPResponse", "not a DER SEQUENCE")
	}
	var ok bool
	if r.algorithm, ok = readAlgorithm(&basic); !ok {
		return fail("signatureAlgorithm", "not an AlgorithmIdentifier")
	}
	if !basic.ReadASN1BitStringAsBytes(&r.signature) {
		return fail("signature", "not a DER BIT STRING without unused bits")
	}
	if err := r.parseCertificates(&basic); err != nil {
		return nil, err
	}
	r.digest = r.algorithm.digest(tbs)
	if err := r.parseData(tbs); err != nil {
		return nil, err
	}
	return r, nil
}

// parseCertificates reads certs [0], the last field.
func (r *OCSPResponse) parseCertificates(s *cryptobyte.String) error {
	var in, list, der cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&in, &present, cbasn1.Tag(0).Constructed().ContextSpecific()) || !s.Empty() ||
		present && (!in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty()) {
		return derError("OCSP", "certs", "not a list of certificates")
	}
	for !list.Empty() {
		if !list.ReadASN1Element(&der, cbasn1.SEQUENCE) || len(r.Certificates) == maxResponders {
			return derError("OCSP", "certs", "not a list of at most %d certificates", maxResponders)
		}
		c, err := ParseCertificate(der)
		if err != nil {
			return err
		}
		r.Certificates = append(r.Certificates, c)
	}
	return nil
}

// parseData reads ResponseData.
func (r *OCSPResponse) parseData(tbs cryptobyte.String) error {
	fail := func(field, format string, args ...any) error { return derError("OCSP", field, format, args...) }
	var s, id, list, in cryptobyte.String
	var present bool
	if !tbs.ReadASN1(&s, cbasn1.SEQUENCE) || s.PeekASN1Tag(cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return fail("version", "not v1, which is not written out")
	}
	var by cbasn1.Tag
	if !s.ReadAnyASN1(&id, &by) {
		return fail("responderID", "not DER")
	}
	switch by {
	case cbasn1.Tag(1).Constructed().ContextSpecific():
		name, err := readName(&id)
		if err != nil || !id.Empty() {
			return fail("responderID", "not a name")
		}
		r.ResponderName = name
	case cbasn1.Tag(2).Constructed().ContextSpecific():
		if !id.ReadASN1Bytes(&r.ResponderKey, cbasn1.OCTET_STRING) || !id.Empty() || len(r.ResponderKey) != crypto.SHA1.Size() {
			return fail("responderID", "not the SHA-1 of a key")
		}
	default:
		return fail("responderID", "neither byName nor byKey")
	}
	var err error
	if r.ProducedAt, err = readTime(&s); err != nil {
		return fail("producedAt", "%v", err)
	}
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return fail("responses", "not a DER SEQUENCE of at least one")
	}
	for !list.Empty() {
		a, err := r.parseAnswer(&list)
		if err != nil {
			return fail("responses", "answer %d: %v", len(r.Answers)+1, err)
		}
		if len(r.Answers) == maxOCSPAnswers {
			return fail("responses", "more than %d", maxOCSPAnswers)
		}
		r.Answers = append(r.Answers, a)
	}
	if !s.ReadOptionalASN1(&in, &present, cbasn1.Tag(1).Constructed().ContextSpecific()) || !s.Empty() {
		return fail("responseExtensions", "not DER, or not the last field")
	}
	if !present {
		return nil
	}
	extensions, err := readExtensions(&in)
	if err != nil || !in.Empty() {
		return fail("responseExtensions", "%v", err)
	}
	for _, e := range extensions {
		switch value := cryptobyte.String(e.Value); {
		case oidOCSPNonce.Equal(e.OID):
			if !value.ReadASN1Bytes(&r.Nonce, cbasn1.OCTET_STRING) || !value.Empty() || len(r.Nonce) > maxOCSPNonceSize {
				return fail("nonce", "not an OCTET STRING of at most %d octets", maxOCSPNonceSize)
			}
		case e.Critical:
			r.UnknownCritical = append(r.UnknownCritical, e.OID)
		}
	}
	return nil
}

// parseAnswer reads a SingleResponse.
func (r *OCSPResponse) parseAnswer(list *cryptobyte.String) (a OCSPAnswer, err error) {
	var in, id, value cryptobyte.String
	if !list.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1(&id, cbasn1.SEQUENCE) {
		return a, errors.New("not a SEQUENCE that begins with its CertID")
	}
	algorithm, ok := readAlgorithm(&id)
	a.serial = new(big.Int)
	if !ok || !id.ReadASN1Bytes(&a.nameHash, cbasn1.OCTET_STRING) || !id.ReadASN1Bytes(&a.keyHash, cbasn1.OCTET_STRING) ||
		!id.ReadASN1Integer(a.serial) || !id.Empty() {
		return a, errors.New("the CertID is not what RFC 6960 section 4.1.1 defines")
	}
	a.hash = certIDHash(algorithm.oid)
	var status cbasn1.Tag
	if !in.ReadAnyASN1(&value, &status) {
		return a, errors.New("certStatus: not DER")
	}
	switch {
	case status == cbasn1.Tag(0).ContextSpecific() && value.Empty():
		a.Status = OCSPGood
	case status == cbasn1.Tag(1).Constructed().ContextSpecific():
		a.Status = OCSPRevoked
		if a.Revoked, err = readRevokedInfo(value); err != nil {
			return a, err
		}
	case status == cbasn1.Tag(2).ContextSpecific() && value.Empty():
		a.Status = OCSPUnknown
	default:
		return a, errors.New("certStatus is neither good, revoked nor unknown")
	}
	if a.ThisUpdate, err = readTime(&in); err != nil {
		return a, fmt.Errorf("thisUpdate: %w", err)
	}
	var present bool
	if !in.ReadOptionalASN1(&value, &present, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return a, errors.New("nextUpdate: not DER")
	}
	if present {
		if a.NextUpdate, err = readTime(&value); err != nil || !value.Empty() {
			return a, errors.New("nextUpdate: not a time")
		}
	}
	if !in.ReadOptionalASN1(&value, &present, cbasn1.Tag(1).Constructed().ContextSpecific()) || !in.Empty() {
		return a, errors.New("singleExtensions: not DER, or not the last field")
	}
	if present {
		extensions, err := readExtensions(&value)
		if err != nil || !value.Empty() {
			return a, fmt.Errorf("singleExtensions: %v", err)
		}
		for _, e := range extensions {
			if e.Critical {
				r.UnknownCritical = append(r.UnknownCritical, e.OID)
			}
		}
	}
	return a, nil
}

func readRevokedInfo(s cryptobyte.String) (Revoked, error) {
	out := Revoked{Reason: NoReason}
	var err error
	if out.At, err = readTime(&s); err != nil {
		return out, fmt.Errorf("revocationTime: %w", err)
	}
	var in cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&in, &present, cbasn1.Tag(0).Constructed().ContextSpecific()) || !s.Empty() {
		return out, errors.New("RevokedInfo: more than a time and a reason")
	}
	if present {
		var v int
		if !in.ReadASN1Enum(&v) || !in.Empty() || v < 0 || v > math.MaxUint8 || !Reason(v).known() {
			return out, errors.New("revocationReason: not a CRLReason")
		}
		out.Reason = Reason(v)
	}
	return out, nil
}
