//go:build !purego

package xmltext

import "golang.org/x/sys/cpu"

var useAVX2 = cpu.X86.HasAVX2

// classify classifies the words of block from first up to last, 64 octets each, and stops at one that word has to look at.
func (x *index) classify(block []byte, first, last int) int {
	if !useAVX2 {
		return x.classifyPortable(block, first, last)
	}
	_ = block[last<<6-1]
	return classifyAVX2(x, &block[0], first, last)
}

//go:noescape
func classifyAVX2(x *index, block *byte, first, last int) (next int)
