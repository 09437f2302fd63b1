package main

// Integers modulo p = 2⁵¹² − 569 have 8 limbs and are any of the integers below 2⁵¹² that represent the residue.

const c569 = 569

// limbRegister lends nine registers in turn to the limbs of a product.
func limbRegister(i int) string {
	return [9]string{"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "CX"}[i%9]
}

func low569(i int) string { return operand{"SP", 0}.limb(i) }

// field569 writes multiplication and squaring as functions. The lower half of the product goes to the frame, the upper
// half stays in registers. As modulo 2²⁵⁶ − 617, ADCX carries the low halves and ADOX the high halves.
func field569(w *writer) {
	w.function("mul569ADX", "(z, x, y *fe)", 64, []string{"z", "x", "y"}, nil)
	w.op("MOVQ x+8(FP), SI")
	w.op("MOVQ y+16(FP), DI")
	x, y := operand{"SI", 0}, operand{"DI", 0}
	for i := range 8 {
		row569(w, x, 0, y.limb(i), i)
		w.op("MOVQ %s, %s", limbRegister(i), low569(i))
	}
	fold569(w, func(j int) string { return limbRegister(8 + j) })

	w.function("sqr569ADX", "(z, x *fe)", 128, []string{"z", "x"}, nil)
	w.op("MOVQ x+8(FP), SI")
	// products of different limbs: after row i the limbs 2i + 1 and 2i + 2 are complete
	for i := range 7 {
		row569(w, x, i+1, x.limb(i), i)
		w.op("MOVQ %s, %s", limbRegister(2*i+1), low569(2*i+1))
		w.op("MOVQ %s, %s", limbRegister(2*i+2), low569(2*i+2))
	}
	// twice that, plus the squares
	w.op("XORL AX, AX") // clears both carries
	for i := range 8 {
		w.op("MOVQ %s, DX", x.limb(i))
		w.op("MULXQ DX, AX, BX")
		for k, half := range []string{"AX", "BX"} {
			limb := 2*i + k
			switch limb {
			case 0:
				w.op("MOVQ %s, %s", half, low569(0))
				continue
			case 15:
				w.op("MOVL $0, %s", acc(7))
			default:
				w.op("MOVQ %s, %s", low569(limb), acc(limb%8))
			}
			w.op("ADCXQ %s, %s", acc(limb%8), acc(limb%8))
			w.op("ADOXQ %s, %s", half, acc(limb%8))
			if limb < 8 {
				w.op("MOVQ %s, %s", acc(limb%8), low569(limb))
			}
		}
	}
	fold569(w, acc)
}

// row569 adds the limbs from on of x, times one limb, to the product at limb i + from.
func row569(w *writer, x operand, from int, limb string, i int) {
	w.op("MOVQ %s, DX", limb)
	if i == 0 {
		w.op("MULXQ %s, %s, %s", x.limb(from), limbRegister(from), limbRegister(from+1))
		for j := from + 1; j < 8; j++ {
			w.op("MULXQ %s, AX, %s", x.limb(j), limbRegister(j+1))
			if j == from+1 {
				w.op("ADDQ AX, %s", limbRegister(j))
			} else {
				w.op("ADCQ AX, %s", limbRegister(j))
			}
		}
		w.op("ADCQ $0, %s", limbRegister(8))
		return
	}
	w.op("XORL %s, %s", limbRegister(i+8), limbRegister(i+8)) // clears both carries
	for j := from; j < 8; j++ {
		w.op("MULXQ %s, AX, BX", x.limb(j))
		w.op("ADCXQ AX, %s", limbRegister(i+j))
		w.op("ADOXQ BX, %s", limbRegister(i+j+1))
	}
	w.op("MOVL $0, AX")
	w.op("ADCXQ AX, %s", limbRegister(i+8))
}

// fold569 adds 569 times the upper half, in registers, to the lower, then the limb that runs over, then its carry.
func fold569(w *writer, high func(int) string) {
	w.op("MOVL $%d, DX", c569)
	w.op("XORL AX, AX") // clears both carries
	hi, last := "BX", "SI"
	for j := range 8 {
		w.op("MULXQ %s, %s, %s", high(j), high(j), hi)
		w.op("ADCXQ %s, %s", low569(j), high(j))
		if j > 0 {
			w.op("ADOXQ %s, %s", last, high(j))
		}
		hi, last = last, hi
	}
	w.op("ADCXQ AX, %s", last)
	w.op("ADOXQ AX, %s", last)
	w.op("IMULQ DX, %s", last)
	w.op("ADDQ %s, %s", last, high(0))
	for j := 1; j < 8; j++ {
		w.op("ADCQ $0, %s", high(j))
	}
	w.op("SBBQ AX, AX")
	w.op("ANDQ DX, AX")
	w.op("ADDQ AX, %s", high(0))
	w.op("MOVQ z+0(FP), DI")
	z := operand{"DI", 0}
	for j := range 8 {
		w.op("MOVQ %s, %s", high(j), z.limb(j))
	}
	w.op("RET")
}
