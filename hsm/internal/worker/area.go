package worker

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The area is a file in memory which both sides map. It is sealed: a child that made it shorter would let the parent run
// into a bus error.
//
// A place belongs to the parent while its turn is idle or answered, and to the child while it is asked. Each side writes
// data and length before it hands the turn over.
const (
	headSize  = 64 // a cache line
	wholeSize = 64 << 10
	placeSize = wholeSize - headSize // most octets of a request or an answer
)

// Turns of a place.
const (
	idle uint32 = iota
	asked
	answered
	abandoned // the parent has given the worker up
)

type sharedPlace struct {
	turn   *atomic.Uint32
	length *atomic.Uint32
	data   []byte // placeSize octets
}

type area struct {
	file   *os.File // the child's descriptor is made from it
	memory []byte
	places []*sharedPlace

	mutex  sync.Mutex
	closed bool
}

func newArea(places int) (*area, error) {
	fd, err := unix.MemfdCreate("epov-worker", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("worker: shared memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "area")
	err = unix.Ftruncate(fd, int64(places)*wholeSize)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	var a *area
	if err == nil {
		a, err = mapArea(fd, places)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("worker: shared memory: %w", err)
	}
	a.file = f
	return a, nil
}

func mapArea(fd, places int) (*area, error) {
	memory, err := unix.Mmap(fd, 0, places*wholeSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	a := &area{memory: memory}
	for i := range places {
		whole := memory[i*wholeSize : (i+1)*wholeSize : (i+1)*wholeSize]
		a.places = append(a.places, &sharedPlace{
			turn:   (*atomic.Uint32)(unsafe.Pointer(&whole[0])),
			length: (*atomic.Uint32)(unsafe.Pointer(&whole[4])),
			data:   whole[headSize:],
		})
	}
	return a, nil
}

// giveUp ends every wait of the parent.
func (a *area) giveUp() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.closed {
		return
	}
	for _, p := range a.places {
		p.hand(abandoned)
	}
}

// close may be called any number of times, when nobody waits.
func (a *area) close() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if !a.closed {
		a.closed = true
		_ = unix.Munmap(a.memory)
	}
}

// ask hands a request over and waits for the answer, whose length it gives as the other side says it. It returns too when
// the worker is dead, or when the turn is none that an answer leaves: ok is false then.
func (p *sharedPlace) ask(length int, dead *atomic.Bool) (n int, ok bool) {
	p.length.Store(uint32(length))
	p.turn.Store(asked)
	p.wake()
	for p.turn.Load() == asked && !dead.Load() { // giveUp may have come before the turn was taken
		p.sleep(asked, &nap)
	}
	return int(p.length.Load()), p.turn.Load() == answered
}

// nap is how long the parent sleeps without a look at whether the worker is dead. A child can move who sleeps to another futex
// (FUTEX_REQUEUE), where no wake-up arrives, and a process that it has left behind can take the turn back.
var nap = unix.NsecToTimespec(time.Second.Nanoseconds())

// next waits for a request, in the child, and gives its length.
func (p *sharedPlace) next() int {
	for {
		turn := p.turn.Load()
		if turn == asked {
			return int(p.length.Load())
		}
		p.sleep(turn, nil)
	}
}

// reply hands an answer over, in the child.
func (p *sharedPlace) reply(length int) {
	p.length.Store(uint32(length))
	p.hand(answered)
}

func (p *sharedPlace) hand(turn uint32) {
	p.turn.Store(turn)
	p.wake()
}

// sleep returns when the turn may be another, and after the time, nil for any. The thread sleeps in the kernel; it is no futex of
// one process alone.
func (p *sharedPlace) sleep(turn uint32, most *unix.Timespec) {
	const futexWait = 0
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p.turn)), futexWait, uintptr(turn),
		uintptr(unsafe.Pointer(most)), 0, 0)
}

func (p *sharedPlace) wake() {
	const futexWake = 1
	// It does not block, so the Go scheduler need not know.
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p.turn)), futexWake, 1, 0, 0, 0)
}
