package gost

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
)

// ErrPoint says that octets of the right length are no acceptable public key: a coordinate is not reduced, or the
// point is not on the curve or not in the subgroup of order q.
var ErrPoint = errors.New("gost: not a point of the group")

// PublicKey is a checked GOST R 34.10 public key: the point is on the curve and in the subgroup of order q.
// Immutable, safe for concurrent use.
type PublicKey struct {
	Algorithm *Algorithm
	Params    *ParamSet
	raw       []byte
	point     entry
}

// NewPublicKey takes a public key as tokens and SubjectPublicKeyInfo carry it: x ‖ y, each little-endian, 64 or 128
// octets.
func NewPublicKey(a *Algorithm, p *ParamSet, raw []byte, opts ...KeyOption) (*PublicKey, error) {
	if err := p.check(a, opts); err != nil {
		return nil, err
	}
	c, size := p.curve, p.Size()
	if len(raw) != 2*size {
		return nil, fmt.Errorf("gost: public key has %d octets, %s needs %d", len(raw), p.Name, 2*size)
	}
	k := &PublicKey{Algorithm: a, Params: p, raw: slices.Clone(raw)}
	var pt affine
	pt.x.setBytesLE(raw[:size])
	pt.y.setBytesLE(raw[size:])
	if !pt.x.less(&c.p.v) || !pt.y.less(&c.p.v) {
		return nil, fmt.Errorf("%w: a coordinate is not below p of %s", ErrPoint, p.Name)
	}
	c.p.encode(&pt.x, &pt.x)
	c.p.encode(&pt.y, &pt.y)
	if !c.contains(&pt) {
		return nil, fmt.Errorf("%w: it is not on the curve %s", ErrPoint, p.Name)
	}
	var ok bool
	if k.point, ok = c.entryOf(&pt); !ok {
		return nil, fmt.Errorf("%w: its order on %s is not q", ErrPoint, p.Name)
	}
	return k, nil
}

// Bytes returns x ‖ y, each little-endian.
func (k *PublicKey) Bytes() []byte { return slices.Clone(k.raw) }

// Equal compares algorithm, curve and point; the name of the parameter set does not matter.
func (k *PublicKey) Equal(x crypto.PublicKey) bool {
	o, ok := x.(*PublicKey)
	return ok && o != nil && k.Algorithm == o.Algorithm && k.Params.SameCurve(o.Params) && bytes.Equal(k.raw, o.raw)
}
