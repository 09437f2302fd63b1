//go:build !amd64 || purego

package streebog

var available = []implementation{generic}

func (s *state) blocks(_ implementation, p []byte) { blocksGeneric(s, p) }

// blocksMany absorbs n blocks of data[i] into s[i] for each i below active.
func blocksMany(im implementation, s *[lanes]*state, data *[lanes][]byte, active, n int) {
	for i := range active {
		s[i].blocks(im, data[i][:n*BlockSize])
	}
}
