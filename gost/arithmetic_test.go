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

// paths runs a test on every path of the arithmetic that this machine has.
func paths(t *testing.T, test func(t *testing.T)) {
	t.Run("generic", func(t *testing.T) {
		defer func(saved bool) { adx = saved }(adx)
		adx = false
		test(t)
	})
	if adx {
		t.Run("ADX", test)
	}
}

// unreduced are integers of the limbs that are not below the prime, where such are elements.
func unreduced(m *modulus) (list []fe) {
	if m.form < special617 {
		return nil
	}
	var most fe
	for i := range m.limbs {
		most[i] = ones
	}
	next, middle := m.v, most
	next[0]++
	middle[0] -= -m.v[0] / 2
	return []fe{m.v, next, middle, most}
}

// TestField compares every operation with math/big, with and without aliasing, on edges and at random.
func TestField(t *testing.T) { paths(t, testField) }

func testField(t *testing.T) {
	r := source()
	for name, c := range curves() {
		for _, m := range []*modulus{c.p, c.q} {
			v := bigOf(&m.v)
			factor := big.NewInt(1) // of products
			if m.form < special617 {
				radix := new(big.Int).Lsh(factor, uint(64*m.limbs))
				factor.ModInverse(radix, v)
			}
			values := append(edges(m), unreduced(m)...)
			for range 20 {
				values = append(values, randomElement(r, m))
			}
			reduced := func(x fe) fe { m.reduce(&x, &x); return x }
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
						{"mul", m.mul, new(big.Int).Mul(new(big.Int).Mul(a, b), factor)},
					} {
						want := feOf(op.want.Mod(op.want, v))
						var z fe
						op.f(&z, &x, &y)
						left, right := x, y
						op.f(&left, &left, &y)
						op.f(&right, &x, &right)
						if reduced(z) != want || left != z || right != z {
							t.Fatalf("%s: %s of %x and %x is %x, %x, %x, want %x", name, op.name, a, b, z, left, right, want)
						}
					}
					same := new(big.Int).Mod(new(big.Int).Sub(a, b), v).Sign() == 0
					if (&x).less(&y) != (a.Cmp(b) < 0) || m.equal(&x, &y) != same {
						t.Fatalf("%s: comparison of %x and %x", name, a, b)
					}
				}
				a := bigOf(&x)
				square, product := x, fe{}
				m.mul(&product, &x, &x)
				if m.sqr(&square, &square); reduced(square) != reduced(product) {
					t.Fatalf("%s: square of %x is %x", name, a, square)
				}
				var z, one fe
				m.encode(&z, &x)
				m.inverse(&one, &z)
				if !m.isZero(&x) {
					m.mul(&one, &one, &z)
					if reduced(one) != m.one {
						t.Fatalf("%s: inverse of %x", name, a)
					}
				} else if !m.isZero(&one) {
					t.Fatalf("%s: inverse of zero is %x", name, one)
				}
				m.decode(&z, &z)
				if z != reduced(x) {
					t.Fatalf("%s: %x does not survive its form", name, a)
				}
				m.neg(&z, &x)
				m.add(&z, &z, &x)
				zero := new(big.Int).Mod(a, v).Sign() == 0
				if !m.isZero(&z) || m.isZero(&x) != zero || (m.maskIfZero(&x) != 0) != zero {
					t.Fatalf("%s: negation of %x, or its mask", name, a)
				}
				x := reduced(x)
				m.half(&z, &x)
				if m.add(&z, &z, &z); reduced(z) != x {
					t.Fatalf("%s: half of %x", name, a)
				}
			}
			// encode reduces any integer of its limbs
			var all fe
			for i := range m.limbs {
				all[i] = ones
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

// TestInverse: many arguments, as the number of rounds is a bound from theory.
func TestInverse(t *testing.T) {
	r := source()
	for name, c := range curves() {
		for _, m := range []*modulus{c.p, c.q} {
			for i := range 300 {
				x := randomElement(r, m)
				for j := range x {
					if i%3 == 1 && j > i%5 || i%3 == 2 && j < i%5 { // few limbs, and many zeros at the end
						x[j] = 0
					}
				}
				var z fe
				m.reduce(&x, &x)
				m.gcd.inverse(&z, &x)
				want := new(big.Int).ModInverse(bigOf(&x), bigOf(&m.v))
				if want == nil {
					want = new(big.Int)
				}
				if z != feOf(want) {
					t.Fatalf("%s: inverse of %x is %x", name, bigOf(&x), bigOf(&z))
				}
			}
		}
	}
}

// TestDivide62 compares the steps, made in two halves with packed factors, with those made one by one.
func TestDivide62(t *testing.T) {
	r := source()
	for i := range 20000 {
		f, g, zeta := r.Uint64()|1, r.Uint64(), int64(r.IntN(41)-20)
		switch k := uint(r.IntN(64)); i % 4 { // chances of many steps of one kind
		case 1:
			g &= 1<<k - 1
		case 2:
			g = f + uint64(i%5)<<k
		case 3:
			g = -f + uint64(i%3)<<k
		}
		gotZeta, got := divide62(zeta, f, g)
		want, delta, ff, gg := steps{u: 1, r: 1}, -2*zeta-1, f, g // δ doubled
		for range 62 {
			switch {
			case delta > 0 && gg&1 == 1:
				delta, ff, gg = 2-delta, gg, gg-ff
				want = steps{want.q, want.r, want.q - want.u, want.r - want.v}
			case gg&1 == 1:
				gg += ff
				want.q, want.r = want.q+want.u, want.r+want.v
				delta += 2
			default:
				delta += 2
			}
			gg = uint64(int64(gg) >> 1)
			want.u, want.v = 2*want.u, 2*want.v
		}
		if got != want || -2*gotZeta-1 != delta {
			t.Fatalf("steps of %x, %x at %d: %v, want %v", f, g, zeta, got, want)
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
			for _, width := range []int{keyWindow, 3, 8} {
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

// entryOfReference has no image for zero and, on the Edwards form, the point of order 2.
func entryOfReference(c *curve, u *refPoint) (*entry, bool) {
	if u == nil {
		return nil, false
	}
	pt := lower(c, u)
	if c.edwards == nil {
		e := c.toJacobian(pt)
		return &e, true
	}
	e, ok := c.toEdwards(pt)
	return &e, ok
}

// scaled is the point with the denominator z, zero with garbage in its coordinates; false where there is no such form.
func (c *curve) scaled(u *refPoint, z fe) (r point, ok bool) {
	if u == nil {
		if r = (point{x: z, y: z}); c.edwards != nil {
			r = point{y: z, z: z, h: z}
		}
		return r, true
	}
	e, ok := entryOfReference(c, u)
	if !ok {
		return r, false
	}
	r.z = z
	if c.edwards != nil {
		c.p.mul(&r.x, &e.x, &z)
		c.p.mul(&r.y, &e.y, &z)
		r.e, r.h = r.x, e.y
		return r, true
	}
	c.p.sqr(&r.x, &z)
	c.p.mul(&r.y, &r.x, &z)
	r.e = r.x
	c.p.mul(&r.x, &r.x, &e.x)
	c.p.mul(&r.y, &r.y, &e.y)
	return r, true
}

// isPoint compares a result with the reference.
func (c *curve) isPoint(u *point, want *refPoint) bool {
	if want == nil || c.isZero(u) {
		return want == nil && c.isZero(u)
	}
	e, ok := entryOfReference(c, want)
	var got [1]entry
	if !ok { // the point of order 2 is (0, −1)
		return c.p.isZero(&u.x) && !c.p.equal(&u.y, &u.z)
	}
	c.normalize(got[:], []point{*u})
	if c.edwards == nil {
		var square fe
		if c.p.sqr(&square, &u.z); !c.p.equal(&square, &u.e) {
			return false
		}
	} else { // e·h = x·y/z
		var t, w fe
		c.p.mul(&t, &u.e, &u.h)
		c.p.mul(&t, &t, &u.z)
		c.p.mul(&w, &u.x, &u.y)
		if !c.p.equal(&t, &w) || !c.p.equal(&got[0].t, &e.t) {
			return false
		}
	}
	return c.p.equal(&got[0].x, &e.x) && c.p.equal(&got[0].y, &e.y)
}

// TestGroup adds points in every relation to each other: equal, opposite, zero, of order 2 and 4, unrelated.
func TestGroup(t *testing.T) { paths(t, testGroup) }

func testGroup(t *testing.T) {
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
				e, ok := entryOfReference(c, v)
				a, exists := c.scaled(u, randomElement(r, c.p))
				if !ok || !exists {
					continue
				}
				want := ref.add(u, v)
				var sum point
				if c.add(&sum, &a, e); !c.isPoint(&sum, want) {
					t.Errorf("%s: sum of points %d and %d", name, i, j)
				}
				if i == j {
					b := a
					var twice point
					if c.double(&twice, &b); !c.isPoint(&twice, want) {
						t.Errorf("%s: double of point %d", name, i)
					}
					if c.double(&b, &b); b != twice {
						t.Errorf("%s: double of point %d over itself", name, i)
					}
				}
				if c.edwards == nil && (i == 0 || i == j || want == nil) {
					b := a
					if c.addUnequal(&b, &b, e); !c.p.isZero(&b.z) {
						t.Errorf("%s: exception of points %d and %d does not show", name, i, j)
					}
				}
				var unequal point
				c.addUnequal(&unequal, &a, e)
				if c.addUnequal(&a, &a, e); a != unequal {
					t.Errorf("%s: sum of points %d and %d over the first", name, i, j)
				}
			}
			if u == nil {
				continue
			}
			if !c.contains(lower(c, u)) {
				t.Errorf("%s: point %d is not on the curve", name, i)
			}
			if _, ok := c.entryOf(lower(c, u)); ok != (i < inSubgroup) {
				t.Errorf("%s: point %d in the subgroup: %v", name, i, ok)
			}
			if a, ok := c.scaled(u, randomElement(r, c.p)); ok && i < inSubgroup {
				if x, y := c.coordinates(&a); x != feOf(u.x) || y != feOf(u.y) {
					t.Errorf("%s: coordinates of point %d are %x, %x", name, i, x, y)
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

// TestMultiply compares all multiplications with the reference on edges and at random.
func TestMultiply(t *testing.T) { paths(t, testMultiply) }

func testMultiply(t *testing.T) {
	r := source()
	for name, c := range curves() {
		ref := referenceOf(c)
		five := ref.mul(big.NewInt(5), ref.base)
		key, _ := entryOfReference(c, five)
		tables := c.newComb(key, c.preparedShape())
		windows := c.newComb(key, c.windowShape())
		for _, k := range append(edges(c.q), randomElement(r, c.q), randomElement(r, c.q)) {
			want := ref.mul(bigOf(&k), five)
			var pt point
			if windows.multiply(&pt, &k); !c.isPoint(&pt, want) {
				t.Errorf("%s: %x times a point by windows", name, bigOf(&k))
			}
			var s sum
			if c.multiply(&s, nil, &k, key); !c.isPoint(s.point(), want) {
				t.Errorf("%s: %x times a point", name, bigOf(&k))
			}
			d := tables.cut(&k)
			s.begin(c)
			for i := tables.spacing - 1; i >= 0; i-- {
				s.double()
				tables.addColumns(&s, &d, i)
			}
			if !c.isPoint(s.point(), want) {
				t.Errorf("%s: %x times a point by a comb", name, bigOf(&k))
			}
			want = ref.mul(bigOf(&k), ref.base)
			if c.windows().multiply(&pt, &k); !c.isPoint(&pt, want) {
				t.Errorf("%s: %x times the base point", name, bigOf(&k))
			}
			n := randomElement(r, c.q)
			want = ref.add(want, ref.mul(bigOf(&n), five))
			if c.multiply(&s, &k, &n, key); !c.isPoint(s.point(), want) {
				t.Errorf("%s: %x P + %x Q", name, bigOf(&k), bigOf(&n))
			}
		}
		// k·P + n·5P = 0
		n := randomElement(r, c.q)
		k := new(big.Int).Mul(bigOf(&n), big.NewInt(-5))
		opposite := feOf(k.Mod(k, ref.q))
		var s sum
		if c.multiply(&s, &opposite, &n, key); !c.isZero(s.point()) {
			t.Errorf("%s: a sum that is zero is not", name)
		}
		if octets := 8 * cap(tables.table); octets > 64<<10 {
			t.Errorf("%s: tables of a prepared key take %d octets", name, octets)
		}
	}
}
