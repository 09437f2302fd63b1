package gost

import "math/bits"

// shape says how a comb cuts a scalar of teeth·columns bits. A column is one bit of each tooth, and gives one addition.
// With interleaved teeth, column c takes the bits c, c + columns, c + 2·columns, …; without, it takes the bits
// teeth·c, teeth·c + 1, ….
type shape struct {
	teeth, columns int
	interleaved    bool
	// Only every so-manieth column has a table; the columns between use the same and are reached by doublings.
	spacing int
}

// comb multiplies one point by scalars, with tables (Lim and Lee, "More flexible exponentiation with precomputation",
// 1994). A bit counts as +1 or −1 rather than 1 or 0 (Hamburg, "Fast and compact elliptic-curve cryptography", 2012,
// section 3.3): no column is zero, and half of its values suffice, the others being their negatives.
type comb struct {
	shape
	curve  *curve
	words  int // of an entry
	offset fe  // 2^(teeth·columns) − 1 mod q
	// tables of 2^(teeth−1) entries: number j has the sum of the teeth of the table's column, the last one with a plus,
	// tooth t with the sign of bit t of j. An entry has two or three coordinates of as many limbs as the curve uses.
	table []uint64
}

// preparedShape is the comb with which signatures are verified: for the fewest additions and doublings that fit 64 KiB.
func (c *curve) preparedShape() shape {
	switch {
	case c.p.limbs == 4 && c.edwards == nil:
		return shape{8, 32, true, 4}
	case c.p.limbs == 4:
		return shape{8, 32, true, 7}
	case c.edwards == nil:
		return shape{8, 64, true, 16}
	default:
		return shape{7, 74, true, 15}
	}
}

// baseShape is the comb of the base point that goes with it: as many doublings, and fewer additions with tables of up to
// 384 KiB, which exist once.
func (c *curve) baseShape() shape {
	s := shape{10, 26, true, c.preparedShape().spacing}
	if c.p.limbs == 8 {
		s.columns = 52
	}
	return s
}

// windowShape is the comb that signs: short tables, because each is read whole, and no doublings.
func (c *curve) windowShape() shape {
	if c.p.limbs == 4 {
		return shape{5, 52, false, 1}
	}
	return shape{4, 128, false, 1}
}

// bit is the place of a tooth in a column.
func (s *shape) bit(tooth, column int) int {
	if s.interleaved {
		return column + tooth*s.columns
	}
	return tooth + column*s.teeth
}

// size is the number of entries of one table.
func (s *shape) size() int { return 1 << (s.teeth - 1) }

// tables is their number.
func (s *shape) tables() int { return (s.columns + s.spacing - 1) / s.spacing }

// newComb builds the tables of a point of order q.
func (c *curve) newComb(pt *entry, s shape) *comb {
	length := s.teeth * s.columns
	t := &comb{shape: s, curve: c, words: 2 * c.p.limbs}
	if c.edwards != nil {
		t.words = 3 * c.p.limbs
	}
	// 2^length − 1 mod q
	var one fe
	one[0] = 1
	t.offset = one
	for range length {
		c.q.add(&t.offset, &t.offset, &t.offset)
	}
	c.q.sub(&t.offset, &t.offset, &one)

	chain := make([]point, length+1)
	c.lift(&chain[0], pt)
	for i := 1; i < len(chain); i++ {
		c.double(&chain[i], &chain[i-1])
	}
	powers := make([]entry, len(chain)) // 2^i·pt
	c.normalize(powers, chain)

	t.table = make([]uint64, 0, t.tables()*t.size()*t.words)
	points, entries := make([]point, t.size()), make([]entry, t.size())
	for column := 0; column < s.columns; column += s.spacing {
		var first sum
		first.begin(c)
		first.add(&powers[s.bit(s.teeth-1, column)])
		for tooth := range s.teeth - 1 {
			e := powers[s.bit(tooth, column)]
			c.opposite(&e)
			first.add(&e)
		}
		points[0] = *first.point()
		// A bit set instead of clear adds its power of two twice. No sum is zero: as integers these are odd and below q.
		for tooth := range s.teeth - 1 {
			for j := range 1 << tooth {
				c.add(&points[j|1<<tooth], &points[j], &powers[s.bit(tooth, column)+1])
			}
		}
		c.normalize(entries, points)
		for i := range entries {
			t.store(&entries[i])
		}
	}
	return t
}

// store appends an entry to the table.
func (t *comb) store(e *entry) {
	n := t.curve.p.limbs
	t.table = append(append(t.table, e.x[:n]...), e.y[:n]...)
	if t.words == 3*n {
		t.table = append(t.table, e.t[:n]...)
	}
}

// load reads an entry.
func (t *comb) load(e *entry, words []uint64) {
	if t.curve.p.limbs == 4 {
		copy(e.x[:4], words[0:4])
		copy(e.y[:4], words[4:8])
		if len(words) == 12 {
			copy(e.t[:4], words[8:12])
		}
		return
	}
	copy(e.x[:], words[0:8])
	copy(e.y[:], words[8:16])
	if len(words) == 24 {
		copy(e.t[:], words[16:24])
	}
}

// columns are the bits of a scalar by columns, those of the first tooth lowest.
type columns [128]uint16

// cut recodes k, reduced: bits b with Σ (2·bᵢ − 1)·2^i = 2b − (2^length − 1) ≡ k mod q, where i are their places. Its time
// does not depend on k.
func (t *comb) cut(k *fe) (d columns) {
	var b [16]uint64 // above q are zeros
	c := t.curve.q
	var bits fe
	c.add(&bits, k, &t.offset)
	c.half(&bits, &bits)
	copy(b[:], bits[:])
	if !t.interleaved {
		for column := range d[:t.columns] {
			d[column] = uint16(bitsAt(&b, column*t.teeth) & (1<<t.teeth - 1))
		}
		return d
	}
	for first := 0; first < t.teeth; first += 8 {
		var teeth [8]uint64
		for column := 0; column < t.columns; column += 8 {
			if column%64 == 0 {
				for i := range min(8, t.teeth-first) {
					teeth[i] = bitsAt(&b, t.bit(first+i, column))
				}
			}
			var x uint64 // a tooth in each octet
			for i := range teeth {
				x |= teeth[i] & 0xff << (8 * i)
				teeth[i] >>= 8
			}
			x = transpose8(x)
			for i := range min(8, t.columns-column) {
				d[column+i] |= uint16(x>>(8*i)&0xff) << first
			}
		}
	}
	return d
}

// bitsAt returns 64 bits, the lowest at place.
func bitsAt(b *[16]uint64, place int) uint64 {
	i, shift := uint(place)/64, uint(place)%64
	return b[i%16]>>shift | b[(i+1)%16]<<1<<(63-shift)
}

// transpose8 changes bit j of octet i with bit i of octet j (Warren, "Hacker's Delight", section 7-3).
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// place finds the entry for the column i of d: where its words begin in the table, and all ones where its opposite is
// meant, else zero.
func (t *comb) place(d *columns, i int) (place int, negative uint64) {
	index := uint64(d[i])
	negative = index>>(t.teeth-1) - 1
	index = (index ^ negative) & uint64(t.size()-1)
	return (i/t.spacing*t.size() + int(index)) * t.words, negative
}

// addColumns adds to s the columns that are i columns right of one with a table, 0 ≤ i < spacing. It branches on
// everything and is for public values.
func (t *comb) addColumns(s *sum, d *columns, i int) {
	var e entry
	for ; i < t.columns; i += t.spacing {
		place, negative := t.place(d, i)
		t.load(&e, t.table[place:][:t.words])
		if negative != 0 {
			t.curve.opposite(&e)
		}
		s.add(&e)
	}
}

// multiply sets r = k·P for the table's point, 0 ≤ k < q, by a comb of whole windows. Neither the operations nor the
// memory touched depend on k.
//
// In Jacobian coordinates the formula for unequal points serves but once. Before window i the sum is an odd multiple of P
// below 2^(teeth·i), the window is another, of at least 2^(teeth·i), and both together are below q, so neither is zero and
// they are not opposite nor equal, modulo q either. This fails for the last window only: there the double is computed as
// well. Opposite points, that is k = 0, give the zero that they must.
func (t *comb) multiply(r *point, k *fe) {
	c := t.curve
	d := t.cut(k)
	var e entry
	t.choose(&e, &d, 0)
	c.lift(r, &e)
	for i := 1; i < t.columns-1; i++ {
		t.choose(&e, &d, i)
		c.addUnequal(r, r, &e)
	}
	t.choose(&e, &d, t.columns-1)
	if c.edwards != nil {
		c.addUnequal(r, r, &e)
		return
	}
	var sum, twice point
	c.addUnequal(&sum, r, &e)
	c.double(&twice, r)
	equal := c.p.maskIfZero(&sum.z) & c.sameOrdinate(r, &e)
	sum.x.choose(&twice.x, equal)
	sum.y.choose(&twice.y, equal)
	sum.z.choose(&twice.z, equal)
	sum.e.choose(&twice.e, equal)
	*r = sum
}

// choose sets e to the entry for a column, reading the whole table.
func (t *comb) choose(e *entry, d *columns, column int) {
	index := uint64(d[column])
	negative := index>>(t.teeth-1) - 1 // all ones or zero
	index = (index ^ negative) & uint64(t.size()-1)
	table := t.table[column*t.size()*t.words:][:t.size()*t.words]
	var words [24]uint64
	t.chooseWords(&words, table, index)
	t.load(e, words[:t.words])
	t.curve.negate(e, negative)
}

// chooseWordsGeneric takes each entry under a mask, all ones for the one with the index. There are 16 at most.
func (t *comb) chooseWordsGeneric(words *[24]uint64, table []uint64, index uint64) {
	var masks [16]uint64
	for j := range masks {
		_, wanted := bits.Sub64(index^uint64(j), 1, 0)
		masks[j] = -wanted
	}
	for w := range t.words {
		var v uint64
		for j, place := 0, w; place < len(table); j, place = j+1, place+t.words {
			v |= table[place] & masks[j&15]
		}
		words[w] = v
	}
}
