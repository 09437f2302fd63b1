//go:build !purego

package gost

import "golang.org/x/sys/cpu"

// ifma says that this processor has the instructions of the functions for eight points. Tests turn it off to run both
// paths.
var ifma = cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA && cpu.X86.HasAVX512VBMI2

// lanes is the number of points computed at a time.
const lanes = 8

// limbs52 are numbers modulo 2²⁵⁶ − 617 in limbs of 52 bits, least significant first, one number a lane.
type limbs52 [5][lanes]uint64

// point8 are points (x/zz, y/2zzz) with zz³ = zzz², zero when zz = 0.
type point8 struct{ x, y, zz, zzz limbs52 }

// column8 are the summands of one addition: the coordinates x and 2y of an entry for each lane, and a bit for each lane
// where its opposite is meant.
type column8 struct {
	entries  [lanes]*[8]uint64
	negative uint64
}

// addColumnsIFMA adds the n columns, n ≥ 1. Where the sum so far is zero or has the coordinate x of the summand, it
// becomes zero, right or not, and remains so.
//
//go:noescape
func addColumnsIFMA(s *point8, columns *column8, n int)

// doubleIFMA doubles.
//
//go:noescape
func doubleIFMA(s *point8)

// batch are the signatures to be computed together, n so far.
type batch struct {
	n      int
	places [lanes]int // in the slices of the caller
	keys   [lanes]*PreparedKey
	work   [lanes]verification
	s, e   [lanes]fe
}

// verifyBatchAssembly is VerifyBatch by assembly and reports true, or does nothing and reports false.
func verifyBatchAssembly(keys []*PreparedKey, digests, signatures [][]byte, errs []error) bool {
	if !ifma || len(keys) < 2 {
		return false
	}
	var b batch
	for i, k := range keys {
		if k.public.Params.curve != curveA {
			errs[i] = k.Verify(digests[i], signatures[i])
			continue
		}
		if errs[i] = b.work[b.n].read(&b.s[b.n], &b.e[b.n], k.public, digests[i], signatures[i]); errs[i] != nil {
			continue
		}
		b.places[b.n], b.keys[b.n] = i, k
		if b.n++; b.n == lanes {
			b.verify(digests, signatures, errs)
		}
	}
	b.verify(digests, signatures, errs)
	return true
}

// verify judges the signatures collected and empties the batch.
func (b *batch) verify(digests, signatures [][]byte, errs []error) {
	var s point8
	if b.n > 1 {
		b.divide()
		b.multiply(&s)
	} // else all points are zero
	for lane, i := range b.places[:b.n] {
		x, zz := s.x.lane(lane), s.zz.lane(lane)
		if curveA.p.isZero(&zz) {
			errs[i] = b.keys[lane].Verify(digests[i], signatures[i])
		} else {
			errs[i] = b.work[lane].finish(&point{x: x, z: zz, e: zz})
		}
	}
	b.n = 0
}

// divide divides by all e with one inversion (Montgomery's trick).
func (b *batch) divide() {
	q := curveA.q
	var before [lanes]fe // products of the e before
	product := q.one
	for i := range b.n {
		before[i] = product
		q.mul(&product, &product, &b.e[i])
	}
	q.inverse(&product, &product)
	for i := b.n - 1; i >= 0; i-- {
		q.mul(&before[i], &before[i], &product)
		q.mul(&product, &product, &b.e[i])
		b.work[i].divide(&b.s[i], &before[i])
	}
}

// multiply computes the points like PreparedKey.Verify, without its special cases: a point that needed one is zero.
func (b *batch) multiply(s *point8) {
	base := curveA.prepared()
	var tables [lanes]*comb
	var own, key [lanes]columns
	for i := range lanes { // the lanes beyond repeat the last one
		if i < b.n {
			tables[i] = b.keys[i].tables
			own[i], key[i] = base.cut(&b.work[i].z1), tables[i].cut(&b.work[i].z2)
		} else {
			tables[i], own[i], key[i] = tables[i-1], own[i-1], key[i-1]
		}
	}
	for i := base.spacing - 1; i >= 0; i-- {
		var list [16]column8 // 7 and 8 at most
		n := 0
		for column := i; column < base.columns; column += base.spacing {
			for lane := range lanes {
				list[n].set(lane, base, &own[lane], column)
			}
			n++
		}
		for column := i; column < tables[0].columns; column += base.spacing {
			for lane := range lanes {
				list[n].set(lane, tables[lane], &key[lane], column)
			}
			n++
		}
		if i == base.spacing-1 {
			s.lift(&list[0])
			addColumnsIFMA(s, &list[1], n-1)
		} else {
			doubleIFMA(s)
			addColumnsIFMA(s, &list[0], n)
		}
	}
}

// set makes the summand of a lane the column i of d.
func (c *column8) set(lane int, t *comb, d *columns, i int) {
	place, negative := t.place(d, i)
	c.entries[lane] = (*[8]uint64)(t.table[place:])
	c.negative |= negative & 1 << lane
}

// lift sets s to the summands.
func (s *point8) lift(c *column8) {
	for lane, words := range c.entries {
		var e entry
		copy(e.x[:], words[:4])
		copy(e.y[:], words[4:])
		curveA.negate(&e, -(c.negative >> lane & 1))
		s.x.setLane(lane, &e.x)
		s.y.setLane(lane, &e.y)
		s.zz.setLane(lane, &curveA.p.one)
		s.zzz.setLane(lane, &curveA.p.one)
	}
}

// setLane sets the number of a lane.
func (z *limbs52) setLane(lane int, x *fe) {
	const mask = 1<<52 - 1
	z[0][lane] = x[0] & mask
	z[1][lane] = (x[0]>>52 | x[1]<<12) & mask
	z[2][lane] = (x[1]>>40 | x[2]<<24) & mask
	z[3][lane] = (x[2]>>28 | x[3]<<36) & mask
	z[4][lane] = x[3] >> 16
}

// lane is the number of a lane, where all limbs but the highest are below 2^52.
func (z *limbs52) lane(lane int) fe {
	x := fe{
		z[0][lane] | z[1][lane]<<52,
		z[1][lane]>>12 | z[2][lane]<<40,
		z[2][lane]>>24 | z[3][lane]<<28,
		z[3][lane]>>36 | z[4][lane]<<16,
	}
	add617(&x, &x, &fe{z[4][lane] >> 48 * c617}) // what runs over 2^256
	return x
}
