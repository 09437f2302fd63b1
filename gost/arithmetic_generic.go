//go:build !amd64 || purego

package gost

// adx says that the assembly is used: never here.
var adx = false

func mul617(z, x, y *fe) { mul617Generic(z, x, y) }
func sqr617(z, x *fe)    { sqr617Generic(z, x) }
func mul569(z, x, y *fe) { mul569Generic(z, x, y) }
func sqr569(z, x *fe)    { sqr569Generic(z, x) }

func (c *curve) doubleAssembly(r, u *point, n int) bool { return false }
func (c *curve) addAssembly(r, u *point, v *entry) bool { return false }

func (t *comb) chooseWords(words *[24]uint64, table []uint64, index uint64) {
	t.chooseWordsGeneric(words, table, index)
}

func verifyBatchAssembly(keys []*PreparedKey, digests, signatures [][]byte, errs []error) bool {
	return false
}
