package gost

import (
	"crypto"
	"errors"
	"io"
)

// ErrVerification says that a well-formed signature does not verify; ErrSignatureLength that it has not exactly the length
// the algorithm demands.
var (
	ErrVerification    = errors.New("gost: signature does not verify")
	ErrSignatureLength = errors.New("gost: signature has a wrong length")
)

// PublicKey is a checked GOST R 34.10 public key: the point is on the curve and in the subgroup of order q. Immutable, safe
// for concurrent use.
type PublicKey struct {
	Algorithm *Algorithm
	Params    *ParamSet
}

// NewPublicKey takes a public key as tokens and SubjectPublicKeyInfo carry it: x ‖ y, each little-endian, 64 or 128 octets.
func NewPublicKey(a *Algorithm, p *ParamSet, raw []byte) (*PublicKey, error) { panic("skeleton") }

// ParsePublicKey reads a DER SubjectPublicKeyInfo (RFC 4491, RFC 9215).
func ParsePublicKey(der []byte) (*PublicKey, error) { panic("skeleton") }

// Bytes returns x ‖ y, each little-endian.
func (k *PublicKey) Bytes() []byte { panic("skeleton") }

// SubjectPublicKeyInfo returns the DER encoding with the parameters RFC 9215 section 4 asks for.
func (k *PublicKey) SubjectPublicKeyInfo() []byte { panic("skeleton") }

// Equal compares algorithm, curve and point; the name of the parameter set does not matter.
func (k *PublicKey) Equal(x crypto.PublicKey) bool { panic("skeleton") }

// Verify checks signature, s ‖ r in big-endian halves of exactly Algorithm.SignatureSize octets, over digest in wire order.
func (k *PublicKey) Verify(digest, signature []byte) error { panic("skeleton") }

// PrivateKey is a key in software, for library users, tools and tests; the daemon never holds one.
type PrivateKey struct{}

// GenerateKey makes a key from the given source of randomness.
func GenerateKey(rand io.Reader, a *Algorithm, p *ParamSet) (*PrivateKey, error) { panic("skeleton") }

// ParsePrivateKey reads a DER PKCS#8 key in any of the spellings of its octets that are told apart without guessing.
func ParsePrivateKey(der []byte) (*PrivateKey, error) { panic("skeleton") }

// Public returns a *PublicKey.
func (k *PrivateKey) Public() crypto.PublicKey { panic("skeleton") }

// Sign implements crypto.Signer: digest in wire order, result s ‖ r. opts may be nil.
func (k *PrivateKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	panic("skeleton")
}
