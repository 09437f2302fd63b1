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

// clone lets go of the structure that the identifier was read from.
func (a *algorithmIdentifier) clone() *algorithmIdentifier {
	return &algorithmIdentifier{raw: bytes.Clone(a.raw), oid: a.oid, parameters: bytes.Clone(a.parameters)}
}

// addSignatureAlgorithm writes a signature algorithm without parameters (RFC 9215 section 3).
func addSignatureAlgorithm(b *cryptobyte.Builder, a *Algorithm) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(a.Signature) })
}

// checkSignedBy holds a signature over tbs against the key that should have made it.
func checkSignedBy(key *PublicKey, keys *KeyCache, alg *algorithmIdentifier, tbs, signature []byte) error {
	h := key.Algorithm.Digest.New()
	h.Write(tbs)
	return checkSignedDigest(key, keys, alg, h.Sum(nil), signature)
}

// checkSignedDigest is checkSignedBy for the digest of tbs: the identifier is the one of the key's algorithm, its parameters
// are absent or NULL, the length is exact, the value verifies.
func checkSignedDigest(key *PublicKey, keys *KeyCache, alg *algorithmIdentifier, digest, signature []byte) error {
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
	return keys.Verify(key, digest, signature)
}

// readTime takes a Time of RFC 5280 section 4.1.2.5 off s: with seconds, in UTC, nothing else.
func readTime(s *cryptobyte.String) (time.Time, error) {
	seconds, err := readSeconds(s)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// readSeconds is readTime in seconds since 1970, for CRLs with very many of them.
func readSeconds(s *cryptobyte.String) (int64, error) {
	var in cryptobyte.String
	switch {
	case s.PeekASN1Tag(cbasn1.UTCTime) && s.ReadASN1(&in, cbasn1.UTCTime):
		if len(in) != len("YYMMDDHHMMSSZ") {
			return 0, errors.New("UTCTime is not YYMMDDHHMMSSZ")
		}
		century := 2000
		if in[0] >= '5' {
			century = 1900
		}
		return parseSeconds(in, 2, century)
	case s.PeekASN1Tag(cbasn1.GeneralizedTime) && s.ReadASN1(&in, cbasn1.GeneralizedTime):
		return parseSeconds(in, 4, 0)
	}
	return 0, errors.New("neither UTCTime nor GeneralizedTime")
}

// parseTime reads a GeneralizedTime with seconds in UTC.
func parseTime(s string) (time.Time, error) {
	seconds, err := parseSeconds([]byte(s), 4, 0)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// parseSeconds reads a year of so many digits, counted from century, then MMDDHHMMSSZ.
func parseSeconds(in []byte, digits, century int) (int64, error) {
	if len(in) != digits+len("MMDDHHMMSSZ") || in[len(in)-1] != 'Z' || !all(in[:len(in)-1], isDigit) {
		return 0, errors.New("time is not YYYYMMDDHHMMSSZ")
	}
	number := func(from, to int) (n int) {
		for _, c := range in[from:to] {
			n = n*10 + int(c-'0')
		}
		return n
	}
	two := func(i int) int { return number(digits+2*i, digits+2*i+2) }
	year, month, day, hour, minute, second := century+number(0, digits), two(0), two(1), two(2), two(3), two(4)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if month < 1 || month > 12 || t.Day() != day || t.Hour() != hour || t.Minute() != minute || t.Second() != second {
		return 0, errors.New("no such date or time of day")
	}
	return t.Unix(), nil
}

// oneElement reports whether der is exactly one DER element with a tag of one octet.
func oneElement(der []byte) bool {
	s := cryptobyte.String(der)
	var out cryptobyte.String
	return s.ReadAnyASN1Element(&out, nil) && s.Empty()
}
