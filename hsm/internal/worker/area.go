package worker

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
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
	bell   int    // the child's descriptor

	waiting atomic.Bool   // in the parent: somebody is to be told when the turn is another
	told    chan struct{} // of room 1
}

// The child's threads sleep until they are woken through the memory itself. The parent's goroutines do not: each would hold a
// thread, which the Go runtime has to notice and to replace. The child rings a bell, an eventfd, which goes the way of all
// descriptors, and whoever hears it tells those whose turns have changed.
type area struct {
	file   *os.File // the child's descriptors are made from these two
	bell   int
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
		a, err = mapArea(fd, 0, places)
	}
	if err == nil {
		a.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			a.close()
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("worker: shared memory: %w", err)
	}
	a.file = f
	return a, nil
}

func mapArea(fd, bell, places int) (*area, error) {
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
			bell:   bell,
			told:   make(chan struct{}, 1),
		})
	}
	return a, nil
}

// bells makes the parent's end of the bell, once the child has been started with its own.
func (a *area) bells() (ours func() *os.File, theirs *os.File, err error) {
	fd, err := unix.FcntlInt(uintptr(a.bell), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(a.bell)
		return nil, nil, fmt.Errorf("worker: bell: %w", err)
	}
	return func() *os.File {
		_ = unix.SetNonblock(a.bell, true) // starting a process has both ends block
		return os.NewFile(uintptr(a.bell), "bell")
	}, os.NewFile(uintptr(fd), "bell"), nil
}

// giveUp ends every wait of the parent.
func (a *area) giveUp() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.closed {
		return
	}
	for _, p := range a.places {
		p.turn.Store(abandoned)
		p.wake()
		p.tell()
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
	for {
		p.waiting.Store(true)
		// The answer, or giveUp, may have come before.
		if (p.turn.Load() != asked || dead.Load()) && p.waiting.CompareAndSwap(true, false) {
			break
		}
		<-p.told
		if p.turn.Load() != asked || dead.Load() {
			break
		}
	}
	return int(p.length.Load()), p.turn.Load() == answered
}

// tell wakes who waits for the answer, if anybody does.
func (p *sharedPlace) tell() {
	if p.waiting.CompareAndSwap(true, false) {
		p.told <- struct{}{}
	}
}

// hear tells those whose turns have changed, each time that the bell rings, until it is closed or rings more often than it was
// asked to, by the count of requests. It gives true in the second case.
func (a *area) hear(bell *os.File, requests *atomic.Int64) (talks bool) {
	var count [8]byte
	for rung := int64(0); ; {
		if n, err := bell.Read(count[:]); err != nil || n != len(count) {
			return false
		}
		times := binary.NativeEndian.Uint64(count[:])
		if times > 1<<32 {
			return true
		}
		if rung += int64(times); rung > requests.Load() {
			return true
		}
		for _, p := range a.places {
			if p.waiting.Load() && p.turn.Load() != asked {
				p.tell()
			}
		}
	}
}

// next waits for a request, in the child, and gives its length.
func (p *sharedPlace) next() int {
	for {
		turn := p.turn.Load()
		if turn == asked {
			return int(p.length.Load())
		}
		p.sleep(turn)
	}
}

// reply hands an answer over, in the child.
func (p *sharedPlace) reply(length int) {
	p.length.Store(uint32(length))
	p.hand(answered)
}

// hand gives the turn back, in the child.
func (p *sharedPlace) hand(turn uint32) {
	p.turn.Store(turn)
	one := [8]byte{}
	binary.NativeEndian.PutUint64(one[:], 1)
	// It does not block, so the Go scheduler need not know.
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
}

// sleep returns when the turn may be another. The thread sleeps in the kernel; it is no futex of one process alone.
func (p *sharedPlace) sleep(turn uint32) {
	const futexWait = 0
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p.turn)), futexWait, uintptr(turn), 0, 0, 0)
}

// wake wakes the child's thread.
func (p *sharedPlace) wake() {
	const futexWake = 1
	// It does not block, so the Go scheduler need not know.
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(p.turn)), futexWake, 1, 0, 0, 0)
}
