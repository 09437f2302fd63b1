//go:build !purego

package gost

import (
	"math/big"
	"math/rand/v2"
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

// TestBatchExceptions: points that meet in a sum end as zero, and the batch still tells like Verify. With the keys P and
// −P and digests and signatures as a forger may choose them, z1·P + z2·Q takes small and related scalars.
func TestBatchExceptions(t *testing.T) {
	if !ifma {
		t.Skip("no AVX-512 IFMA")
	}
	base := curveA.baseEntry()
	var words [8]uint64
	copy(words[:], base.x[:4])
	copy(words[4:], base.y[:4])
	for _, second := range []uint64{0, 0xff, 0xaa} { // equal, opposite, both
		var list [3]column8
		for i := range list {
			for lane := range lanes {
				list[i].entries[lane] = &words
			}
		}
		list[1].negative = second
		var s point8
		s.lift(&list[0])
		addColumnsIFMA(&s, &list[1], 2)
		doubleIFMA(&s)
		for lane := range lanes {
			if s.zz.value(lane).Sign() != 0 {
				t.Errorf("lane %d: the exception is lost", lane)
			}
		}
	}
}
