package gost

// keyWindow is the width of the windows in which the scalar of a public key is recoded, when it has no tables yet.
const keyWindow = 5

// multiply sets s = m·P + n·pt for m < q and n < 2^(64·limbs), with the tables of the base point P; without the former where m
// is nil. It branches on everything and is for public values.
func (c *curve) multiply(s *sum, m, n *fe, pt *entry) {
	var odd oddMultiples
	c.oddMultiples(&odd, pt)
	var base *comb
	var d columns
	spacing := 0
	if m != nil {
		base = c.prepared()
		d = base.cut(m)
		spacing = base.spacing
	}
	var digits [8*64 + 1]int8
	length := 64*c.p.limbs + 1
	recode(digits[:length], n, keyWindow)
	for length > spacing && digits[length-1] == 0 {
		length--
	}
	s.begin(c)
	last := length - 1 // doublings are done down to here
	for i := length - 1; i >= 0; i-- {
		if digits[i] == 0 && i >= spacing && i > 0 {
			continue
		}
		s.doubleTimes(last - i)
		last = i
		if d := digits[i]; d != 0 {
			index := max(d, -d) / 2
			e := odd.entries[index]
			if d < 0 {
				c.opposite(&e)
			}
			s.addScaled(&e, &odd.scales[index])
		}
		if i < spacing {
			base.addColumns(s, &d, i)
		}
	}
}

// oddMultiples are pt, 3pt, 5pt, …. On the Edwards form coordinates are to be divided by the scale, which saves an inversion
// and costs a product at each use; there is no such thing in Jacobian coordinates.
type oddMultiples struct {
	entries [1 << (keyWindow - 2)]entry
	scales  [1 << (keyWindow - 2)]fe
}

// oddMultiples makes 2k and 2k + 1 times pt of k times pt.
func (c *curve) oddMultiples(odd *oddMultiples, pt *entry) {
	var points [len(odd.entries)]point
	var even [len(odd.entries)]point // 0, 2pt, 4pt, …
	c.lift(&points[0], pt)
	for i := 1; i < len(points); i++ {
		if i%2 == 1 {
			c.double(&even[i], &points[i/2])
		} else {
			c.double(&even[i], &even[i/2])
		}
		c.add(&points[i], &even[i], pt)
	}
	if c.edwards == nil {
		c.normalize(odd.entries[:], points[:])
		return
	}
	for i := range points {
		e, u := &odd.entries[i], &points[i]
		e.x, e.y, odd.scales[i] = u.x, u.y, u.z
		c.p.mul(&e.t, &u.e, &u.h)
		c.p.mul(&e.t, &e.t, &c.edwards.d)
	}
}

// recode writes k as a sum of digits[i]·2^i with odd digits below 2^(width−1) in magnitude, at most one among width
// neighbours; len(digits) is one more than the bits of k.
func recode(digits []int8, k *fe, width int) {
	carry := uint64(0)
	for i := 0; i < len(digits); {
		window := carry
		if word := i / 64; word < len(k) {
			bits := k[word] >> (i % 64)
			if i%64 > 64-width && word+1 < len(k) {
				bits |= k[word+1] << (64 - i%64)
			}
			window += bits & (1<<width - 1)
		}
		if window&1 == 0 { // also with a carry over a window of ones: the carry stays
			i++
			continue
		}
		if window < 1<<(width-1) {
			digits[i], carry = int8(window), 0
		} else {
			digits[i], carry = int8(int(window)-1<<width), 1
		}
		i += width
	}
}
