package main

import "fmt"

const c569 = 569

// limbRegister lends nine registers in turn to the limbs of a product.
func limbRegister(i int) string {
	return [9]string{"R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "CX"}[i%9]
}

// frame569 is a limb in the frame, where the lower half of a product goes while the upper half stays in registers.
func frame569(i int) string { return fmt.Sprintf("%d(SP)", 8*i) }

// subroutines569 writes product569, which takes x in SI and y in DI, and square569, which takes x in SI. They leave the
// product, folded once, in R8 to R15 and BX, and change AX, CX, DX and SI. As modulo 2²⁵⁶ − 617, ADCX carries the low
// halves and ADOX the high halves.
func subroutines569(f *field) {
	x := func(i int) string { return fmt.Sprintf("%d(SI)", 8*i) }
	f.raw("\nTEXT product569<>(SB), NOSPLIT, $64-0\n")
	for i := range 8 {
		row569(f, x, 0, fmt.Sprintf("%d(DI)", 8*i), i)
		f.op("MOVQ %s, %s", limbRegister(i), frame569(i))
	}
	fold569(f, func(j int) string { return limbRegister(8 + j) })

	f.raw("\nTEXT square569<>(SB), NOSPLIT, $128-0\n")
	// products of different limbs: after row i the limbs 2i + 1 and 2i + 2 are complete
	for i := range 7 {
		row569(f, x, i+1, x(i), i)
		f.op("MOVQ %s, %s", limbRegister(2*i+1), frame569(2*i+1))
		f.op("MOVQ %s, %s", limbRegister(2*i+2), frame569(2*i+2))
	}
	// twice that, plus the squares
	f.op("XORL AX, AX") // clears both carries
	for i := range 8 {
		f.op("MOVQ %s, DX", x(i))
		f.op("MULXQ DX, AX, BX")
		for k, half := range []string{"AX", "BX"} {
			limb := 2*i + k
			register := acc(limb % 8)
			switch limb {
			case 0:
				f.op("MOVQ %s, %s", half, frame569(0))
				continue
			case 15:
				f.op("MOVL $0, %s", register)
			default:
				f.op("MOVQ %s, %s", frame569(limb), register)
			}
			f.op("ADCXQ %s, %s", register, register)
			f.op("ADOXQ %s, %s", half, register)
			if limb < 8 {
				f.op("MOVQ %s, %s", register, frame569(limb))
			}
		}
	}
	fold569(f, acc)
}

// row569 adds the limbs from on of x, times one limb, to the product at limb i + from.
func row569(f *field, x func(int) string, from int, limb string, i int) {
	f.op("MOVQ %s, DX", limb)
	if i == 0 {
		f.op("MULXQ %s, %s, %s", x(from), limbRegister(from), limbRegister(from+1))
		for j := from + 1; j < 8; j++ {
			f.op("MULXQ %s, AX, %s", x(j), limbRegister(j+1))
			if j == from+1 {
				f.op("ADDQ AX, %s", limbRegister(j))
			} else {
				f.op("ADCQ AX, %s", limbRegister(j))
			}
		}
		f.op("ADCQ $0, %s", limbRegister(8))
		return
	}
	f.op("XORL %s, %s", limbRegister(i+8), limbRegister(i+8)) // clears both carries
	for j := from; j < 8; j++ {
		f.op("MULXQ %s, AX, BX", x(j))
		f.op("ADCXQ AX, %s", limbRegister(i+j))
		f.op("ADOXQ BX, %s", limbRegister(i+j+1))
	}
	f.op("MOVL $0, AX")
	f.op("ADCXQ AX, %s", limbRegister(i+8))
}

// fold569 adds 569 times the upper half, in the registers given, to the lower. The limb above, in BX, is at most 569.
func fold569(f *field, high func(int) string) {
	f.op("MOVL $%d, DX", c569)
	f.op("XORL AX, AX") // clears both carries
	hi, last := "SI", "BX"
	for j := range 8 { // an even number, so that the last high half is in BX
		f.op("MULXQ %s, %s, %s", high(j), high(j), hi)
		f.op("ADCXQ %s, %s", frame569(j), high(j))
		if j > 0 {
			f.op("ADOXQ %s, %s", last, high(j))
		}
		hi, last = last, hi
	}
	f.op("ADCXQ AX, BX")
	f.op("ADOXQ AX, BX")
	for j := 7; j >= 0; j-- {
		if high(j) != acc(j) {
			f.op("MOVQ %s, %s", high(j), acc(j))
		}
	}
	f.end()
}
