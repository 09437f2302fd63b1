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
	var v verification
	if err := v.start(k, digest, signature); err != nil {
		return err
	}
	var pt sum
	k.Params.curve.multiply(&pt, &v.z1, &v.z2, &k.point)
	return v.finish(pt.point())
}

// verification is what verifying with and without tables have in common: the signature is good when
// C = z1·P + z2·Q is not zero and its x mod q is r.
type verification struct {
	c      *curve
	r      fe // 0 < r < q
	z1, z2 fe // s/e and −r/e modulo q
}

func (v *verification) start(k *PublicKey, digest, signature []byte) error {
	var s, e fe
	if err := v.read(&s, &e, k, digest, signature); err != nil {
		return err
	}
	v.c.q.inverse(&e, &e)
	v.divide(&s, &e)
	return nil
}

// read sets s, an integer, and e in Montgomery form, neither of them zero.
func (v *verification) read(s, e *fe, k *PublicKey, digest, signature []byte) error {
	a := k.Algorithm
	if err := a.checkDigest(digest); err != nil {
		return err
	}
	if len(signature) != a.SignatureSize() {
		return fmt.Errorf("%w: %d octets, %s has %d", ErrSignatureLength, len(signature), a.Name, a.SignatureSize())
	}
	c := k.Params.curve
	v.c = c
	s.setBytes(signature[:len(signature)/2])
	v.r.setBytes(signature[len(signature)/2:])
	if !c.isScalar(&v.r) || !c.isScalar(s) {
		return ErrVerification
	}
	c.scalarOf(e, digest)
	return nil
}

// divide takes s and 1/e.
func (v *verification) divide(s, inverse *fe) {
	q := v.c.q
	q.mul(&v.z1, s, inverse) // an ordinary and a Montgomery factor give an ordinary product
	q.mul(&v.z2, &v.r, inverse)
	q.neg(&v.z2, &v.z2)
}

func (v *verification) finish(pt *point) error {
	if v.c.isZero(pt) || !v.c.matchesX(pt, &v.r) {
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
	e.choose(&c.q.one, c.q.maskIfZero(e))
}

// matchesX reports whether x mod q = r for the coordinate x of a point other than zero. It tries every x = r + i·q
// below p (one, or up to four where the cofactor is 4) instead of dividing: x·n = m for the fraction x = m/n.
func (c *curve) matchesX(pt *point, r *fe) bool {
	var m, n, x fe
	if c.edwards == nil {
		m, n = pt.x, pt.e
	} else { // x − t = s(z + y)/(z − y)
		c.p.sub(&n, &pt.z, &pt.y)
		c.p.add(&m, &pt.z, &pt.y)
		c.p.mul(&m, &m, &c.edwards.s)
		c.p.mul(&x, &n, &c.edwards.t)
		c.p.add(&m, &m, &x)
	}
	for candidate := *r; candidate.less(&c.p.v); {
		c.p.encode(&x, &candidate)
		c.p.mul(&x, &x, &n)
		if c.p.equal(&x, &m) {
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
