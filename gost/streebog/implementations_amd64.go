//go:build !purego

package streebog

import "golang.org/x/sys/cpu"

var available = func() []implementation {
	x := &cpu.X86
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VBMI && x.HasAVX512GFNI {
		return []implementation{avx512, table, generic}
	}
	return []implementation{table, generic}
}()

// The kernels absorb n ≥ 1 blocks of each message, as blocksGeneric does. The states are distinct; messages may overlap.

//go:noescape
func blocksTable(s *state, p *byte, n int)

//go:noescape
func blocksAVX512(s *state, p *byte, n int)

//go:noescape
func blocks2AVX512(s *[2]*state, p *[2]*byte, n int)

//go:noescape
func blocks3AVX512(s *[3]*state, p *[3]*byte, n int)

//go:noescape
func blocks4AVX512(s *[4]*state, p *[4]*byte, n int)

// blocks absorbs every block of p.
func (s *state) blocks(im implementation, p []byte) {
	if im == generic {
		blocksGeneric(s, p)
		return
	}
	for len(p) >= BlockSize {
		n := min(len(p)/BlockSize, maxBlocks)
		if im == avx512 {
			blocksAVX512(s, &p[0], n)
		} else {
			blocksTable(s, &p[0], n)
		}
		p = p[n*BlockSize:]
	}
}

// blocksMany absorbs n blocks of data[i] into s[i] for each i below active, side by side where the processor can.
// 1 ≤ active ≤ lanes and 1 ≤ n ≤ maxBlocks.
func blocksMany(im implementation, s *[lanes]*state, data *[lanes][]byte, active, n int) {
	if im != avx512 {
		for i := range active {
			s[i].blocks(im, data[i][:n*BlockSize])
		}
		return
	}
	var p [lanes]*byte
	for i := range active {
		p[i] = &data[i][:n*BlockSize][0]
	}
	switch active {
	case 1:
		blocksAVX512(s[0], p[0], n)
	case 2:
		blocks2AVX512((*[2]*state)(s[:]), (*[2]*byte)(p[:]), n)
	case 3:
		blocks3AVX512((*[3]*state)(s[:]), (*[3]*byte)(p[:]), n)
	case 4:
		blocks4AVX512(s, &p, n)
	}
}
