package main

// choose writes the reading of a whole table: each entry is taken under a mask, all ones for the one with the index
// wanted. It goes over the table once for every 32 octets of an entry. SSE2 belongs to every amd64.
func choose(w *writer) {
	w.raw("\n// func chooseSSE2(words *[24]uint64, table *uint64, entries, octets, index uint64)\n")
	w.raw("TEXT ·chooseSSE2(SB), NOSPLIT, $0-40\n")
	w.op("MOVQ words+0(FP), DI")
	w.op("MOVQ table+8(FP), SI")
	w.op("MOVQ octets+24(FP), DX")
	w.op("MOVQ index+32(FP), X5")
	w.op("PSHUFL $0, X5, X5")
	w.op("PCMPEQL X4, X4") // minus one in each lane
	w.op("MOVQ DX, BX")
	w.raw("part:\n")
	w.op("MOVQ entries+16(FP), CX")
	w.op("MOVQ SI, AX")
	w.op("PXOR X0, X0")
	w.op("PXOR X1, X1")
	w.op("MOVO X5, X2") // index − number of the entry: zero at the one wanted
	w.op("PXOR X7, X7")
	w.raw("entry:\n")
	w.op("MOVO X2, X3")
	w.op("PCMPEQL X7, X3")
	w.op("PADDL X4, X2")
	w.op("MOVOU (AX), X6")
	w.op("PAND X3, X6")
	w.op("POR X6, X0")
	w.op("MOVOU 16(AX), X6")
	w.op("PAND X3, X6")
	w.op("POR X6, X1")
	w.op("ADDQ DX, AX")
	w.op("DECQ CX")
	w.op("JNZ entry")
	w.op("MOVOU X0, (DI)")
	w.op("MOVOU X1, 16(DI)")
	w.op("ADDQ $32, DI")
	w.op("ADDQ $32, SI")
	w.op("SUBQ $32, BX")
	w.op("JNZ part")
	w.op("RET")
}
