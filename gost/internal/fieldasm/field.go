package main

import "fmt"

// field writes arithmetic modulo p = 2^(64·limbs) − c. Elements are any integers of the limbs that represent the residue.
//
// Operations on numbers in memory happen in three parts. product or square leave a number in the registers acc(0), …
// with a limb above in BX; terms are added to it or subtracted; finish folds the limb above and stores. So a formula such
// as x = α² − β − γ is reduced and stored once. AX, BX, DX and R8 to R15 are used throughout.
type field struct {
	*writer
	limbs, c int
	// arguments are names of pointers; with 4 limbs they stay in registers, with 8 they are loaded where they are used
	arguments map[string]argument
}

type argument struct {
	register string // "" when it is on the stack alone
	name     string // with the offset from FP
}

// operand is an integer in memory, least significant limb first. The base is the name of an argument, or SP.
type operand struct {
	base   string
	offset int
}

// term is an operand that is added, or subtracted; or twice.
type term struct {
	minus bool
	operand
}

func plus(o operand) term  { return term{false, o} }
func minus(o operand) term { return term{true, o} }

// twice doubles what stands so far.
var twice = term{operand: operand{base: "twice"}}

// acc names the register of a limb.
func acc(i int) string { return fmt.Sprintf("R%d", 8+i) }

// temporary is a number in the frame.
func (f *field) temporary(i int) operand { return operand{"SP", 8 * f.limbs * i} }

// open makes the limbs of an operand addressable, by the register given when its pointer is on the stack, and returns a
// function that names them.
func (f *field) open(o operand, register string) func(limb int) string {
	if a, ok := f.arguments[o.base]; ok {
		if a.register == "" {
			f.op("MOVQ %s, %s", a.name, register)
			o.base = register
		} else {
			o.base = a.register
		}
	}
	return func(limb int) string { return fmt.Sprintf("%d(%s)", o.offset+8*limb, o.base) }
}

// begin opens a function whose arguments are pointers.
func (f *field) begin(name, signature string, frame int, arguments ...string) {
	fmt.Fprintf(f, "\n// func %s%s\nTEXT ·%s(SB), NOSPLIT, $%d-%d\n", name, signature, name, frame, 8*len(arguments))
	f.arguments = map[string]argument{}
	for i, a := range arguments {
		arg := argument{name: fmt.Sprintf("%s+%d(FP)", a, 8*i)}
		if f.limbs == 4 {
			arg.register = []string{"DI", "SI", "CX"}[i]
			f.op("MOVQ %s, %s", arg.name, arg.register)
		}
		f.arguments[a] = arg
	}
}

func (f *field) end() { f.op("RET") }

// beginRepeated opens a function that repeats a formula with the result r for the argument u, n times, n ≥ 1.
func (f *field) beginRepeated(name string, frame int) {
	f.begin(name, "(r, u *point, n int)", frame, "r", "u", "n")
	f.raw("again:\n")
}

func (f *field) endRepeated() {
	if f.limbs == 4 {
		f.op("MOVQ DI, SI")
	} else {
		f.op("MOVQ r+0(FP), AX")
		f.op("MOVQ AX, u+8(FP)")
	}
	f.op("DECQ n+16(FP)")
	f.op("JNZ again")
	f.end()
}

// mul sets z = x·y + the terms.
func (f *field) mul(z, x, y operand, terms ...term) {
	if f.limbs == 4 {
		product617(f, f.open(x, ""), f.open(y, ""))
	} else {
		f.pointer(x, "SI")
		f.pointer(y, "DI")
		f.op("CALL product569<>(SB)")
	}
	f.finish(z, terms)
}

// sqr sets z = x² + the terms.
func (f *field) sqr(z, x operand, terms ...term) {
	if f.limbs == 4 {
		square617(f, f.open(x, ""))
	} else {
		f.pointer(x, "SI")
		f.op("CALL square569<>(SB)")
	}
	f.finish(z, terms)
}

// sum sets z to the sum of the terms, the first of them not negative.
func (f *field) sum(z operand, terms ...term) {
	first := f.open(terms[0].operand, "SI")
	for i := range f.limbs {
		f.op("MOVQ %s, %s", first(i), acc(i))
	}
	f.op("XORL BX, BX")
	f.finish(z, terms[1:])
}

// pointer loads the address of an operand.
func (f *field) pointer(o operand, register string) {
	f.op("LEAQ %s, %s", f.open(o, register)(0), register)
}

// finish adds the terms to the number in registers, whose limb above is below 2^10 and stays below 2^12, folds what runs over twice, and
// stores. After the first fold the number can only lie within 2^22 of the bounds that it overran, so that the second
// carries no further than the lowest limb.
func (f *field) finish(z operand, terms []term) {
	signed := false
	for _, t := range terms {
		if t == twice {
			for i := range f.limbs {
				f.op("%s %s, %s", [2]string{"ADDQ", "ADCQ"}[min(i, 1)], acc(i), acc(i))
			}
			f.op("ADCQ BX, BX")
			continue
		}
		instructions := [2]string{"ADDQ", "ADCQ"}
		if t.minus {
			instructions = [2]string{"SUBQ", "SBBQ"}
			signed = true
		}
		limb := f.open(t.operand, "SI")
		for i := range f.limbs {
			f.op("%s %s, %s", instructions[min(i, 1)], limb(i), acc(i))
		}
		f.op("%s $0, BX", instructions[1])
	}
	f.op("IMUL3Q $%d, BX, BX", f.c)
	extension := "$0"
	if signed {
		extension = "AX"
		f.op("MOVQ BX, AX")
		f.op("SARQ $63, AX")
	}
	f.op("ADDQ BX, %s", acc(0))
	for i := 1; i < f.limbs; i++ {
		f.op("ADCQ %s, %s", extension, acc(i))
	}
	if signed {
		f.op("ADCQ $0, AX") // −1, 0 or 1
		f.op("IMUL3Q $%d, AX, AX", f.c)
	} else {
		f.op("SBBQ AX, AX")
		f.op("ANDQ $%d, AX", f.c)
	}
	f.op("ADDQ AX, %s", acc(0))
	limb := f.open(z, "SI")
	for i := range f.limbs {
		f.op("MOVQ %s, %s", acc(i), limb(i))
	}
}

// functions writes multiplication and squaring for Go to call.
func (f *field) functions(name string) {
	f.begin("mul"+name+"ADX", "(z, x, y *fe)", 0, "z", "x", "y")
	f.mul(operand{"z", 0}, operand{"x", 0}, operand{"y", 0})
	f.end()
	f.begin("sqr"+name+"ADX", "(z, x *fe)", 0, "z", "x")
	f.sqr(operand{"z", 0}, operand{"x", 0})
	f.end()
}
