package main

const c617 = 617

// product617 leaves x·y, folded once, in acc(0) to acc(3) and BX. Row by row, two carry chains at once: ADCX for the low
// halves, ADOX for the high halves.
func product617(f *field, x, y func(int) string) {
	f.op("MOVQ %s, DX", y(0))
	f.op("MULXQ %s, %s, %s", x(0), acc(0), acc(1))
	for j := 1; j < 4; j++ {
		f.op("MULXQ %s, AX, %s", x(j), acc(j+1))
		if j == 1 {
			f.op("ADDQ AX, %s", acc(j))
		} else {
			f.op("ADCQ AX, %s", acc(j))
		}
	}
	f.op("ADCQ $0, %s", acc(4))
	for i := 1; i < 4; i++ {
		f.op("MOVQ %s, DX", y(i))
		f.op("XORL %s, %s", acc(i+4), acc(i+4)) // clears both carries
		for j := range 4 {
			f.op("MULXQ %s, AX, BX", x(j))
			f.op("ADCXQ AX, %s", acc(i+j))
			f.op("ADOXQ BX, %s", acc(i+j+1))
		}
		f.op("MOVL $0, AX")
		f.op("ADCXQ AX, %s", acc(i+4))
	}
	fold617(f)
}

// square617 leaves x², folded once, in acc(0) to acc(3) and BX: 6 products of different limbs, doubled, and 4 squares.
func square617(f *field, x func(int) string) {
	f.op("MOVQ %s, DX", x(0))
	f.op("MULXQ %s, %s, %s", x(1), acc(1), acc(2))
	f.op("MULXQ %s, AX, %s", x(2), acc(3))
	f.op("ADDQ AX, %s", acc(2))
	f.op("MULXQ %s, AX, %s", x(3), acc(4))
	f.op("ADCQ AX, %s", acc(3))
	f.op("ADCQ $0, %s", acc(4))
	f.op("MOVQ %s, DX", x(1))
	f.op("MULXQ %s, AX, BX", x(2))
	f.op("MULXQ %s, %s, %s", x(3), acc(7), acc(5))
	f.op("ADDQ %s, BX", acc(7))
	f.op("ADCQ $0, %s", acc(5))
	f.op("ADDQ AX, %s", acc(3))
	f.op("ADCQ BX, %s", acc(4))
	f.op("MOVQ %s, DX", x(2))
	f.op("MULXQ %s, AX, %s", x(3), acc(6))
	f.op("ADCQ AX, %s", acc(5))
	f.op("ADCQ $0, %s", acc(6))
	f.op("XORL %s, %s", acc(7), acc(7)) // clears both carries
	for i := range 4 {
		f.op("MOVQ %s, DX", x(i))
		if i == 0 {
			f.op("MULXQ DX, %s, BX", acc(0))
		} else {
			f.op("MULXQ DX, AX, BX")
			f.op("ADCXQ %s, %s", acc(2*i), acc(2*i))
			f.op("ADOXQ AX, %s", acc(2*i))
		}
		f.op("ADCXQ %s, %s", acc(2*i+1), acc(2*i+1))
		f.op("ADOXQ BX, %s", acc(2*i+1))
	}
	fold617(f)
}

// fold617 adds 617 times the upper half to the lower. The limb above, in BX, is at most 617.
func fold617(f *field) {
	f.op("MOVL $%d, DX", c617)
	f.op("XORL AX, AX") // clears both carries
	for i := range 4 {
		f.op("MULXQ %s, AX, BX", acc(4+i))
		f.op("ADCXQ AX, %s", acc(i))
		if i < 3 {
			f.op("ADOXQ BX, %s", acc(i+1))
		}
	}
	f.op("MOVL $0, AX")
	f.op("ADOXQ AX, BX")
	f.op("ADCXQ AX, BX")
}
