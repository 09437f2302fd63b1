package main

import "github.com/epov-signer/epov/gost/streebog/internal/rfc6986"

// table writes blocksTable: the portable lookups (one of 8 octets per octet of the state) in plain amd64 instructions.
//
// It gains on compiled Go by keeping the eight words of a result in eight registers while the eight words of the source
// pass by: an octet costs an extraction and one exclusive-or with an operand in memory.
func table() []byte {
	a := newAsm("// Streebog by table lookups, for every amd64 processor.")
	var c []uint64
	for i := range rfc6986.C {
		c = append(c, rfc6986.C[i][:]...)
	}
	a.data("iterate", "C1 … C12 of RFC 6986 section 6.5, least significant word first.", c)

	// Frame: k holds Kᵢ ⊕ Cᵢ, x holds the state ⊕ Kᵢ; both are the arguments of the next LPS.
	const k, x = 0, 64
	a.text("blocksTable", "func blocksTable(s *state, p *byte, n int)", 128, 24)
	a.op("LEAQ ·lookup(SB), DI")
	a.label("block")
	a.op("MOVQ s+0(FP), SI")
	for j := range 8 {
		a.op("MOVQ %d(SI), AX", 8*j)
		a.op("XORQ %d(SI), AX", 64+8*j)
		a.op("MOVQ AX, %d(SP)", k+8*j)
	}
	a.line("\n\t// K1 = LPS(h ⊕ N)")
	a.lookups(k)
	a.op("MOVQ p+8(FP), SI")
	a.op("LEAQ iterate<>(SB), BX")
	for j := range 8 {
		a.op("MOVQ %d(SI), AX", 8*j)
		a.op("XORQ R%d, AX", 8+j)
		a.op("MOVQ AX, %d(SP)", x+8*j)
		a.op("XORQ %d(BX), R%d", 8*j, 8+j)
		a.op("MOVQ R%d, %d(SP)", 8+j, k+8*j)
	}
	a.label("round")
	a.line("\n\t// K = LPS(K ⊕ C)")
	a.lookups(k)
	for j := range 8 {
		a.op("MOVQ R%d, %d(SP)", 8+j, k+8*j)
	}
	a.line("\n\t// x = LPS(x) ⊕ K")
	a.lookups(x)
	for j := range 8 {
		a.op("XORQ %d(SP), R%d", k+8*j, 8+j)
		a.op("MOVQ R%d, %d(SP)", 8+j, x+8*j)
	}
	a.op("ADDQ $64, BX")
	a.op("LEAQ iterate<>+%d(SB), AX", 64*12)
	a.op("CMPQ BX, AX")
	a.op("JEQ done")
	for j := range 8 {
		a.op("MOVQ %d(BX), AX", 8*j)
		a.op("XORQ AX, %d(SP)", k+8*j)
	}
	a.op("JMP round")
	a.label("done")

	a.line("\n\t// h = x ⊕ h ⊕ m; N = N + 512; Σ = Σ + m")
	a.op("MOVQ s+0(FP), AX")
	a.op("MOVQ p+8(FP), SI")
	for j := range 8 {
		a.op("XORQ %d(SI), R%d", 8*j, 8+j)
		a.op("XORQ R%d, %d(AX)", 8+j, 8*j)
	}
	a.sums("AX", "SI", "CX")
	a.op("ADDQ $64, p+8(FP)")
	a.op("DECQ n+16(FP)")
	a.op("JNE block")
	a.op("RET")
	return a.Bytes()
}

// lookups sets R8 … R15 = LPS of the eight words at offset from in the frame: octet i of word j selects the addend of
// word i in row j of the table at DI. It uses AX, CX and DX.
//
// Octets 2 and 3 of a word come from memory, the others from a register: that shares the work between the ports of the
// processor that load and those that calculate.
func (a *asm) lookups(from int) {
	for j := range 8 {
		a.op("MOVQ %d(SP), AX", from+8*j)
		op := "XORQ"
		if j == 0 {
			op = "MOVQ"
		}
		for i := 0; i < 8; i += 2 {
			if i == 2 {
				a.op("MOVBLZX %d(SP), CX", from+8*j+i)
				a.op("MOVBLZX %d(SP), DX", from+8*j+i+1)
				a.op("SHRQ $32, AX")
			} else {
				a.op("MOVBLZX AL, CX")
				a.op("MOVBLZX AH, DX")
			}
			if i == 4 {
				a.op("SHRQ $16, AX")
			}
			a.op("%s %d(DI)(CX*8), R%d", op, 2048*j, 8+i)
			a.op("%s %d(DI)(DX*8), R%d", op, 2048*j, 9+i)
		}
	}
}

// sums advances the length and the sum of the state at register s by the block at register p; tmp is overwritten.
func (a *asm) sums(s, p, tmp string) {
	a.op("ADDQ $512, 64(%s)", s)
	for j := 1; j < 8; j++ {
		a.op("ADCQ $0, %d(%s)", 64+8*j, s)
	}
	for j := range 8 {
		op := "ADCQ"
		if j == 0 {
			op = "ADDQ"
		}
		a.op("MOVQ %d(%s), %s", 8*j, p, tmp)
		a.op("%s %s, %d(%s)", op, tmp, 128+8*j, s)
	}
}
