package streebog

import "hash"

//go:generate go run ./internal/gen .

// implementation is a way to compute the compression function. All of them give the same results; which ones run depends
// on the processor. The build tag purego leaves only generic.
type implementation uint8

const (
	generic implementation = iota // portable Go, the reference
	table                         // the same lookups in amd64 assembly
	avx512                        // amd64 with AVX-512 F, BW, VBMI and GFNI
)

func (im implementation) String() string { return [...]string{"generic", "table", "avx512"}[im] }

// Implementation is one of the ways this package can hash. It is of use to tests and benchmarks that compare them; all
// others call [New256] and [New512], which take the fastest.
type Implementation struct{ im implementation }

// Implementations returns those that run on this processor, the fastest first.
func Implementations() []Implementation {
	list := make([]Implementation, 0, len(available))
	for _, im := range available {
		list = append(list, Implementation{im})
	}
	return list
}

// String returns the name: "generic", "table" or "avx512".
func (i Implementation) String() string { return i.im.String() }

// New256 returns a Streebog-256 hash that is computed this way.
func (i Implementation) New256() hash.Hash { return newDigest(i.im, Size256) }

// New512 returns a Streebog-512 hash that is computed this way.
func (i Implementation) New512() hash.Hash { return newDigest(i.im, Size512) }
