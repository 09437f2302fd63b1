package gost

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// curves lists each curve once, with a name.
func curves() map[string]*curve {
	m := map[string]*curve{}
	seen := map[*curve]bool{}
	for _, p := range ParamSets {
		if !seen[p.curve] {
			seen[p.curve] = true
			m[p.Name] = p.curve
		}
	}
	return m
}

func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// edges are the integers of the field where carries and borrows go wrong.
func edges(m *modulus) []fe {
	v := bigOf(&m.v)
	half := new(big.Int).Rsh(v, 1)
	list := []*big.Int{
		big.NewInt(0), big.NewInt(1), big.NewInt(2), big.NewInt(3),
		new(big.Int).Sub(v, big.NewInt(1)), new(big.Int).Sub(v, big.NewInt(2)), half, new(big.Int).Add(half, big.NewInt(1)),
		new(big.Int).SetUint64(1<<64 - 1), new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int).Lsh(big.NewInt(1), uint(m.bits-1)),
		new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(m.bits-1)), big.NewInt(1)),
	}
	var out []fe
	for _, x := range list {
		out = append(out, feOf(x.Mod(x, v)))
	}
	return out
}

func randomElement(r *rand.Rand, m *modulus) fe {
	var z fe
	for i := range m.limbs {
		z[i] = r.Uint64()
	}
	v := bigOf(&z)
	return feOf(v.Mod(v, bigOf(&m.v)))
}

// TestField compares every operation with math/big, with and without aliasing, on edges and at random.
func TestField(t *testing.T) {
	r := source()
	for name, c := range curves() {
		for _, m := range []*modulus{c.p, c.q} {
			v := bigOf(&m.v)
			radix := new(big.Int).Lsh(big.NewInt(1), uint(64*m.limbs))
			inverseRadix := new(big.Int).ModInverse(radix, v)
			values := edges(m)
			for range 20 {
				values = append(values, randomElement(r, m))
			}
			for _, x := range values {
				for _, y := range values {
					a, b := bigOf(&x), bigOf(&y)
					for _, op := range []struct {
						name string
						f    func(z, x, y *fe)
						want *big.Int
					}{
						{"add", m.add, new(big.Int).Add(a, b)},
						{"sub", m.sub, new(big.Int).Sub(a, b)},
						{"mul", m.mul, new(big.Int).Mul(new(big.Int).Mul(a, b), inverseRadix)},
					} {
						want := feOf(op.want.Mod(op.want, v))
						var z fe
						op.f(&z, &x, &y)
						left, right := x, y
						op.f(&left, &left, &y)
						op.f(&right, &x, &right)
						if z != want || left != want || right != want {
							t.Fatalf("%s: %s of %x and %x is %x, %x, %x, want %x", name, op.name, a, b, z, left, right, want)
						}
					}
					if (&x).less(&y) != (a.Cmp(b) < 0) || (&x).equal(&y) != (a.Cmp(b) == 0) {
						t.Fatalf("%s: comparison of %x and %x", name, a, b)
					}
				}
				a := bigOf(&x)
				var z, one fe
				m.encode(&z, &x)
				m.inverse(&one, &z)
				if !x.isZero() {
					m.mul(&one, &one, &z)
					if one != m.one {
						t.Fatalf("%s: inverse of %x", name, a)
					}
				} else if !one.isZero() {
					t.Fatalf("%s: inverse of zero is %x", name, one)
				}
				m.decode(&z, &z)
				if z != x {
					t.Fatalf("%s: %x does not survive Montgomery form", name, a)
				}
				m.neg(&z, &x)
				m.add(&z, &z, &x)
				if !z.isZero() || (maskIfZero(&x) != 0) != (a.Sign() == 0) {
					t.Fatalf("%s: negation of %x, or its mask", name, a)
				}
			}
			// encode reduces any integer of its limbs
			var all fe
			for i := range m.limbs {
				all[i] = 1<<64 - 1
			}
			want := bigOf(&all)
			m.encode(&all, &all)
			m.decode(&all, &all)
			if all != feOf(want.Mod(want, v)) {
				t.Fatalf("%s: the greatest integer reduces to %x", name, all)
			}
		}
	}
}

func TestRecode(t *testing.T) {
	r := source()
	for name, c := range curves() {
		length := 64*c.p.limbs + 1
		var all fe
		for i := range c.p.limbs {
			all[i] = 1<<64 - 1
		}
		for _, k := range append(edges(c.q), randomElement(r, c.q), randomElement(r, c.q), all) {
			for _, width := range []int{keyWindow, baseWindow} {
				digits := make([]int8, length)
				recode(digits, &k, width)
				sum := new(big.Int)
				last := -width
				for i, d := range digits {
					if d == 0 {
						continue
					}
					if d&1 == 0 || int(d) >= 1<<(width-1) || int(d) <= -1<<(width-1) || i-last < width {
						t.Fatalf("%s: digit %d at %d, the one before at %d", name, d, i, last)
					}
					last = i
					sum.Add(sum, new(big.Int).Lsh(big.NewInt(int64(d)), uint(i)))
				}
				if sum.Cmp(bigOf(&k)) != 0 {
					t.Fatalf("%s: %x recodes to %x", name, bigOf(&k), sum)
				}
			}
		}
	}
}

// lower brings a point of the reference to the package's form; zero is nil in both.
func lower(c *curve, u *refPoint) *affine {
	if u == nil {
		return nil
	}
	x, y := feOf(u.x), feOf(u.y)
	c.p.encode(&x, &x)
	c.p.encode(&y, &y)
	return &affine{x, y}
}

// scaled is the point with a denominator other than one, zero with garbage in its coordinates.
func (c *curve) scaled(u *affine, z fe) (r jacobian) {
	if u == nil {
		return jacobian{z, z, fe{}}
	}
	r.z = z
	c.p.sqr(&r.x, &z)
	c.p.mul(&r.y, &r.x, &z)
	c.p.mul(&r.x, &r.x, &u.x)
	c.p.mul(&r.y, &r.y, &u.y)
	return r
}

func (c *curve) isPoint(u *jacobian, want *affine) bool {
	if want == nil || u.z.isZero() {
		return want == nil && u.z.isZero()
	}
	return c.affine(u) == *want
}

// TestGroup adds points in every relation to each other: equal, opposite, zero, of order 2 and 4, unrelated.
func TestGroup(t *testing.T) {
	r := source()
	for name, c := range curves() {
		ref := referenceOf(c)
		points := []*refPoint{nil, ref.base}
		for _, k := range []int64{2, 3, 5} {
			points = append(points, ref.mul(big.NewInt(k), ref.base))
		}
		opposite := &refPoint{ref.base.x, new(big.Int).Sub(ref.p, ref.base.y)}
		points = append(points, opposite)
		inSubgroup := len(points)
		if c.cofactor == 4 {
			points = append(points, torsion(t, ref)...)
		}
		for i, u := range points {
			for j, v := range points {
				want := lower(c, ref.add(u, v))
				zu, zv := randomElement(r, c.p), randomElement(r, c.p)
				a, b := c.scaled(lower(c, u), zu), c.scaled(lower(c, v), zv)
				var sum jacobian
				if c.add(&sum, &a, &b); !c.isPoint(&sum, want) {
					t.Errorf("%s: sum of points %d and %d", name, i, j)
				}
				if c.add(&a, &a, &b); a != sum {
					t.Errorf("%s: sum of points %d and %d over the first", name, i, j)
				}
				if v != nil {
					a = c.scaled(lower(c, u), zu)
					if c.addAffine(&a, &a, lower(c, v)); !c.isPoint(&a, want) {
						t.Errorf("%s: mixed sum of points %d and %d", name, i, j)
					}
				}
				if i == j {
					a = c.scaled(lower(c, u), zu)
					if c.double(&a, &a); !c.isPoint(&a, want) {
						t.Errorf("%s: double of point %d", name, i)
					}
				}
				if i < inSubgroup && j < inSubgroup {
					a, b := c.projective(lower(c, u), zu), c.projective(lower(c, v), zv)
					if c.addComplete(&a, &a, &b); !c.isProjective(&a, want) {
						t.Errorf("%s: complete sum of points %d and %d", name, i, j)
					}
				}
			}
			if u != nil {
				if !c.contains(lower(c, u)) {
					t.Errorf("%s: point %d is not on the curve", name, i)
				}
				if c.inSubgroup(lower(c, u)) != (i < inSubgroup) {
					t.Errorf("%s: point %d in the subgroup: %v", name, i, i >= inSubgroup)
				}
			}
		}
	}
}

// torsion returns points outside the subgroup of a curve with m = 4q: of order 2 and 4, and the base point plus each.
func torsion(t *testing.T, ref *reference) []*refPoint {
	t.Helper()
	for x := int64(1); x < 1000; x++ {
		u := ref.lift(big.NewInt(x))
		if u == nil {
			continue
		}
		if four := ref.mul(ref.q, u); four != nil {
			if two := ref.add(four, four); two != nil {
				return []*refPoint{two, four, ref.add(ref.base, two), ref.add(ref.base, four), u}
			}
		}
	}
	t.Fatal("no point of order 4")
	return nil
}

// lift finds a point with the given x, nil when there is none.
func (r *reference) lift(x *big.Int) *refPoint {
	yy := new(big.Int).Mul(x, x)
	yy.Add(yy, r.a).Mul(yy, x).Add(yy, r.b).Mod(yy, r.p)
	y := new(big.Int).ModSqrt(yy, r.p)
	if y == nil {
		return nil
	}
	return &refPoint{x, y}
}

func (c *curve) projective(u *affine, z fe) (r projective) {
	if u == nil {
		return projective{y: z}
	}
	r.z = z
	c.p.mul(&r.x, &u.x, &z)
	c.p.mul(&r.y, &u.y, &z)
	return r
}

func (c *curve) isProjective(u *projective, want *affine) bool {
	if want == nil || u.z.isZero() {
		return want == nil && u.z.isZero()
	}
	x, y := c.coordinates(u)
	c.p.encode(&x, &x)
	c.p.encode(&y, &y)
	return affine{x, y} == *want
}

// TestMultiply compares both multiplications with the reference on edges and at random.
func TestMultiply(t *testing.T) {
	r := source()
	for name, c := range curves() {
		ref := referenceOf(c)
		five := ref.mul(big.NewInt(5), ref.base)
		for _, k := range append(edges(c.q), c.q.v, randomElement(r, c.q), randomElement(r, c.q)) {
			want := ref.mul(bigOf(&k), ref.base)
			var pt projective
			if c.multiplyBase(&pt, &k); !c.isProjective(&pt, lower(c, want)) {
				t.Errorf("%s: %x times the base point", name, bigOf(&k))
			}
			n := randomElement(r, c.q)
			want = ref.add(want, ref.mul(bigOf(&n), five))
			var sum jacobian
			if c.sum(&sum, &k, &n, lower(c, five)); !c.isPoint(&sum, lower(c, want)) {
				t.Errorf("%s: %x P + %x Q", name, bigOf(&k), bigOf(&n))
			}
		}
		// k·P + n·5P = 0
		n := randomElement(r, c.q)
		k := new(big.Int).Mul(bigOf(&n), big.NewInt(-5))
		opposite := feOf(k.Mod(k, ref.q))
		var sum jacobian
		if c.sum(&sum, &opposite, &n, lower(c, five)); !sum.z.isZero() {
			t.Errorf("%s: a sum that is zero is not", name)
		}
	}
}
