package main

import "fmt"

// Integers modulo p = 2²⁵⁶ − 617 have 4 limbs and are any of the integers below 2²⁵⁶ that represent the residue.
// Macros take their operands from memory, and use AX, BX, DX and R8 to R15.

const c617 = 617

// acc names the registers of a product of 8 limbs.
func acc(i int) string { return fmt.Sprintf("R%d", 8+i) }

// mul617 sets z = x·y. Row by row, two carry chains at once: ADCX for the low halves, ADOX for the high halves.
func mul617(w *writer, z, x, y operand) {
	w.op("MOVQ %s, DX", y.limb(0))
	w.op("MULXQ %s, %s, %s", x.limb(0), acc(0), acc(1))
	for j := 1; j < 4; j++ {
		w.op("MULXQ %s, AX, %s", x.limb(j), acc(j+1))
		if j == 1 {
			w.op("ADDQ AX, %s", acc(j))
		} else {
			w.op("ADCQ AX, %s", acc(j))
		}
	}
	w.op("ADCQ $0, %s", acc(4))
	for i := 1; i < 4; i++ {
		w.op("MOVQ %s, DX", y.limb(i))
		w.op("XORL %s, %s", acc(i+4), acc(i+4)) // clears both carries
		for j := range 4 {
			w.op("MULXQ %s, AX, BX", x.limb(j))
			w.op("ADCXQ AX, %s", acc(i+j))
			w.op("ADOXQ BX, %s", acc(i+j+1))
		}
		w.op("MOVL $0, AX")
		w.op("ADCXQ AX, %s", acc(i+4))
	}
	fold617(w, z)
}

// sqr617 sets z = x²: 6 products of different limbs, doubled, and 4 squares.
func sqr617(w *writer, z, x operand) {
	w.op("MOVQ %s, DX", x.limb(0))
	w.op("MULXQ %s, %s, %s", x.limb(1), acc(1), acc(2))
	w.op("MULXQ %s, AX, %s", x.limb(2), acc(3))
	w.op("ADDQ AX, %s", acc(2))
	w.op("MULXQ %s, AX, %s", x.limb(3), acc(4))
	w.op("ADCQ AX, %s", acc(3))
	w.op("ADCQ $0, %s", acc(4))
	w.op("MOVQ %s, DX", x.limb(1))
	w.op("MULXQ %s, AX, BX", x.limb(2))
	w.op("MULXQ %s, CX, %s", x.limb(3), acc(5))
	w.op("ADDQ CX, BX")
	w.op("ADCQ $0, %s", acc(5))
	w.op("ADDQ AX, %s", acc(3))
	w.op("ADCQ BX, %s", acc(4))
	w.op("MOVQ %s, DX", x.limb(2))
	w.op("MULXQ %s, AX, %s", x.limb(3), acc(6))
	w.op("ADCQ AX, %s", acc(5))
	w.op("ADCQ $0, %s", acc(6))
	w.op("XORL %s, %s", acc(7), acc(7)) // clears both carries
	for i := range 4 {
		w.op("MOVQ %s, DX", x.limb(i))
		if i == 0 {
			w.op("MULXQ DX, %s, BX", acc(0))
		} else {
			w.op("MULXQ DX, AX, BX")
			w.op("ADCXQ %s, %s", acc(2*i), acc(2*i))
			w.op("ADOXQ AX, %s", acc(2*i))
		}
		w.op("ADCXQ %s, %s", acc(2*i+1), acc(2*i+1))
		w.op("ADOXQ BX, %s", acc(2*i+1))
	}
	fold617(w, z)
}

// fold617 reduces the product and stores it: 2²⁵⁶ is worth 617, so the upper half times 617 is added to the lower, then
// the limb that runs over, at most 617, and then its carry: the sum is below 617² at that moment and cannot run over again.
func fold617(w *writer, z operand) {
	w.op("MOVL $%d, DX", c617)
	w.op("XORL AX, AX")
	for i := range 4 {
		w.op("MULXQ %s, AX, BX", acc(4+i))
		w.op("ADCXQ AX, %s", acc(i))
		if i < 3 {
			w.op("ADOXQ BX, %s", acc(i+1))
		}
	}
	w.op("MOVL $0, AX")
	w.op("ADOXQ AX, BX")
	w.op("ADCXQ AX, BX")
	w.op("IMULQ DX, BX")
	w.op("ADDQ BX, R8")
	carry617(w, "DX")
	store617(w, z)
}

// carry617 carries through the upper limbs and adds 617 (in a register, or immediate) where the sum runs over 2²⁵⁶.
func carry617(w *writer, c string) {
	for i := 1; i < 4; i++ {
		w.op("ADCQ $0, %s", acc(i))
	}
	w.op("SBBQ AX, AX")
	w.op("ANDQ %s, AX", c)
	w.op("ADDQ AX, R8")
}

func store617(w *writer, z operand) {
	for i := range 4 {
		w.op("MOVQ %s, %s", acc(i), z.limb(i))
	}
}

// add617 sets z = x + y.
func add617(w *writer, z, x, y operand) {
	for i := range 4 {
		w.op("MOVQ %s, %s", x.limb(i), acc(i))
	}
	for i := range 4 {
		w.op("%s %s, %s", []string{"ADDQ", "ADCQ", "ADCQ", "ADCQ"}[i], y.limb(i), acc(i))
	}
	w.op("SBBQ AX, AX")
	w.op("ANDQ $%d, AX", c617)
	w.op("ADDQ AX, R8")
	carry617(w, fmt.Sprintf("$%d", c617))
	store617(w, z)
}

// sub617 sets z = x − y.
func sub617(w *writer, z, x, y operand) {
	for i := range 4 {
		w.op("MOVQ %s, %s", x.limb(i), acc(i))
	}
	for i := range 4 {
		w.op("%s %s, %s", []string{"SUBQ", "SBBQ", "SBBQ", "SBBQ"}[i], y.limb(i), acc(i))
	}
	for range 2 {
		w.op("SBBQ AX, AX")
		w.op("ANDQ $%d, AX", c617)
		w.op("SUBQ AX, R8")
		for i := 1; i < 4; i++ {
			w.op("SBBQ $0, %s", acc(i))
		}
	}
	store617(w, z)
}

// field617 writes the operations as functions.
func field617(w *writer) {
	z, x, y := operand{"DI", 0}, operand{"SI", 0}, operand{"CX", 0}
	w.function("mul617ADX", "(z, x, y *fe)", 0, []string{"z", "x", "y"}, []string{"DI", "SI", "CX"})
	mul617(w, z, x, y)
	w.op("RET")
	w.function("sqr617ADX", "(z, x *fe)", 0, []string{"z", "x"}, []string{"DI", "SI"})
	sqr617(w, z, x)
	w.op("RET")
}
