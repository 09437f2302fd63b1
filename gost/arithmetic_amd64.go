//go:build !purego

package gost

import "golang.org/x/sys/cpu"

//go:generate go run ./internal/fieldasm arithmetic_amd64.s

// adx says that this processor multiplies with MULX, ADCX and ADOX (BMI2, ADX), and that the assembly is used. Tests
// turn it off to run both paths.
var adx = cpu.X86.HasBMI2 && cpu.X86.HasADX

//go:noescape
func mul617ADX(z, x, y *fe)

//go:noescape
func sqr617ADX(z, x *fe)

//go:noescape
func mul569ADX(z, x, y *fe)

//go:noescape
func sqr569ADX(z, x *fe)

//go:noescape
func doubleJacobian617ADX(r, u *point, n int)

//go:noescape
func addJacobian617ADX(r, u *point, v *entry)

//go:noescape
func doubleEdwards617ADX(r, u *point, n int)

//go:noescape
func addEdwards617ADX(r, u *point, v *entry)

//go:noescape
func doubleJacobian569ADX(r, u *point, n int)

//go:noescape
func addJacobian569ADX(r, u *point, v *entry)

//go:noescape
func doubleEdwards569ADX(r, u *point, n int)

//go:noescape
func addEdwards569ADX(r, u *point, v *entry)

//go:noescape
func chooseSSE2(words *[24]uint64, table *uint64, entries, octets, index uint64)

func mul617(z, x, y *fe) {
	if adx {
		mul617ADX(z, x, y)
	} else {
		mul617Generic(z, x, y)
	}
}

func sqr617(z, x *fe) {
	if adx {
		sqr617ADX(z, x)
	} else {
		sqr617Generic(z, x)
	}
}

func mul569(z, x, y *fe) {
	if adx {
		mul569ADX(z, x, y)
	} else {
		mul569Generic(z, x, y)
	}
}

func sqr569(z, x *fe) {
	if adx {
		sqr569ADX(z, x)
	} else {
		sqr569Generic(z, x)
	}
}

// doubleAssembly sets r = 2^n·u, n ≥ 1, and reports true, or does nothing and reports false.
func (c *curve) doubleAssembly(r, u *point, n int) bool {
	switch {
	case !adx:
		return false
	case c.p.form == special617 && c.edwards != nil:
		doubleEdwards617ADX(r, u, n)
	case c.p.form == special617:
		doubleJacobian617ADX(r, u, n)
	case c.p.form == special569 && c.edwards != nil:
		doubleEdwards569ADX(r, u, n)
	case c.p.form == special569:
		doubleJacobian569ADX(r, u, n)
	default:
		return false
	}
	return true
}

// addAssembly is addUnequal by assembly and reports true, or does nothing and reports false.
func (c *curve) addAssembly(r, u *point, v *entry) bool {
	switch {
	case !adx:
		return false
	case c.p.form == special617 && c.edwards != nil:
		addEdwards617ADX(r, u, v)
	case c.p.form == special617:
		addJacobian617ADX(r, u, v)
	case c.p.form == special569 && c.edwards != nil:
		addEdwards569ADX(r, u, v)
	case c.p.form == special569:
		addJacobian569ADX(r, u, v)
	default:
		return false
	}
	return true
}

// chooseWords sets words to the entry with the index, reading all of the table.
func (t *comb) chooseWords(words *[24]uint64, table []uint64, index uint64) {
	if adx {
		chooseSSE2(words, &table[0], uint64(t.size()), uint64(8*t.words), index)
	} else {
		t.chooseWordsGeneric(words, table, index)
	}
}
