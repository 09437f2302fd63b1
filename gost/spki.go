package gost

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ErrKeyAlgorithm says that a key is not a GOST R 34.10-2001 or 34.10-2012 signature key.
var ErrKeyAlgorithm = errors.New("gost: not a GOST R 34.10 signature key")

// oidDigest94CryptoPro is digestParamSet of 2001 keys: GOST R 34.11-94 with the CryptoPro S-box.
var oidDigest94CryptoPro = asn1.ObjectIdentifier{1, 2, 643, 2, 2, 30, 1}

// unfitKeys names the GOST keys that are no signature keys of today.
var unfitKeys = map[string]string{
	"1.2.643.2.2.20":       "a GOST R 34.10-94 key, withdrawn",
	"1.2.643.2.2.98":       "a GOST R 34.10-2001 key for key agreement only",
	"1.2.643.7.1.1.6.1":    "a GOST R 34.10-2012 key for key agreement only",
	"1.2.643.7.1.1.6.2":    "a GOST R 34.10-2012 key for key agreement only",
	"1.2.840.113549.1.1.1": "an RSA key",
	"1.2.840.10045.2.1":    "an ECDSA key",
}

// ParsePublicKey reads a DER SubjectPublicKeyInfo (RFC 4491 section 2.3, RFC 9215 section 4) with nothing after it.
//
// The key is one OCTET STRING inside a BIT STRING without unused bits. Parameters must be there and name a parameter
// set that goes with the algorithm; test sets need AllowTestParams. digestParamSet may be absent or must be the right
// one; encryptionParamSet is read over. The error is or wraps ErrKeyAlgorithm, ErrTestParams or ErrPoint in those
// cases.
func ParsePublicKey(der []byte, opts ...KeyOption) (*PublicKey, error) {
	input := cryptobyte.String(der)
	var spki, id, bits, raw cryptobyte.String
	if !input.ReadASN1(&spki, cryptobyte_asn1.SEQUENCE) || !spki.ReadASN1(&id, cryptobyte_asn1.SEQUENCE) ||
		!spki.ReadASN1(&bits, cryptobyte_asn1.BIT_STRING) || !spki.Empty() {
		return nil, errors.New("gost: public key is not a DER SubjectPublicKeyInfo")
	}
	if !input.Empty() {
		return nil, errors.New("gost: octets after SubjectPublicKeyInfo")
	}
	a, p, err := parseKeyAlgorithm(id)
	if err != nil {
		return nil, err
	}
	var unused uint8
	switch {
	case !bits.ReadUint8(&unused) || unused != 0:
		return nil, errors.New("gost: BIT STRING of the public key has unused bits")
	case !bits.ReadASN1(&raw, cryptobyte_asn1.OCTET_STRING):
		return nil, errors.New("gost: BIT STRING of the public key holds no DER OCTET STRING")
	case !bits.Empty():
		return nil, errors.New("gost: octets after the OCTET STRING of the public key")
	}
	return NewPublicKey(a, p, raw, opts...)
}

// parseKeyAlgorithm reads the content of an AlgorithmIdentifier of a public or private key.
func parseKeyAlgorithm(id cryptobyte.String) (*Algorithm, *ParamSet, error) {
	var algorithm, paramSet, digest, encryption asn1.ObjectIdentifier
	if !id.ReadASN1ObjectIdentifier(&algorithm) {
		return nil, nil, errors.New("gost: key algorithm is not a DER object identifier")
	}
	a := AlgorithmByPublicKey(algorithm)
	if a == nil {
		if what := unfitKeys[algorithm.String()]; what != "" {
			return nil, nil, fmt.Errorf("%w: it is %s", ErrKeyAlgorithm, what)
		}
		return nil, nil, fmt.Errorf("%w: its algorithm is %v", ErrKeyAlgorithm, algorithm)
	}
	var params cryptobyte.String
	if !id.ReadASN1(&params, cryptobyte_asn1.SEQUENCE) || !id.Empty() {
		return nil, nil, fmt.Errorf(
			"gost: parameters of the %s key are absent or not a SEQUENCE; inheriting them is not supported", a.Name)
	}
	if !params.ReadASN1ObjectIdentifier(&paramSet) {
		return nil, nil, errors.New("gost: publicKeyParamSet is missing")
	}
	p := ParamSetByOID(paramSet)
	if p == nil {
		return nil, nil, fmt.Errorf("gost: unknown publicKeyParamSet %v", paramSet)
	}
	if !params.Empty() {
		if !params.ReadASN1ObjectIdentifier(&digest) {
			return nil, nil, errors.New("gost: digestParamSet is not an object identifier")
		}
		if !digest.Equal(digestParamSet(a)) {
			return nil, nil, fmt.Errorf("gost: digestParamSet %v does not belong to %s", digest, a.Name)
		}
	}
	if !params.Empty() && !params.ReadASN1ObjectIdentifier(&encryption) || !params.Empty() {
		return nil, nil, errors.New("gost: key parameters have more than three object identifiers")
	}
	return a, p, nil
}

// digestParamSet is what keys of the algorithm may name as their digest (RFC 4491 section 2.3.2, RFC 9215 section 4.2).
func digestParamSet(a *Algorithm) asn1.ObjectIdentifier {
	if a == GOST2001 {
		return oidDigest94CryptoPro
	}
	return a.Digest.OID
}

// SubjectPublicKeyInfo returns the DER encoding with the parameters RFC 9215 section 4 asks for: the name of the
// parameter set the key came with, and digestParamSet beside the names of RFC 4357 only.
func (k *PublicKey) SubjectPublicKeyInfo() []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		k.addAlgorithm(b)
		b.AddASN1(cryptobyte_asn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0) // unused bits
			b.AddASN1OctetString(k.raw)
		})
	})
	return b.BytesOrPanic()
}

// addAlgorithm writes the AlgorithmIdentifier of the key.
func (k *PublicKey) addAlgorithm(b *cryptobyte.Builder) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(k.Algorithm.PublicKey)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(k.Params.OID)
			if k.Params.digestParamSet {
				b.AddASN1ObjectIdentifier(digestParamSet(k.Algorithm))
			}
		})
	})
}
