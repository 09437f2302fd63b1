package main

import "fmt"

const avx512About = `// Streebog in AVX-512 with VBMI and GFNI. A register of 64 octets holds a whole 512-bit value, byte-transposed:
// octet 8a + b of the register is octet a of word b. So the eight octets that the linear map l treats alike share a lane
// of 64 bits, and the permutation P of RFC 6986 section 6.3, a transposition itself, falls out of l's own shuffles.
//
// S: two VPERMI2B look up the two halves of the substitution, the top bit of each octet selects between them.
// L: octet j of a word of the result is the sum over i of 8×8 bit blocks of the matrix applied to octet i of the word,
// by VGF2P8AFFINEQB, which takes one block for each lane of 64 bits. Lane j needs the lanes i = j + r for r = 0 … 7: four
// shuffles make r = 0 … 3 for the sums that stay in their lane and, with other blocks, for the sums that belong four
// lanes on, which one swap of the halves moves there.`

// avx512 writes the AVX-512 kernels: for one message, and for several side by side, which fills the pipelines that a
// single message, two coupled chains of dependent LPS, leaves half empty.
func avx512() []byte {
	a := newAsm(avx512About)
	a.data("pi", "The substitution, RFC 6986 section 6.2.", substitution())
	a.data("shuffles", "Shuffle r takes octet j + r of lane i to octet i of lane j.", shuffles())
	a.data("blocks", "Blocks of the matrix for r = 0 … 3: of the sums that stay, then of those that move.", blocks())
	a.data("iterate", "C1 … C12 of RFC 6986 section 6.5, byte-transposed.", iterate())
	a.kernel("blocksAVX512", 1)
	a.kernel("blocks2AVX512", 2)
	a.kernel("blocks3AVX512", 3)
	a.kernel("blocks4AVX512", 4)
	return a.Bytes()
}

// A kernel works on up to four messages. For each it has these registers: pointers to the state and to the next block; x
// for the state of the compression ⊕ Kᵢ; k for Kᵢ ⊕ Cᵢ. Two LPS are under way at a time, each with six temporaries and a
// mask. The registers left hold constants, from Z0 up; constants that find none are read from memory.
var (
	statePointer   = [4]string{"R8", "R9", "R10", "R11"}
	messagePointer = [4]string{"R12", "R13", "SI", "DI"}
)

func x(message int) string { return fmt.Sprintf("Z%d", 31-2*message) }
func k(message int) string { return fmt.Sprintf("Z%d", 30-2*message) }

const underWay = 2

type kernel struct {
	*asm
	pi, shuffles [4]string
	blocks       [8]string
	temporaries  [underWay][6]string
	made         int // LPS made so far; consecutive ones use different temporaries
}

// kernel writes a function that absorbs n blocks of each of so many messages.
func (a *asm) kernel(name string, messages int) {
	g := kernel{asm: a}
	if messages == 1 {
		a.text(name, fmt.Sprintf("func %s(s *state, p *byte, n int)", name), 64, 24)
		a.op("MOVQ s+0(FP), %s", statePointer[0])
		a.op("MOVQ p+8(FP), %s", messagePointer[0])
	} else {
		a.text(name, fmt.Sprintf("func %s(s *[%d]*state, p *[%d]*byte, n int)", name, messages, messages), 64*messages, 24)
		a.op("MOVQ s+0(FP), AX")
		a.op("MOVQ p+8(FP), BX")
		for l := range messages {
			a.op("MOVQ %d(AX), %s", 8*l, statePointer[l])
			a.op("MOVQ %d(BX), %s", 8*l, messagePointer[l])
		}
	}
	a.op("MOVQ n+16(FP), CX")
	a.op("LEAQ iterate<>(SB), BX")
	g.assign(32 - 2*messages)
	transpose := g.shuffles[0]
	for l := range messages {
		a.op("VPERMB (%s), %s, %s", statePointer[l], transpose, x(l))
	}

	a.label("block")
	a.line("\n\t// K1 = LPS(h ⊕ N); k = K1 ⊕ C1; x = m ⊕ K1. The frame keeps h ⊕ m. On entry x holds h.")
	m := g.temporaries[0][0]
	for l := range messages {
		a.op("VPERMB 64(%s), %s, %s", statePointer[l], transpose, k(l))
		a.op("VPERMB (%s), %s, %s", messagePointer[l], transpose, m)
		a.op("VPXORQ %s, %s, %s", x(l), k(l), k(l))
		a.op("VPXORQ %s, %s, %s", x(l), m, x(l))
		a.op("VMOVDQU64 %s, %d(SP)", x(l), 64*l)
		a.op("VMOVDQA64 %s, %s", m, x(l))
	}
	var round []sequence
	for l := range messages {
		round = append(round, append(g.lps(k(l), "(BX)", ""), fmt.Sprintf("VPTERNLOGQ $0x96, (BX), %s, %s", k(l), x(l))))
	}
	a.interleave(round)
	for l := range messages {
		a.line("\n\t// N = N + 512; Σ = Σ + m")
		a.sums(statePointer[l], messagePointer[l], "AX")
		a.op("ADDQ $64, %s", messagePointer[l])
	}

	a.line("\n\t// Rounds 1 … 11: k = LPS(k) ⊕ C; x = LPS(x) ⊕ C ⊕ k, where C ⊕ k is K.")
	a.op("LEAQ 64(BX), DX")
	a.label("round")
	round = nil
	for l := range messages {
		round = append(round, g.lps(k(l), "(DX)", ""), g.lps(x(l), "(DX)", k(l)))
	}
	a.interleave(round)
	a.op("ADDQ $64, DX")
	a.op("LEAQ %d(BX), AX", 64*12)
	a.op("CMPQ DX, AX")
	a.op("JNE round")

	a.line("\n\t// Round 12: h = LPS(x) ⊕ LPS(k) ⊕ h ⊕ m")
	round = nil
	for l := range messages {
		round = append(round, g.lps(k(l), fmt.Sprintf("%d(SP)", 64*l), ""), g.lps(x(l), "", k(l)))
	}
	a.interleave(round)
	a.op("DECQ CX")
	a.op("JNE block")
	a.line("")
	for l := range messages {
		a.op("VPERMB %s, %s, %s", x(l), transpose, x(l))
		a.op("VMOVDQU64 %s, (%s)", x(l), statePointer[l])
	}
	a.op("VZEROUPPER")
	a.op("RET")
}

// assign hands out the registers below Z(end) and loads the constants.
func (g *kernel) assign(end int) {
	for i := range g.temporaries {
		for j := range g.temporaries[i] {
			end--
			g.temporaries[i][j] = fmt.Sprintf("Z%d", end)
		}
	}
	next := 0
	load := func(names []string, symbol string) {
		for i := range names {
			names[i] = fmt.Sprintf("%s<>+%d(SB)", symbol, 64*i)
			if next < end {
				register := fmt.Sprintf("Z%d", next)
				g.op("VMOVDQU64 %s, %s", names[i], register)
				names[i] = register
				next++
			}
		}
	}
	load(g.pi[:], "pi")
	load(g.shuffles[:], "shuffles")
	load(g.blocks[:], "blocks")
}

// sequence is the instructions of one LPS.
type sequence []string

// lps sets v = LPS(v) ⊕ early ⊕ late; early is in memory, late is a register that may be ready as late as the result. Both
// may be absent.
func (g *kernel) lps(v, early, late string) (s sequence) {
	op := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	t, mask := g.temporaries[g.made%underWay], fmt.Sprintf("K%d", 1+g.made%underWay)
	g.made++

	// S
	op("VMOVDQA64 %s, %s", v, t[0])
	op("VPERMI2B %s, %s, %s", g.pi[1], g.pi[0], t[0])
	op("VPMOVB2M %s, %s", v, mask)
	op("VPERMI2B %s, %s, %s", g.pi[3], g.pi[2], v)
	op("VPBLENDMB %s, %s, %s, %s", v, t[0], mask, v)

	// P and the lanes j + r: in t[0], t[1], t[2] and v
	op("VPERMB %s, %s, %s", v, g.shuffles[0], t[0])
	op("VPERMB %s, %s, %s", v, g.shuffles[1], t[1])
	op("VPERMB %s, %s, %s", v, g.shuffles[2], t[2])
	op("VPERMB %s, %s, %s", v, g.shuffles[3], v)

	// L: in t[3] the sums that move, which take longer; in place those that stay
	affine := func(b int, from, to string) { op("VGF2P8AFFINEQB $0, %s, %s, %s", g.blocks[b], from, to) }
	affine(4, t[0], t[3])
	affine(5, t[1], t[4])
	affine(6, t[2], t[5])
	op("VPTERNLOGQ $0x96, %s, %s, %s", t[5], t[4], t[3])
	affine(7, v, t[4])
	op("VPXORQ %s, %s, %s", t[3], t[4], t[3])
	affine(0, t[0], t[0])
	op("VSHUFI64X2 $0x4e, %s, %s, %s", t[3], t[3], t[3])
	affine(1, t[1], t[1])
	affine(2, t[2], t[2])
	affine(3, v, v)
	op("VPTERNLOGQ $0x96, %s, %s, %s", t[2], t[1], t[0])
	if early == "" {
		op("VPXORQ %s, %s, %s", t[0], v, v)
	} else {
		op("VPTERNLOGQ $0x96, %s, %s, %s", early, t[0], v)
	}
	if late == "" {
		op("VPXORQ %s, %s, %s", t[3], v, v)
	} else {
		op("VPTERNLOGQ $0x96, %s, %s, %s", late, t[3], v)
	}
	return s
}

// interleave writes the sequences so that each begins when the one before it is half done, as far as the processor's own
// window may not see. The distance lets no sequence begin before the last but one, whose temporaries it uses, is done.
func (a *asm) interleave(list []sequence) {
	longest := 0
	for _, s := range list {
		longest = max(longest, len(s))
	}
	distance := (longest + underWay - 1) / underWay
	a.line("")
	for time := range distance*len(list) + longest {
		for i, s := range list {
			if j := time - i*distance; j >= 0 && j < len(s) {
				a.op("%s", s[j])
			}
		}
	}
}
