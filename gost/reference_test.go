package gost

import "math/big"

// reference is the standard in math/big, written for reading: affine points, one formula a case, nothing shared with
// the arithmetic under test but the constants.
type reference struct {
	p, a, b, q *big.Int
	base       *refPoint
}

// refPoint is a point; nil is zero.
type refPoint struct{ x, y *big.Int }

func referenceOf(c *curve) *reference {
	plain := func(x fe) *big.Int {
		c.p.decode(&x, &x)
		return bigOf(&x)
	}
	return &reference{
		p: bigOf(&c.p.v), a: plain(c.a), b: plain(c.b), q: bigOf(&c.q.v),
		base: &refPoint{plain(c.base.x), plain(c.base.y)},
	}
}

func bigOf(x *fe) *big.Int {
	var b [64]byte
	x.putBytes(b[:])
	return new(big.Int).SetBytes(b[:])
}

func littleEndian(b []byte) *big.Int {
	r := make([]byte, len(b))
	for i := range b {
		r[len(b)-1-i] = b[i]
	}
	return new(big.Int).SetBytes(r)
}

func (r *reference) add(u, v *refPoint) *refPoint {
	if u == nil {
		return v
	}
	if v == nil {
		return u
	}
	var n, d *big.Int
	if u.x.Cmp(v.x) == 0 {
		if u.y.Cmp(v.y) != 0 || u.y.Sign() == 0 {
			return nil
		}
		n = new(big.Int).Mul(u.x, u.x)
		n.Mul(n, big.NewInt(3)).Add(n, r.a)
		d = new(big.Int).Lsh(u.y, 1)
	} else {
		n = new(big.Int).Sub(v.y, u.y)
		d = new(big.Int).Sub(v.x, u.x)
	}
	l := n.Mul(n, d.ModInverse(d.Mod(d, r.p), r.p))
	l.Mod(l, r.p)
	x := new(big.Int).Mul(l, l)
	x.Sub(x, u.x).Sub(x, v.x).Mod(x, r.p)
	y := new(big.Int).Sub(u.x, x)
	y.Mul(y, l).Sub(y, u.y).Mod(y, r.p)
	return &refPoint{x, y}
}

func (r *reference) mul(k *big.Int, u *refPoint) *refPoint { return r.sum(k, u, new(big.Int), nil) }

// sum is m·u + n·v by doubling and adding, one bit of both scalars at a time.
func (r *reference) sum(m *big.Int, u *refPoint, n *big.Int, v *refPoint) *refPoint {
	var sum *refPoint
	for i := max(m.BitLen(), n.BitLen()) - 1; i >= 0; i-- {
		sum = r.add(sum, sum)
		if m.Bit(i) == 1 {
			sum = r.add(sum, u)
		}
		if n.Bit(i) == 1 {
			sum = r.add(sum, v)
		}
	}
	return sum
}

func (r *reference) scalarOf(digest []byte) *big.Int {
	e := littleEndian(digest)
	if e.Mod(e, r.q); e.Sign() == 0 {
		e.SetInt64(1)
	}
	return e
}

func (r *reference) inRange(x *big.Int) bool { return x.Sign() > 0 && x.Cmp(r.q) < 0 }

// verify is RFC 7091 section 6.2 to the letter.
func (r *reference) verify(public *refPoint, digest, signature []byte) bool {
	s := new(big.Int).SetBytes(signature[:len(signature)/2])
	t := new(big.Int).SetBytes(signature[len(signature)/2:])
	if !r.inRange(s) || !r.inRange(t) {
		return false
	}
	v := new(big.Int).ModInverse(r.scalarOf(digest), r.q)
	z1 := new(big.Int).Mul(s, v)
	z2 := new(big.Int).Mul(t, v)
	z1.Mod(z1, r.q)
	z2.Neg(z2).Mod(z2, r.q)
	c := r.sum(z1, r.base, z2, public)
	return c != nil && new(big.Int).Mod(c.x, r.q).Cmp(t) == 0
}

// sign is RFC 7091 section 6.1 with a given nonce; nil where the standard draws again.
func (r *reference) sign(d, nonce *big.Int, digest []byte, size int) []byte {
	c := r.mul(nonce, r.base)
	x := new(big.Int).Mod(c.x, r.q)
	s := new(big.Int).Mul(x, d)
	s.Add(s, new(big.Int).Mul(nonce, r.scalarOf(digest))).Mod(s, r.q)
	if x.Sign() == 0 || s.Sign() == 0 {
		return nil
	}
	return append(s.FillBytes(make([]byte, size)), x.FillBytes(make([]byte, size))...)
}
