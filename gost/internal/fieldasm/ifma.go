package main

import "fmt"

// Eight points at once modulo 2²⁵⁶ − 617, with VPMADD52LUQ and VPMADD52HUQ (AVX-512 IFMA).
//
// A number is five limbs of 52 bits, each a vector of eight lanes. The multiplications look at the low 52 bits of their
// factors alone, so all limbs must be below 2^52 and stay so with certainty: a result is folded at 2^256, not at 2^260,
// and the carries after it leave the top limb below 2^49.
//
// Z0 to Z9 are the columns of a product, Z10 to Z20 are for passing use, Z21 to Z25 keep columns, Z28 to Z31 constants.
const (
	fold52 = 16 * c617 // what 2^260 is worth
	slot   = 5 * 64    // octets of a number
	// in each lane:
	zK260 = "Z28" // 16·617
	zK256 = "Z29" // 617
	zMask = "Z30" // 2^52 − 1
	zTop  = "Z31" // 2^48 − 1
)

// lanes writes arithmetic on eight lanes.
type lanes struct{ *writer }

// number is the place of a number in the frame, in slots from BX, which is aligned to a cache line.
type number int

func (n number) limb(i int) string { return fmt.Sprintf("%d(BX)", int(n)*slot+64*i) }

// addend is a number added to a sum, or subtracted.
type addend struct {
	number
	minus bool
}

func column(i int) string { return fmt.Sprintf("Z%d", i) }
func left(i int) string   { return fmt.Sprintf("Z%d", 10+i) }

// points8 writes the functions of gost/batch_amd64.go.
func points8(w *writer) {
	l := lanes{w}
	w.raw("\n// 2^52 − 1, 2^48 − 1, what 2^256 and 2^260 are worth; 64p and 256p, of each the lowest limb and every other.\n")
	for i, v := range []uint64{1<<52 - 1, 1<<48 - 1, c617, fold52, 4 * (1<<52 - fold52), 4 * (1<<52 - 1),
		16 * (1<<52 - fold52), 16 * (1<<52 - 1)} {
		fmt.Fprintf(w, "DATA ifma<>+%d(SB)/8, $%#x\n", 8*i, v)
	}
	w.raw("GLOBL ifma<>(SB), RODATA|NOPTR, $64\n")
	l.addColumns()
	l.double()
}

// state is where the point stays meanwhile: x, 2y, z², z³.
const (
	pX number = iota
	pY
	pZZ
	pZZZ
	temporaries
)

// begin opens a function of a point and loads it.
func (l lanes) begin(name, signature string, arguments, slots int) {
	fmt.Fprintf(l, "\n// func %s%s\nTEXT ·%s(SB), 0, $%d-%d\n", name, signature, name, slots*slot+64, arguments)
	l.op("MOVQ s+0(FP), DI")
	l.op("LEAQ 63(SP), BX")
	l.op("ANDQ $-64, BX")
	for i, z := range []string{zMask, zTop, zK256, zK260} {
		l.op("VPBROADCASTQ ifma<>+%d(SB), %s", 8*i, z)
	}
	for n := pX; n < temporaries; n++ {
		for i := range 5 {
			l.op("VMOVDQU64 %d(DI), Z0", int(n)*slot+64*i)
			l.op("VMOVDQU64 Z0, %s", n.limb(i))
		}
	}
}

// end stores the point.
func (l lanes) end() {
	for n := pX; n < temporaries; n++ {
		for i := range 5 {
			l.op("VMOVDQU64 %s, Z0", n.limb(i))
			l.op("VMOVDQU64 Z0, %d(DI)", int(n)*slot+64*i)
		}
	}
	l.op("VZEROUPPER")
	l.op("RET")
}

// clear empties the columns.
func (l lanes) clear() {
	for i := range 10 {
		l.op("VPXORQ %s, %[1]s, %[1]s", column(i))
	}
}

// product adds x·y to the columns.
func (l lanes) product(x, y number) {
	for i := range 5 {
		l.op("VMOVDQU64 %s, %s", x.limb(i), left(i))
	}
	for j := range 5 {
		l.op("VMOVDQU64 %s, Z15", y.limb(j))
		for i := range 5 {
			l.op("VPMADD52LUQ Z15, %s, %s", left(i), column(i+j))
		}
		for i := range 5 {
			l.op("VPMADD52HUQ Z15, %s, %s", left(i), column(i+j+1))
		}
	}
}

// square adds x² to empty columns: the products of different limbs are doubled before the others come.
func (l lanes) square(x number) {
	for i := range 5 {
		l.op("VMOVDQU64 %s, %s", x.limb(i), left(i))
	}
	for i := range 5 {
		for j := i + 1; j < 5; j++ {
			l.op("VPMADD52LUQ %s, %s, %s", left(i), left(j), column(i+j))
			l.op("VPMADD52HUQ %s, %s, %s", left(i), left(j), column(i+j+1))
		}
	}
	for i := 1; i < 9; i++ {
		l.op("VPADDQ %s, %[1]s, %[1]s", column(i))
	}
	for i := range 5 {
		l.op("VPMADD52LUQ %s, %[1]s, %s", left(i), column(2*i))
		l.op("VPMADD52HUQ %s, %[1]s, %s", left(i), column(2*i+1))
	}
}

// fold adds the upper five columns, times 16·617, to the lower. Columns are below 2^57. The upper ones are carried; the
// multiplications ignore the bits above 52, and the ninth has none, as the product of two top limbs stands there.
func (l lanes) fold() {
	for i := 5; i < 9; i++ {
		l.op("VPMADD52LUQ %s, %s, %s", column(i), zK260, column(i-5))
		l.op("VPSRLQ $52, %s, Z16", column(i))
		l.op("VPMADD52HUQ %s, %s, %s", column(i), zK260, column(i-4))
		l.op("VPADDQ Z16, %s, %[1]s", column(i+1))
	}
	l.op("VPXORQ Z20, Z20, Z20")
	l.op("VPMADD52HUQ Z9, %s, Z20", zK260) // worth 2^260 again
	l.op("VPMADD52LUQ Z9, %s, Z4", zK260)
	l.op("VPMADD52LUQ Z20, %s, Z0", zK260)
}

// addTerms adds numbers to the lower columns; 64p keeps them positive, which suffices for three subtracted.
func (l lanes) addTerms(terms []addend) {
	biased := false
	for _, t := range terms {
		biased = biased || t.minus
	}
	for i := range 5 {
		if biased {
			l.op("VPADDQ.BCST ifma<>+%d(SB), %s, %[2]s", 32+8*min(i, 1), column(i))
		}
		for _, t := range terms {
			if t.minus {
				l.op("VPSUBQ %s, %s, %[2]s", t.limb(i), column(i))
			} else {
				l.op("VPADDQ %s, %s, %[2]s", t.limb(i), column(i))
			}
		}
	}
}

// store carries the lower columns, below 2^60, and stores them.
func (l lanes) store(z number) {
	l.op("VPSRLQ $48, Z4, Z16")
	l.op("VPANDQ %s, Z4, Z4", zTop)
	l.op("VPMADD52LUQ Z16, %s, Z0", zK256)
	for i := range 4 {
		l.op("VPSRLQ $52, %s, Z17", column(i))
		l.op("VPANDQ %s, %s, %[2]s", zMask, column(i))
		l.op("VMOVDQU64 %s, %s", column(i), z.limb(i))
		l.op("VPADDQ Z17, %s, %[1]s", column(i+1))
	}
	l.op("VMOVDQU64 Z4, %s", z.limb(4))
}

// shift multiplies the lower columns by a power of two.
func (l lanes) shift(bits int) {
	for i := range 5 {
		l.op("VPSLLQ $%d, %s, %[2]s", bits, column(i))
	}
}

// mul sets z = x·y + terms.
func (l lanes) mul(z, x, y number, terms ...addend) {
	l.clear()
	l.product(x, y)
	l.fold()
	l.addTerms(terms)
	l.store(z)
}

// mulTwice sets z = 2·x·y.
func (l lanes) mulTwice(z, x, y number) {
	l.clear()
	l.product(x, y)
	l.fold()
	l.shift(1)
	l.store(z)
}

// mulAdd sets z = x·y + u·v.
func (l lanes) mulAdd(z, x, y, u, v number) {
	l.clear()
	l.product(x, y)
	l.product(u, v)
	l.fold()
	l.store(z)
}

// sqr sets z = x² + terms.
func (l lanes) sqr(z, x number, terms ...addend) {
	l.clear()
	l.square(x)
	l.fold()
	l.addTerms(terms)
	l.store(z)
}

// sum sets z to the sum of terms.
func (l lanes) sum(z number, terms ...addend) {
	for i := range 5 {
		l.op("VPXORQ %s, %[1]s, %[1]s", column(i))
	}
	l.addTerms(terms)
	l.store(z)
}

func add8(n number) addend { return addend{n, false} }
func sub8(n number) addend { return addend{n, true} }

// addColumns is madd-2008-s of the Explicit-Formulas Database for coordinates (X, Y, ZZ, ZZZ), with the doubled y of
// tables: 8M + 2S. z² = 0 when the points are equal or opposite, and from then on.
func (l lanes) addColumns() {
	const (
		x2 = iota + temporaries
		y2
		h
		i
		w
		j
		q
		t
		slots
	)
	l.begin("addColumnsIFMA", "(s *point8, columns *column8, n int)", 24, int(slots))
	l.op("MOVQ columns+8(FP), SI")
	l.op("MOVQ n+16(FP), CX")
	l.op("MOVQ CX, DX")
	l.raw("fetch:\n")
	for i := range 8 {
		l.op("MOVQ %d(SI), AX", 8*i)
		l.op("PREFETCHT0 (AX)")
	}
	l.op("ADDQ $72, SI")
	l.op("DECQ DX")
	l.op("JNZ fetch")
	l.op("MOVQ columns+8(FP), SI")
	l.raw("next:\n")
	l.gather(x2, y2)
	l.mul(h, x2, pZZ, sub8(pX))
	l.clear()
	l.product(y2, pZZZ)
	l.fold()
	for k := range 5 { // negated where the entry counts as negative; columns may be as large as 2^56, hence 256p
		l.op("VPXORQ Z16, Z16, Z16")
		l.op("VPSUBQ %s, Z16, K1, %[1]s", column(k))
		l.op("VPSUBQ %s, %s, %[2]s", pY.limb(k), column(k))
		l.op("VPADDQ.BCST ifma<>+%d(SB), %s, %[2]s", 48+8*min(k, 1), column(k))
	}
	l.store(i) // i = 2(y2·z1³ − y1)
	l.clear()
	l.square(h)
	l.fold()
	l.shift(2)
	l.store(w) // 4h²
	l.clear()
	l.square(i)
	l.fold()
	for k := range 5 { // aside, for x
		l.op("VMOVDQA64 %s, Z%d", column(k), 21+k)
	}
	l.mul(j, w, h)
	l.mul(q, pX, w)
	for k := range 5 {
		l.op("VMOVDQA64 Z%d, %s", 21+k, column(k))
	}
	l.addTerms([]addend{sub8(j), sub8(q), sub8(q)})
	l.store(pX) // x = i² − j − 2q
	l.mul(pZZ, pZZ, w)
	l.mulTwice(pZZZ, pZZZ, j)
	l.sum(t, add8(q), add8(q), sub8(pX), sub8(pX))
	l.sum(h, sub8(pY), sub8(pY))
	l.mulAdd(pY, h, j, t, i) // 2y = 2i(q − x) − 2j·y1
	l.op("ADDQ $72, SI")
	l.op("DECQ CX")
	l.op("JNZ next")
	l.end()
}

// gather loads an entry in each lane and turns the eight words of eight lanes about. x and y serve as factors only, so
// that their limbs may carry more bits above the 52. K1 has the lanes whose entry is negative.
func (l lanes) gather(x, y number) {
	for i := range 8 {
		l.op("MOVQ %d(SI), AX", 8*i)
		l.op("VMOVDQU64 (AX), %s", column(i))
	}
	l.op("MOVQ 64(SI), AX")
	l.op("KMOVW AX, K1")
	for i := range 4 { // Z10 to Z13 the even words of two lanes, Z14 to Z17 the odd ones
		l.op("VPUNPCKLQDQ Z%d, Z%d, Z%d", 2*i+1, 2*i, 10+i)
		l.op("VPUNPCKHQDQ Z%d, Z%d, Z%d", 2*i+1, 2*i, 14+i)
	}
	for odd := range 2 {
		for half := range 2 { // words 0 and 2, or 4 and 6, of lanes 0 to 3 and 4 to 7
			imm := []int{0x44, 0xee}[half]
			l.op("VSHUFI64X2 $%#x, Z%d, Z%d, Z18", imm, 11+4*odd, 10+4*odd)
			l.op("VSHUFI64X2 $%#x, Z%d, Z%d, Z19", imm, 13+4*odd, 12+4*odd)
			l.op("VSHUFI64X2 $0x88, Z19, Z18, Z%d", 4*half+odd)
			l.op("VSHUFI64X2 $0xdd, Z19, Z18, Z%d", 4*half+odd+2)
		}
	}
	for k, n := range []number{x, y} {
		first := 4 * k
		l.op("VMOVDQU64 Z%d, %s", first, n.limb(0))
		for i := 1; i < 4; i++ {
			l.op("VPSHRDQ $%d, Z%d, Z%d, Z10", 64-12*i, first+i, first+i-1)
			l.op("VMOVDQU64 Z10, %s", n.limb(i))
		}
		l.op("VPSRLQ $16, Z%d, Z10", first+3)
		l.op("VMOVDQU64 Z10, %s", n.limb(4))
	}
}

// double is dbl-2008-s-1 of the Explicit-Formulas Database, a = −3, with the doubled y: 7M + 2S.
func (l lanes) double() {
	const (
		v = iota + temporaries
		w
		s
		m
		t
		u
		slots
	)
	l.begin("doubleIFMA", "(s *point8)", 8, int(slots))
	l.sqr(v, pY)
	l.sum(t, add8(pX), sub8(pZZ))
	l.sum(u, add8(pX), add8(pX), add8(pX), add8(pZZ), add8(pZZ), add8(pZZ))
	l.mul(w, pY, v)
	l.mul(s, pX, v)
	l.mul(m, t, u) // 3(x² − z⁴)
	l.mul(pZZ, pZZ, v)
	l.sqr(pX, m, sub8(s), sub8(s)) // x = m² − 2s
	l.mul(pZZZ, pZZZ, w)
	l.sum(t, add8(s), add8(s), sub8(pX), sub8(pX))
	l.sum(u, sub8(pY))
	l.mulAdd(pY, t, m, u, w) // 2y = 2m(s − x) − 2w·y1
	l.end()
}
