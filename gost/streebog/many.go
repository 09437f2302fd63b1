package streebog

// lanes is how many messages are hashed side by side.
const lanes = 4

// lane is one message under way.
type lane struct {
	state
	tail
	rest  []byte // the end of the message that fills no block
	index int    // of the message
}

// start begins message i and returns its first blocks; a message has one at least, that of its tail.
func (l *lane) start(size, i int, msg []byte) []byte {
	whole := len(msg) &^ (BlockSize - 1)
	*l = lane{state: start(size), rest: msg[whole:], index: i}
	if whole > 0 {
		return msg[:whole]
	}
	return l.next(&l.state, l.rest)
}

// SumMany256 sets dst[i] to the Streebog-256 digest of msgs[i] for each message. Where the processor has AVX-512 it
// hashes four messages side by side, of any lengths, and takes the next as soon as one ends: about 1.4 times as fast as
// one after another. It works on the caller's goroutine and allocates nothing. It panics if dst is shorter than msgs.
func SumMany256(dst [][Size256]byte, msgs [][]byte) {
	dst = dst[:len(msgs)]
	sumMany(available[0], Size256, msgs, func(i int) []byte { return dst[i][:] })
}

// SumMany512 is [SumMany256] with Streebog-512.
func SumMany512(dst [][Size512]byte, msgs [][]byte) {
	dst = dst[:len(msgs)]
	sumMany(available[0], Size512, msgs, func(i int) []byte { return dst[i][:] })
}

func sumMany(im implementation, size int, msgs [][]byte, out func(i int) []byte) {
	// The first active entries of run and data are under way; data[j] is never empty for them. What a lane absorbs may
	// lie in its own tail, therefore lanes change places by pointer.
	var pool [lanes]lane
	var run [lanes]*lane
	var states [lanes]*state
	var data [lanes][]byte
	for j := range run {
		run[j] = &pool[j]
	}
	active, begun := 0, 0
	for {
		for ; active < lanes && begun < len(msgs); active++ {
			data[active] = run[active].start(size, begun, msgs[begun])
			begun++
		}
		if active == 0 {
			return
		}
		n := maxBlocks
		for j := range active {
			states[j] = &run[j].state
			n = min(n, len(data[j])/BlockSize)
		}
		blocksMany(im, &states, &data, active, n)
		for j := active - 1; j >= 0; j-- {
			l := run[j]
			if data[j] = data[j][n*BlockSize:]; len(data[j]) > 0 {
				continue
			}
			if data[j] = l.next(&l.state, l.rest); data[j] == nil {
				l.h.digest(out(l.index))
				active--
				run[j], run[active] = run[active], l
				data[j] = data[active]
			}
		}
	}
}
