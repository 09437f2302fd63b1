package gost

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// derError says which rule a field of a structure breaks: "gost: certificate: serialNumber: not a DER INTEGER".
func derError(structure, field, format string, args ...any) error {
	return fmt.Errorf("gost: %s: %s: %s", structure, field, fmt.Sprintf(format, args...))
}

// algorithmIdentifier is an AlgorithmIdentifier of RFC 5280 section 4.1.1.2 with its parameters left in DER.
type algorithmIdentifier struct {
	raw        []byte // the whole element
	oid        asn1.ObjectIdentifier
	parameters []byte // nil when absent
}

var derNULL = []byte{0x05, 0x00}

// noParameters reports whether the parameters are absent or NULL, the two spellings of a signature algorithm in use.
func (a *algorithmIdentifier) noParameters() bool {
	return len(a.parameters) == 0 || bytes.Equal(a.parameters, derNULL)
}

// readAlgorithm takes an AlgorithmIdentifier off s.
func readAlgorithm(s *cryptobyte.String) (*algorithmIdentifier, bool) {
	var element, in cryptobyte.String
	if !s.ReadASN1Element(&element, cbasn1.SEQUENCE) {
		return nil, false
	}
	a := &algorithmIdentifier{raw: element}
	if !element.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&a.oid) {
		return nil, false
	}
	if in.Empty() {
		return a, true
	}
	var parameters cryptobyte.String
	if !in.ReadAnyASN1Element(&parameters, nil) || !in.Empty() {
		return nil, false
	}
	a.parameters = parameters
	return a, true
}

// addSignatureAlgorithm writes a signature algorithm without parameters (RFC 9215 section 3).
func addSignatureAlgorithm(b *cryptobyte.Builder, a *Algorithm) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(a.Signature) })
}

// checkSignedBy holds a signature over tbs against the key that should have made it: the identifier is the one of the key's
// algorithm, its parameters are absent or NULL, the length is exact, the value verifies.
func checkSignedBy(key *PublicKey, keys *KeyCache, alg *algorithmIdentifier, tbs, signature []byte) error {
	want := key.Algorithm
	if !alg.oid.Equal(want.Signature) {
		return fmt.Errorf("signatureAlgorithm %v does not belong to the signer's %s key, which signs with %v",
			alg.oid, want.Name, want.Signature)
	}
	if !alg.noParameters() {
		return errors.New("signatureAlgorithm parameters are neither absent nor NULL")
	}
	if len(signature) != want.SignatureSize() {
		return fmt.Errorf("%w: %d octets where %s has %d", ErrSignatureLength, len(signature), want.Name, want.SignatureSize())
	}
	h := want.Digest.New()
	h.Write(tbs)
	return keys.Verify(key, h.Sum(nil), signature)
}

// readTime takes a Time of RFC 5280 section 4.1.2.5 off s: with seconds, in UTC, nothing else.
func readTime(s *cryptobyte.String) (time.Time, error) {
	var in cryptobyte.String
	switch {
	case s.PeekASN1Tag(cbasn1.UTCTime) && s.ReadASN1(&in, cbasn1.UTCTime):
		if len(in) != len("YYMMDDHHMMSSZ") {
			return time.Time{}, errors.New("UTCTime is not YYMMDDHHMMSSZ")
		}
		century := "20"
		if in[0] >= '5' {
			century = "19"
		}
		return parseTime(century + string(in))
	case s.PeekASN1Tag(cbasn1.GeneralizedTime) && s.ReadASN1(&in, cbasn1.GeneralizedTime):
		return parseTime(string(in))
	}
	return time.Time{}, errors.New("neither UTCTime nor GeneralizedTime")
}

func parseTime(s string) (time.Time, error) {
	const form = "YYYYMMDDHHMMSSZ"
	if len(s) != len(form) || s[len(s)-1] != 'Z' {
		return time.Time{}, errors.New("time is not " + form)
	}
	for _, c := range []byte(s[:len(s)-1]) {
		if c < '0' || c > '9' {
			return time.Time{}, errors.New("time is not " + form)
		}
	}
	t, err := time.Parse("20060102150405Z", s)
	if err != nil {
		return time.Time{}, errors.New("no such date or time of day")
	}
	return t, nil
}

// oneElement reports whether der is exactly one DER element with a tag of one octet.
func oneElement(der []byte) bool {
	s := cryptobyte.String(der)
	var out cryptobyte.String
	return s.ReadAnyASN1Element(&out, nil) && s.Empty()
}
