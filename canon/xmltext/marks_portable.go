//go:build !amd64 || purego

package xmltext

// classify classifies the words of block from first up to last, 64 octets each, and stops at one that word has to look at.
func (x *index) classify(block []byte, first, last int) int {
	return x.classifyPortable(block, first, last)
}
