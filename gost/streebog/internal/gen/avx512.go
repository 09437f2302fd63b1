package main

import (
	"fmt"

	"github.com/epov-signer/epov/gost/streebog/internal/rfc6986"
)

const avx512About = `// Streebog in AVX-512 with VBMI and GFNI. A register of 64 octets holds a whole 512-bit value, byte-transposed:
// octet 8a + b of the register is octet a of word b. So the eight octets that the linear map l treats alike share a lane
// of 64 bits, and the permutation P of RFC 6986 section 6.3, a transposition itself, falls out of l's own shuffles.
//
// S: two VPERMI2B look up the two halves of the substitution, the top bit of each octet selects between them.
// L: word b of the result is the sum over the octets a of word b of 8×8 bit blocks of the matrix, applied by
// VGF2P8AFFINEQB, which takes one block per lane. Lane j needs the lanes j + r for r = 0 … 7: four shuffles make
// r = 0 … 3 and, with other blocks, the sums for r = 4 … 7, which one swap of the halves then moves into place.
//
// Z0 … Z3 hold the substitution, Z4 … Z7 the shuffles, Z8 … Z15 the blocks of the matrix; every function loads them.`

// avx512 writes the AVX-512 kernels: one message at a time, and several interleaved, which fills the pipelines that a
// single message, a chain of 13 dependent LPS a block, leaves half empty.
func avx512() []byte {
	a := newAsm(avx512About)
	a.data("pi", "The substitution, RFC 6986 section 6.2.", words(rfc6986.Pi[:]))
	a.data("shuffle", "Shuffle r: lane j of the result is the transposed lane j + r.", shuffles())
	a.data("blocks", "Blocks of the matrix: for r = 0 … 7 and each lane the map of octet j + r mod 4 … , see avx512.go.", blocks())
	a.data("iterate", "C1 … C12 of RFC 6986 section 6.5, byte-transposed.", iterate())
	a.kernel("blocksAVX512", 1)
	a.kernel("blocks2AVX512", 2)
	a.kernel("blocks4AVX512", 4)
	return a.Bytes()
}

// shuffles are the index vectors of VPERMB: octet i of lane j comes from octet j + r of lane i.
func shuffles() (w []uint64) {
	for r := range 4 {
		var index [64]byte
		for j := range 8 {
			for i := range 8 {
				index[8*j+i] = byte(8*i + (j+r)%8)
			}
		}
		w = append(w, words(index[:])...)
	}
	return w
}

// blocks are the operands of VGF2P8AFFINEQB: first those whose sum belongs to the lane it is made in, then those whose
// sum moves four lanes on.
func blocks() (w []uint64) {
	for move := 0; move < 8; move += 4 {
		for r := range 4 {
			for j := range 8 {
				w = append(w, block((j+r)%8, (j+move)%8))
			}
		}
	}
	return w
}

// block is the 8×8 bit matrix that takes octet in of a word to its share of octet out of l of that word. The
// instruction wants the row of the result's bit 7 in the lowest octet.
func block(in, out int) uint64 {
	var rows [8]byte
	for bit := range 8 {
		for t := range 8 {
			rows[7-bit] |= byte(rfc6986.A[63-(8*in+t)]>>(8*out+bit)&1) << t
		}
	}
	return words(rows[:])[0]
}

// iterate are the iteration constants, byte-transposed.
func iterate() (w []uint64) {
	for i := range rfc6986.C {
		var c [64]byte
		for a := range 8 {
			for b := range 8 {
				c[8*a+b] = byte(rfc6986.C[i][b] >> (8 * a))
			}
		}
		w = append(w, words(c[:])...)
	}
	return w
}

// Registers of a lane, up to four lanes: pointers to its state and its message; x is the state ⊕ Kᵢ, k is Kᵢ ⊕ Cᵢ.
var (
	statePointer   = [4]string{"R8", "R9", "R10", "R11"}
	messagePointer = [4]string{"R12", "R13", "SI", "DI"}
)

func x(lane int) string { return fmt.Sprintf("Z%d", 16+2*lane) }
func k(lane int) string { return fmt.Sprintf("Z%d", 17+2*lane) }

// kernel writes a function that absorbs n blocks of each of its lanes.
func (a *asm) kernel(name string, lanes int) {
	if lanes == 1 {
		a.text(name, fmt.Sprintf("func %s(s *state, p *byte, n int)", name), 64, 24)
		a.op("MOVQ s+0(FP), R8")
		a.op("MOVQ p+8(FP), R12")
	} else {
		a.text(name, fmt.Sprintf("func %s(s *[%d]*state, p *[%d]*byte, n int)", name, lanes, lanes), 64*lanes, 24)
		a.op("MOVQ s+0(FP), AX")
		a.op("MOVQ p+8(FP), BX")
		for l := range lanes {
			a.op("MOVQ %d(AX), %s", 8*l, statePointer[l])
			a.op("MOVQ %d(BX), %s", 8*l, messagePointer[l])
		}
	}
	a.op("MOVQ n+16(FP), CX")
	a.op("LEAQ iterate<>(SB), BX")
	for i, from := range []string{"pi", "shuffle", "blocks", "blocks"} {
		for j := range 4 {
			a.op("VMOVDQU64 %s<>+%d(SB), Z%d", from, 64*(4*(i/3)+j), 4*i+j)
		}
	}
	for l := range lanes {
		a.op("VPERMB (%s), Z4, %s", statePointer[l], x(l))
	}

	a.label("block")
	a.line("\n\t// hm = h ⊕ m; K1 = LPS(h ⊕ N); k = K1 ⊕ C1; x = m ⊕ K1. The frame keeps m, then hm.")
	for l := range lanes {
		a.op("VPERMB 64(%s), Z4, Z24", statePointer[l])
		a.op("VPERMB (%s), Z4, Z25", messagePointer[l])
		a.op("VPXORQ Z24, %s, %s", x(l), k(l))
		a.op("VPXORQ Z25, %s, %s", x(l), x(l))
		a.op("VMOVDQU64 %s, %d(SP)", x(l), 64*l)
		a.op("VMOVDQA64 Z25, %s", x(l))
	}
	for l := range lanes {
		a.lps(k(l), "(BX)", "")
		a.op("VPTERNLOGQ $0x96, (BX), %s, %s", k(l), x(l))
	}
	for l := range lanes {
		a.line("\n\t// N = N + 512; Σ = Σ + m")
		a.sums(statePointer[l], messagePointer[l], "AX")
	}
	a.line("\n\t// Rounds 1 … 11: k = LPS(k) ⊕ C; x = LPS(x) ⊕ C ⊕ k")
	a.op("LEAQ 64(BX), DX")
	a.label("round")
	for l := range lanes {
		a.lps(k(l), "(DX)", "")
		a.lps(x(l), "(DX)", k(l))
	}
	a.op("ADDQ $64, DX")
	a.op("LEAQ %d(BX), AX", 64*12)
	a.op("CMPQ DX, AX")
	a.op("JNE round")
	a.line("\n\t// Round 12: h = LPS(x) ⊕ LPS(k) ⊕ hm")
	for l := range lanes {
		a.lps(k(l), fmt.Sprintf("%d(SP)", 64*l), "")
		a.lps(x(l), "", k(l))
		a.op("ADDQ $64, %s", messagePointer[l])
	}
	a.op("DECQ CX")
	a.op("JNE block")
	a.line("")
	for l := range lanes {
		a.op("VPERMB %s, Z4, %s", x(l), x(l))
		a.op("VMOVDQU64 %s, (%s)", x(l), statePointer[l])
	}
	a.op("VZEROUPPER")
	a.op("RET")
}

// lps sets v = LPS(v) ⊕ early ⊕ late; early is an operand in memory, late a register that is ready later than v; both
// may be absent. It uses Z24 … Z31 and K1.
func (a *asm) lps(v, early, late string) {
	a.line("")
	a.op("VPMOVB2M %s, K1", v)
	a.op("VMOVDQA64 %s, Z24", v)
	a.op("VPERMI2B Z1, Z0, Z24")
	a.op("VPERMI2B Z3, Z2, %s", v)
	a.op("VPBLENDMB %s, Z24, K1, %s", v, v)
	for r := range 4 {
		a.op("VPERMB %s, Z%d, Z%d", v, 4+r, 28+r)
	}
	for r := range 4 {
		a.op("VGF2P8AFFINEQB $0, Z%d, Z%d, Z%d", 12+r, 28+r, 24+r)
	}
	for r := range 4 {
		a.op("VGF2P8AFFINEQB $0, Z%d, Z%d, Z%d", 8+r, 28+r, 28+r)
	}
	a.op("VPTERNLOGQ $0x96, Z24, Z25, Z26")
	a.op("VPXORQ Z26, Z27, Z26")
	a.op("VSHUFI64X2 $0x4e, Z26, Z26, Z26")
	a.op("VPTERNLOGQ $0x96, Z28, Z29, Z30")
	if early == "" {
		a.op("VPXORQ Z30, Z31, %s", v)
	} else {
		a.op("VPXORQ %s, Z31, %s", early, v)
		a.op("VPXORQ Z30, %s, %s", v, v)
	}
	if late == "" {
		a.op("VPXORQ Z26, %s, %s", v, v)
	} else {
		a.op("VPTERNLOGQ $0x96, Z26, %s, %s", late, v)
	}
}
