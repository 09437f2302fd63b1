//go:build !purego

package gost

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// value is a number modulo p.
func (z *limbs52) value(lane int) *big.Int {
	v := new(big.Int)
	for i := 4; i >= 0; i-- {
		v.Lsh(v, 52).Add(v, new(big.Int).SetUint64(z[i][lane]))
	}
	return v.Mod(v, bigOf(&curveA.p.v))
}

// edgeLimbs are numbers as loose as the assembly may meet them: random limbs, the least and the most.
func edgeLimbs(r *rand.Rand) (z limbs52) {
	for i := range z {
		most := uint64(1<<52 - 1)
		if i == 4 {
			most = 1<<49 - 1
		}
		for lane := range z[i] {
			z[i][lane] = []uint64{0, 1, most - 1, most, r.Uint64() & most, r.Uint64() & most}[r.IntN(6)]
		}
	}
	return z
}

// formulas are the coordinates of a point and the same formulas in math/big.
type formulas struct{ x, y, zz, zzz *big.Int }

func formulasOf(s *point8, lane int) formulas {
	return formulas{s.x.value(lane), s.y.value(lane), s.zz.value(lane), s.zzz.value(lane)}
}

// term is k times a product.
func term(k int64, factors ...*big.Int) *big.Int {
	z := big.NewInt(k)
	for _, f := range factors {
		z.Mul(z, f)
	}
	return z.Mod(z, bigOf(&curveA.p.v))
}

func total(terms ...*big.Int) *big.Int {
	z := new(big.Int)
	for _, t := range terms {
		z.Add(z, t)
	}
	return z.Mod(z, bigOf(&curveA.p.v))
}

func (f formulas) add(x2, y2 *big.Int) formulas {
	h := total(term(1, x2, f.zz), term(-1, f.x))
	i := total(term(1, y2, f.zzz), term(-1, f.y))
	w := term(4, h, h)
	j := term(1, w, h)
	q := term(1, f.x, w)
	x := total(term(1, i, i), term(-1, j), term(-2, q))
	y := total(term(2, i, total(q, term(-1, x))), term(-2, j, f.y))
	return formulas{x, y, term(1, f.zz, w), term(2, f.zzz, j)}
}

func (f formulas) double() formulas {
	v := term(1, f.y, f.y)
	w := term(1, v, f.y)
	s := term(1, f.x, v)
	m := total(term(3, f.x, f.x), term(-3, f.zz, f.zz))
	x := total(term(1, m, m), term(-2, s))
	y := total(term(2, m, s), term(-2, m, x), term(-1, w, f.y))
	return formulas{x, y, term(1, v, f.zz), term(1, w, f.zzz)}
}

func (f formulas) equal(g formulas) bool {
	return f.x.Cmp(g.x) == 0 && f.y.Cmp(g.y) == 0 && f.zz.Cmp(g.zz) == 0 && f.zzz.Cmp(g.zzz) == 0
}

// isTight: the limbs may be factors again.
func (s *point8) isTight() bool {
	for _, z := range []*limbs52{&s.x, &s.y, &s.zz, &s.zzz} {
		for i := range z {
			for _, v := range z[i] {
				if v >= 1<<52 || i == 4 && v >= 1<<49 {
					return false
				}
			}
		}
	}
	return true
}

// TestPoint8 compares the assembly for eight points with the same formulas in math/big, on numbers that are points or not.
func TestPoint8(t *testing.T) {
	if !ifma {
		t.Skip("no AVX-512 IFMA")
	}
	r := source()
	special := append(edges(curveA.p), unreduced(curveA.p)...)
	for range 400 {
		s := point8{edgeLimbs(r), edgeLimbs(r), edgeLimbs(r), edgeLimbs(r)}
		twice := s
		doubleIFMA(&twice)
		var list [3]column8
		var want [lanes]formulas
		for lane := range lanes {
			want[lane] = formulasOf(&s, lane)
			if f := want[lane].double(); !twice.isTight() || !f.equal(formulasOf(&twice, lane)) {
				t.Fatalf("lane %d: twice %x is %x", lane, s, twice)
			}
		}
		for i := range list {
			list[i].negative = r.Uint64N(256)
			for lane := range lanes {
				pick := func() fe {
					if r.IntN(2) == 0 {
						return special[r.IntN(len(special))]
					}
					return randomElement(r, curveA.p)
				}
				x, y := pick(), pick()
				entry := new([8]uint64)
				copy(entry[:], x[:4])
				copy(entry[4:], y[:4])
				list[i].entries[lane] = entry
				sign := 1 - 2*int64(list[i].negative>>lane&1)
				want[lane] = want[lane].add(bigOf(&x), term(sign, bigOf(&y)))
			}
		}
		sum := s
		addColumnsIFMA(&sum, &list[0], len(list))
		for lane := range lanes {
			if !sum.isTight() || !want[lane].equal(formulasOf(&sum, lane)) {
				t.Fatalf("lane %d: %x and columns %v make %x", lane, s, list, sum)
			}
		}
	}
}

// TestLimbs52 takes numbers into lanes and back.
func TestLimbs52(t *testing.T) {
	r := source()
	for range 100 {
		z := edgeLimbs(r)
		for lane := range lanes {
			x := z.lane(lane)
			var again limbs52
			again.setLane(lane, &x)
			if again.value(lane).Cmp(z.value(lane)) != 0 || new(big.Int).Mod(bigOf(&x), bigOf(&curveA.p.v)).Cmp(z.value(lane)) != 0 {
				t.Fatalf("%x in lane %d is %x", z, lane, x)
			}
		}
	}
}

// TestVerifyBatchOneByOne takes the path of processors without AVX-512 IFMA.
func TestVerifyBatchOneByOne(t *testing.T) {
	defer func(saved bool) { ifma = saved }(ifma)
	ifma = false
	testVerifyBatch(t)
}

// TestBatchPoints: the points come out of the assembly, not of the way back to Verify.
func TestBatchPoints(t *testing.T) {
	if !ifma {
		t.Skip("no AVX-512 IFMA")
	}
	keys, digests, signatures := batchOf8(t)
	var items []item
	for i := range keys {
		items = append(items, item{keys[i], digests[i], signatures[i]})
	}
	b, s := multiplied(t, items)
	for i := range lanes {
		zz := s.zz.lane(i)
		if err := b.work[i].finish(&point{x: s.x.lane(i), z: zz, e: zz}); err != nil {
			t.Errorf("lane %d: %v", i, err)
		}
	}
}

// multiplied are eight signatures and the points that the assembly makes of them.
func multiplied(t *testing.T, items []item) (b batch, s point8) {
	for i, v := range items {
		if err := b.work[i].read(&b.s[i], &b.e[i], v.key.public, v.digest, v.signature); err != nil {
			t.Fatal(err)
		}
		b.keys[i] = v.key
	}
	b.n = len(items)
	b.divide()
	b.multiply(&s)
	return b, s
}

// TestBatchExceptions: a signature that verifies, or not, though the sum meets its own summand or the opposite one on the
// way. A forger can have that: for scalars z1 and z2 as they come, the key is chosen so that the summands of z1 in the
// first round are together the first of z2, and then r, e and s to match.
func TestBatchExceptions(t *testing.T) {
	if !ifma {
		t.Skip("no AVX-512 IFMA")
	}
	keys, digests, signatures := batchOf8(t)
	ref, q, r := referenceOf(curveA), bigOf(&curveA.q.v), source()
	base, other := curveA.prepared(), keys[0].tables // all keys are cut alike
	// multiple is what a column stands for in the first round
	multiple := func(s *shape, d *columns, column int) *big.Int {
		sum := new(big.Int)
		for tooth := range s.teeth {
			power := new(big.Int).Lsh(big.NewInt(1), uint(s.bit(tooth, column)-(s.spacing-1)))
			if d[column]>>tooth&1 == 0 {
				power.Neg(power)
			}
			sum.Add(sum, power)
		}
		return sum
	}
	for lane := range lanes {
		for _, sign := range []int64{1, -1} {
			z1, z2 := randomElement(r, curveA.q), randomElement(r, curveA.q)
			own := base.cut(&z1)
			first := other.cut(&z2)
			d := new(big.Int)
			for column := base.spacing - 1; column < base.columns; column += base.spacing {
				d.Add(d, multiple(&base.shape, &own, column))
			}
			d.Mul(d, big.NewInt(sign))
			d.Mul(d, new(big.Int).ModInverse(multiple(&other.shape, &first, other.spacing-1), q)).Mod(d, q)
			limbs := feOf(d)
			private, err := newPrivateKey(GOST2012_256, ParamSetByName("CryptoPro-A"), &limbs, nil)
			if err != nil {
				t.Fatal(err)
			}
			sum := new(big.Int).Mul(d, bigOf(&z2))
			sum.Add(sum, bigOf(&z1)).Mod(sum, q)
			x := new(big.Int).Mod(ref.mul(sum, ref.base).x, q)
			e := new(big.Int).ModInverse(bigOf(&z2), q)
			e.Mul(e, x).Neg(e).Mod(e, q)
			s := new(big.Int).Mul(e, bigOf(&z1))
			s.Mod(s, q)
			digest := e.FillBytes(make([]byte, 32))
			slices.Reverse(digest)
			good := append(s.FillBytes(make([]byte, 32)), x.FillBytes(make([]byte, 32))...)
			batch := make([]item, lanes)
			for i := range batch {
				batch[i] = item{keys[i], digests[i], signatures[i]}
			}
			batch[lane] = item{Prepare(private.public), digest, good}
			if err := private.public.Verify(digest, good); err != nil {
				t.Fatal(err)
			}
			checkBatch(t, batch)
			if _, sum := multiplied(t, batch); sum.zz.value(lane).Sign() != 0 {
				t.Errorf("lane %d: nothing exceptional", lane)
			}
		}
	}
}
