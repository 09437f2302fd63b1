package gost

import (
	"errors"
	"fmt"
	"math/bits"
)

// ErrVerification says that a well-formed signature does not verify; ErrSignatureLength that it has not exactly the
// length the algorithm demands; ErrDigestLength that the digest is not one of the algorithm's hash.
var (
	ErrVerification    = errors.New("gost: signature does not verify")
	ErrSignatureLength = errors.New("gost: signature has a wrong length")
	ErrDigestLength    = errors.New("gost: digest has a wrong length")
)

// Verify checks signature, s ‖ r in big-endian halves of exactly Algorithm.SignatureSize octets, over digest in wire
// order (RFC 7091 section 6.2). The error is one of ErrVerification, ErrSignatureLength and ErrDigestLength, perhaps
// wrapped. Time depends on the arguments, which are public. A successful Verify allocates nothing.
func (k *PublicKey) Verify(digest, signature []byte) error {
	a := k.Algorithm
	if err := a.checkDigest(digest); err != nil {
		return err
	}
	if len(signature) != a.SignatureSize() {
		return fmt.Errorf("%w: %d octets, %s has %d", ErrSignatureLength, len(signature), a.Name, a.SignatureSize())
	}
	c := k.Params.curve
	var r, s, e fe
	s.setBytes(signature[:len(signature)/2])
	r.setBytes(signature[len(signature)/2:])
	if r.isZero() || s.isZero() || !r.less(&c.q.v) || !s.less(&c.q.v) {
		return ErrVerification
	}
	c.scalarOf(&e, digest)
	c.q.inverse(&e, &e)
	var z1, z2 fe
	c.q.mul(&z1, &s, &e) // an ordinary and a Montgomery factor give an ordinary product
	c.q.mul(&z2, &r, &e)
	c.q.neg(&z2, &z2)
	var pt jacobian
	c.sum(&pt, &z1, &z2, &k.point)
	if pt.z.isZero() || !c.matchesX(&pt, &r) {
		return ErrVerification
	}
	return nil
}

func (a *Algorithm) checkDigest(digest []byte) error {
	if len(digest) != a.Digest.Size {
		return fmt.Errorf("%w: %d octets, %s has %d", ErrDigestLength, len(digest), a.Digest.Name, a.Digest.Size)
	}
	return nil
}

// scalarOf turns a digest into e = α mod q, 1 in place of 0, in Montgomery form; α is the digest read as little-endian.
// Its time does not depend on the digest.
func (c *curve) scalarOf(e *fe, digest []byte) {
	e.setBytesLE(digest)
	c.q.encode(e, e)
	e.choose(&c.q.one, maskIfZero(e))
}

// maskIfZero is all ones for zero and else zero.
func maskIfZero(x *fe) uint64 {
	var or uint64
	for _, w := range x {
		or |= w
	}
	_, b := bits.Sub64(or, 1, 0)
	return -b
}

// matchesX reports whether x mod q = r for the coordinate x of a point other than zero. It tries every x = r + i·q
// below p (one, or up to four where the cofactor is 4) instead of inverting z.
func (c *curve) matchesX(pt *jacobian, r *fe) bool {
	var zz, x fe
	c.p.sqr(&zz, &pt.z)
	for candidate := *r; candidate.less(&c.p.v); {
		c.p.encode(&x, &candidate)
		c.p.mul(&x, &x, &zz)
		if x.equal(&pt.x) {
			return true
		}
		var carry uint64
		for i := range c.p.limbs {
			candidate[i], carry = bits.Add64(candidate[i], c.q.v[i], carry)
		}
		if carry != 0 {
			return false
		}
	}
	return false
}
