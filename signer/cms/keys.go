package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // what old time-stamps digest with; reported as weak
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/epov-signer/epov/gost"
)

// digest is a hash function that can be met in a message.
type digest struct {
	name string
	oid  asn1.ObjectIdentifier
	size int
	new  func() hash.Hash
	gost *gost.Digest // nil for others
	hash crypto.Hash  // for others
	weak bool
}

// digests is the whole list. Those that are not GOST's occur in time-stamps only.
var digests = slices.Concat(gostMethods, []*digest{
	{name: "sha256", oid: oidSHA256, size: sha256.Size, new: sha256.New, hash: crypto.SHA256},
	{name: "sha384", oid: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, size: sha512.Size384,
		new: sha512.New384, hash: crypto.SHA384},
	{name: "sha512", oid: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, size: sha512.Size, new: sha512.New, hash: crypto.SHA512},
	{name: "sha1", oid: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, size: sha1.Size, new: sha1.New, hash: crypto.SHA1, weak: true},
})

var gostMethods = func() (list []*digest) {
	for _, d := range gost.Digests {
		list = append(list, &digest{name: d.Name, oid: d.OID, size: d.Size, new: d.New, gost: d})
	}
	return list
}()

// digestByOID finds a digest; nil when there is none.
func digestByOID(oid asn1.ObjectIdentifier) *digest {
	for _, d := range digests {
		if d.oid.Equal(oid) {
			return d
		}
	}
	return nil
}

// signerKey is the key of a certificate with what a SignerInfo must agree with.
type signerKey struct {
	name       string
	digests    []*digest // with which it may sign; one with GOST
	algorithms func(*digest) []asn1.ObjectIdentifier
	size       int // octets of a signature, 0 when they vary
	verify     func(d *digest, sum, signature []byte) error
}

// gostKey is what every signer but a time-stamping authority must have.
func gostKey(key *gost.PublicKey, cache *gost.KeyCache) *signerKey {
	a := key.Algorithm
	return &signerKey{
		name: a.Name, digests: []*digest{digestByOID(a.Digest.OID)}, size: a.SignatureSize(),
		algorithms: func(*digest) []asn1.ObjectIdentifier { return []asn1.ObjectIdentifier{a.PublicKey, a.Signature} },
		verify:     func(_ *digest, sum, signature []byte) error { return cache.Verify(key, sum, signature) },
	}
}

// Signature algorithms of others: RFC 8017 appendix A.2.4, RFC 5754, RFC 5758.
var (
	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}

	rsaAlgorithms = map[string]asn1.ObjectIdentifier{
		"sha1": {1, 2, 840, 113549, 1, 1, 5}, "sha256": {1, 2, 840, 113549, 1, 1, 11},
		"sha384": {1, 2, 840, 113549, 1, 1, 12}, "sha512": {1, 2, 840, 113549, 1, 1, 13},
	}
	ecdsaAlgorithms = map[string]asn1.ObjectIdentifier{
		"sha1": {1, 2, 840, 10045, 4, 1}, "sha256": {1, 2, 840, 10045, 4, 3, 2},
		"sha384": {1, 2, 840, 10045, 4, 3, 3}, "sha512": {1, 2, 840, 10045, 4, 3, 4},
	}
)

// foreignKey is the key of a time-stamping authority outside GOST: RSA with PKCS #1 v1.5, or ECDSA.
func foreignKey(c *gost.Certificate) (*signerKey, error) {
	k := &signerKey{digests: slices.DeleteFunc(slices.Clone(digests), func(d *digest) bool { return d.gost != nil })}
	switch public := c.OtherKey.(type) {
	case *rsa.PublicKey:
		k.name, k.size = fmt.Sprintf("rsa-%d", public.N.BitLen()), public.Size()
		k.algorithms = func(d *digest) []asn1.ObjectIdentifier {
			return []asn1.ObjectIdentifier{oidRSA, rsaAlgorithms[d.name]}
		}
		k.verify = func(d *digest, sum, signature []byte) error {
			return rsa.VerifyPKCS1v15(public, d.hash, sum, signature)
		}
	case *ecdsa.PublicKey:
		k.name = "ecdsa-" + public.Curve.Params().Name
		k.algorithms = func(d *digest) []asn1.ObjectIdentifier {
			return []asn1.ObjectIdentifier{ecdsaAlgorithms[d.name], oidECPublicKey}
		}
		k.verify = func(_ *digest, sum, signature []byte) error {
			if !ecdsa.VerifyASN1(public, sum, signature) {
				return errors.New("the ECDSA signature does not verify")
			}
			return nil
		}
	default:
		return nil, c.PublicKeyErr
	}
	return k, nil
}

// acceptable names the identifiers for a report.
func acceptable(list []asn1.ObjectIdentifier) string {
	var b bytes.Buffer
	for i, oid := range list {
		if i > 0 {
			b.WriteString(" or ")
		}
		b.WriteString(oid.String())
	}
	return b.String()
}
