package gost

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // for the hashes below
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Certificates with RSA and ECDSA keys stand beside GOST ones in mixed chains: time-stamp authorities, OCSP responders,
// foreign roots. Their arithmetic is that of the standard library; which algorithms count is decided here.

// Bounds of RSA moduli in bits: below it is too weak, above it a signature costs too much to check.
const minRSA, maxRSA = 2048, 8192

// foreignAlgorithm is a signature algorithm of others (RFC 4055, RFC 5758). SHA-1 and MD5 are left out on purpose.
type foreignAlgorithm struct {
	oid   asn1.ObjectIdentifier
	hash  crypto.Hash
	ecdsa bool
}

var foreignAlgorithms = []foreignAlgorithm{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, crypto.SHA256, false},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, crypto.SHA384, false},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, crypto.SHA512, false},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, crypto.SHA256, true},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, crypto.SHA384, true},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, crypto.SHA512, true},
}

var (
	oidRSA       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAPSS    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidECDSA     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidMGF1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	pssHashNames = []struct {
		oid  asn1.ObjectIdentifier
		hash crypto.Hash
	}{
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
	}
)

// parseOtherKey reads an RSA or ECDSA key of acceptable strength; nil when spki holds a key of another kind. The error says
// why such a key is not acceptable.
func parseOtherKey(spki []byte) (crypto.PublicKey, error) {
	s := cryptobyte.String(spki)
	var in, id cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) ||
		!oid.Equal(oidRSA) && !oid.Equal(oidECDSA) {
		return nil, nil
	}
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("gost: the key of another kind cannot be read: %w", err)
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return nil, fmt.Errorf("gost: an RSA key of %d bits, which is not between %d and %d", n, minRSA, maxRSA)
		}
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, k.Curve) {
			return nil, fmt.Errorf("gost: an ECDSA key on the curve %s, which is not used", k.Curve.Params().Name)
		}
	}
	return key, nil
}

// foreign recognises an algorithm of others; pss is set for RSASSA-PSS. hash 0: it is not one that counts.
func (a *algorithmIdentifier) foreign() (hash crypto.Hash, isECDSA, pss bool) {
	if a.oid.Equal(oidRSAPSS) {
		return a.pssHash(), false, true
	}
	for _, f := range foreignAlgorithms {
		if f.oid.Equal(a.oid) && a.noParameters() {
			return f.hash, f.ecdsa, false
		}
	}
	return 0, false, false
}

// pssHash reads RSASSA-PSS-params (RFC 4055 section 3.1) of the only kind in use: one SHA-2 for everything, the salt as
// long as the hash, the trailer field 1. Defaults, which mean SHA-1, are refused.
func (a *algorithmIdentifier) pssHash() crypto.Hash {
	s := cryptobyte.String(a.parameters)
	var in, hash, mgf, salt, mask cryptobyte.String
	var oid, inner asn1.ObjectIdentifier
	context := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
	algorithm := func(s *cryptobyte.String, oid *asn1.ObjectIdentifier, rest *cryptobyte.String) bool {
		return s.ReadASN1(rest, cbasn1.SEQUENCE) && s.Empty() && rest.ReadASN1ObjectIdentifier(oid)
	}
	var rest cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || !s.Empty() ||
		!in.ReadASN1(&hash, context(0)) || !algorithm(&hash, &oid, &rest) ||
		!in.ReadASN1(&mgf, context(1)) || !algorithm(&mgf, &inner, &mask) || !inner.Equal(oidMGF1) ||
		!algorithm(&mask, &inner, &rest) || !inner.Equal(oid) ||
		!in.ReadASN1(&salt, context(2)) || !in.SkipOptionalASN1(context(3)) || !in.Empty() {
		return 0
	}
	var length int
	if !salt.ReadASN1Integer(&length) || !salt.Empty() {
		return 0
	}
	for _, h := range pssHashNames {
		if h.oid.Equal(oid) && length == h.hash.Size() {
			return h.hash
		}
	}
	return 0
}

// newDigest is the hash that a signature algorithm takes; nil when the algorithm is not one that counts.
func (a *algorithmIdentifier) newDigest() hash.Hash {
	for _, g := range Algorithms {
		if g.Signature.Equal(a.oid) {
			return g.Digest.New()
		}
	}
	if h, _, _ := a.foreign(); h != 0 {
		return h.New()
	}
	return nil
}

func (a *algorithmIdentifier) digest(message []byte) []byte {
	h := a.newDigest()
	if h == nil {
		return nil
	}
	h.Write(message)
	return h.Sum(nil)
}

// checkDigest holds a signature over digest, made with newDigest, against the key of the certificate that should have made
// it: the identifier is the one of the key's algorithm, the length is exact, the value verifies.
func (a *algorithmIdentifier) checkDigest(signer *Certificate, keys *KeyCache, digest, signature []byte) error {
	if signer.PublicKey != nil {
		return checkSignedDigest(signer.PublicKey, keys, a, digest, signature)
	}
	if signer.OtherKey == nil {
		return fmt.Errorf("the signer's key is not usable: %w", signer.PublicKeyErr)
	}
	hash, isECDSA, pss := a.foreign()
	switch key := signer.OtherKey.(type) {
	case *rsa.PublicKey:
		switch {
		case hash == 0 || isECDSA:
			return fmt.Errorf("signatureAlgorithm %v is none that counts for the signer's RSA key", a.oid)
		case pss:
			return verified(rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil)
		}
		return verified(rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil)
	case *ecdsa.PublicKey:
		if hash == 0 || !isECDSA {
			return fmt.Errorf("signatureAlgorithm %v is none that counts for the signer's ECDSA key", a.oid)
		}
		return verified(ecdsa.VerifyASN1(key, digest, signature))
	}
	return errors.New("the signer's key is of an unknown kind")
}

func verified(ok bool) error {
	if !ok {
		return ErrVerification
	}
	return nil
}
