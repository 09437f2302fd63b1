package daemon

import "runtime"

// heapFloor is how much of the heap the collector takes for live although nothing lies there.
const heapFloor = 16 << 20

var floor []byte

// SpareCollector has garbage collected when the heap has grown to 32 MiB and twice what is in use, instead of 4 MiB or twice
// what is in use: a service holds a few MiB, makes ten to fifteen KiB of garbage a message, and would otherwise collect every
// few hundred messages. It does so by reserving address space that nobody touches and that takes no memory, so that GOGC and
// GOMEMLIMIT keep their meaning, and a heap of any size is collected no more than 16 MiB later than by default.
func SpareCollector() {
	floor = make([]byte, heapFloor)
	runtime.KeepAlive(floor)
}
