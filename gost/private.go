package gost

import (
	"crypto"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/epov-signer/epov/gost/streebog"
)

// PrivateKey is a key in software, for library users, tools and tests; the daemon never holds one. Safe for
// concurrent use.
//
// Multiplication of the base point by the key and by the nonce, and the arithmetic modulo q around it, neither branch
// on secrets nor index memory by them. Not covered: reading and writing encodings of the key, the rejection of
// candidates by the nonce generator (which reveals nothing about the one taken), the tables of Streebog inside it,
// and the memory of the process, which is not wiped.
type PrivateKey struct {
	public *PublicKey
	d      fe // 0 < d < q
}

// GenerateKey makes a key from the given source of randomness, crypto/rand.Reader when it is nil. It draws whole
// integers of the length of q until one is in range.
func GenerateKey(rand io.Reader, a *Algorithm, p *ParamSet, opts ...KeyOption) (*PrivateKey, error) {
	if err := p.check(a, opts); err != nil {
		return nil, err
	}
	if rand == nil {
		rand = cryptorand.Reader
	}
	buf := make([]byte, p.Size())
	for range 1000 { // the chance of a draw is above one half
		if _, err := io.ReadFull(rand, buf); err != nil {
			return nil, fmt.Errorf("gost: generating a key: %w", err)
		}
		var d fe
		p.curve.candidate(&d, buf)
		if p.curve.isScalar(&d) {
			return newPrivateKey(a, p, &d, opts)
		}
	}
	return nil, errors.New("gost: generating a key: the source of randomness does not vary")
}

// newPrivateKey takes 0 < d < q.
func newPrivateKey(a *Algorithm, p *ParamSet, d *fe, opts []KeyOption) (*PrivateKey, error) {
	c, size := p.curve, p.Size()
	var pt point
	c.windows().multiply(&pt, d)
	x, y := c.coordinates(&pt)
	raw := make([]byte, 2*size)
	x.putBytesLE(raw[:size])
	y.putBytesLE(raw[size:])
	public, err := NewPublicKey(a, p, raw, opts...)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{public: public, d: *d}, nil
}

// Public returns a *PublicKey.
func (k *PrivateKey) Public() crypto.PublicKey { return k.public }

// Equal reports whether x is the same private key with the same algorithm.
func (k *PrivateKey) Equal(x crypto.PrivateKey) bool {
	o, ok := x.(*PrivateKey)
	return ok && o != nil && k.public.Equal(o.public) && k.d.equal(&o.d)
}

// Sign implements crypto.Signer: digest in wire order, result s ‖ r (RFC 7091 section 6.1). opts may be nil and names
// no hash: the key's algorithm does. The nonce comes from the key, the digest and as many fresh octets of rand
// (crypto/rand.Reader when nil) as the key has, so that neither a weak source of randomness nor one that repeats itself
// gives the key away. Whoever must not release a wrong signature even when the machine errs verifies it. GOST2001 keys
// sign too, for tests and archives; new signatures should not use them.
func (k *PrivateKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	a, c := k.public.Algorithm, k.public.Params.curve
	if opts != nil && opts.HashFunc() != 0 {
		return nil, fmt.Errorf("gost: hash %v does not belong to %s", opts.HashFunc(), a.Name)
	}
	if err := a.checkDigest(digest); err != nil {
		return nil, err
	}
	if rand == nil {
		rand = cryptorand.Reader
	}
	fresh := make([]byte, c.size())
	if _, err := io.ReadFull(rand, fresh); err != nil {
		return nil, fmt.Errorf("gost: signing: %w", err)
	}
	nonces := k.newNonces(fresh, digest)
	for range 256 { // a candidate is in range with a chance above one half
		var nonce fe
		c.candidate(&nonce, nonces.next())
		if !c.isScalar(&nonce) {
			continue
		}
		if signature := k.signWithNonce(digest, &nonce); signature != nil {
			return signature, nil
		}
	}
	return nil, errors.New("gost: signing: no nonce found")
}

// signWithNonce returns nil where the standard asks for another nonce, r = 0 or s = 0, and where a fault of the machine
// took the point of the nonce off the curve.
func (k *PrivateKey) signWithNonce(digest []byte, nonce *fe) []byte {
	c := k.public.Params.curve
	var e, r, s, t fe
	c.scalarOf(&e, digest)
	var pt point
	c.windows().multiply(&pt, nonce)
	x, y := c.coordinates(&pt)
	c.q.encode(&r, &x) // x mod q
	c.q.mul(&s, &r, &k.d)
	c.q.mul(&t, &e, nonce)
	c.q.add(&s, &s, &t) // r·d + k·e, no longer in Montgomery form
	c.q.decode(&r, &r)
	c.p.encode(&x, &x)
	c.p.encode(&y, &y)
	if r.isZero() || s.isZero() || !c.contains(&affine{x, y}) {
		return nil
	}
	signature := make([]byte, 2*c.size())
	s.putBytes(signature[:c.size()])
	r.putBytes(signature[c.size():])
	return signature
}

// candidate reads a big-endian integer of as many bits as q has from the start of b.
func (c *curve) candidate(z *fe, b []byte) {
	z.setBytes(b)
	shift := uint(64*c.q.limbs - c.q.bits)
	for i := range z {
		z[i] >>= shift
		if i+1 < len(z) && shift > 0 {
			z[i] |= z[i+1] << (64 - shift)
		}
	}
}

// isScalar checks 0 < z < q.
func (c *curve) isScalar(z *fe) bool { return !z.isZero() && z.less(&c.q.v) }

// nonces are candidates: the first octets of HMAC-Streebog-512 (RFC 7836 section 4.1) under the private key of
// fresh ‖ digest ‖ number of the candidate, from 0. Whoever does not know the key cannot tell them from random ones, be
// fresh random or not; if it is, equal messages get different nonces.
type nonces struct {
	mac    hash.Hash
	input  []byte // the last octet is the number
	output [streebog.Size512]byte
	size   int
}

func (k *PrivateKey) newNonces(fresh, digest []byte) *nonces {
	var key [64]byte
	size := k.public.Params.Size()
	k.d.putBytes(key[:size])
	return &nonces{
		mac:   hmac.New(streebog.New512, key[:size]),
		input: append(append(append(make([]byte, 0, 2*64+1), fresh...), digest...), 0),
		size:  size,
	}
}

func (n *nonces) next() []byte {
	n.mac.Reset()
	n.mac.Write(n.input)
	n.input[len(n.input)-1]++
	return n.mac.Sum(n.output[:0])[:n.size]
}
