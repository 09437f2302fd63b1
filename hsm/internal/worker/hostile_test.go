package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

// hostileMode names the attack of a child that is none of ours any more, such as one whose module took it over.
const hostileMode = "WORKER_TEST_HOSTILE"

// attacker is such a child: it has answered the handshake, and holds what a worker holds.
type attacker struct {
	*control
	*area
	deaf chan struct{} // closed: it listens no more

}

// answer is a signature of 64 octets, all of them b.
func (a *attacker) answer(p *sharedPlace, b byte) {
	q := writer{b: p.data}
	q.word(done)
	q.octets(bytes.Repeat([]byte{b}, 64))
	p.reply(q.n)
}

const (
	futexRequeue = 3
	forever      = 1 << 30
)

func futex(word *uint32, op, v1, v2 uintptr, other *uint32) {
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), op, v1, v2, uintptr(unsafe.Pointer(other)), 0)
}

// attacks are what the child does once the first place was opened, of which p is the shared part.
var attacks = map[string]func(a *attacker, p *sharedPlace){
	"silent": func(*attacker, *sharedPlace) {},
	// It moves the thread that waits for the answer to a futex that nobody wakes.
	"requeue": func(_ *attacker, p *sharedPlace) {
		var trap uint32
		for {
			futex((*uint32)(unsafe.Pointer(p.turn)), futexRequeue, 0, forever, &trap)
			time.Sleep(time.Millisecond)
		}
	},
	// It leaves a process behind that keeps the turn for itself, whatever the parent writes.
	"heir": func(_ *attacker, p *sharedPlace) {
		child, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno == 0 && child == 0 {
			for range 1 << 28 { // some seconds; of the Go runtime there is only this thread
				p.turn.Store(asked)
			}
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		os.Exit(0)
	},
	// It does not listen, and says by itself that it is alive.
	"deaf": func(a *attacker, _ *sharedPlace) {
		close(a.deaf)
		for {
			_ = a.send(sayAlive, nil)
			time.Sleep(5 * time.Millisecond)
		}
	},
	// Answers and lengths change while they are read.
	"changing": func(a *attacker, p *sharedPlace) {
		go func() {
			for n := uint32(0); ; n++ {
				p.length.Store(n * 7919 % (placeSize + 64))
				binary.LittleEndian.PutUint64(p.data[8:], uint64(n)*7919%256)
			}
		}()
		for b := byte(0); ; b++ {
			p.next()
			a.answer(p, b)
		}
	},
	// Turns change at any time, to ones that there are and to others.
	"turning": func(a *attacker, p *sharedPlace) {
		for n := uint32(0); ; n++ {
			p.hand([]uint32{idle, answered, asked, abandoned, 77, 1 << 31}[n*7919>>3%6])
		}
	},
	// The turn comes back as it was before the request.
	"idle": func(a *attacker, p *sharedPlace) {
		p.next()
		p.hand(idle)
	},
	"abandoned": func(a *attacker, p *sharedPlace) {
		p.next()
		p.hand(abandoned)
	},
	"giant": func(a *attacker, p *sharedPlace) {
		p.next()
		p.reply(1<<32 - 1)
	},
	// Wake-ups without end and without an answer.
	"storm": func(_ *attacker, p *sharedPlace) {
		for {
			p.wake()
		}
	},
	// It cuts the area off, or holes into it, under the parent.
	"cut": func(a *attacker, p *sharedPlace) {
		p.next()
		time.Sleep(100 * time.Millisecond) // until the parent waits: it must not see the turn that the hole leaves
		for _, length := range []int64{0, 4096} {
			if unix.Ftruncate(areaDescriptor, length) == nil {
				a.answer(p, 'C')
				return
			}
		}
		_, _ = unix.FcntlInt(areaDescriptor, unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
		_ = unix.Fallocate(areaDescriptor, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, wholeSize)
		_ = unix.Madvise(a.memory[:wholeSize], unix.MADV_REMOVE)
		a.answer(p, 'S')
		p.next() // that one was read
		_ = unix.Madvise(a.memory[:wholeSize], unix.MADV_REMOVE)
	},
	"unasked": func(a *attacker, _ *sharedPlace) {
		for {
			_ = a.send(sayInitialise, []byte("{}"))
		}
	},
	// It rings though nothing was asked.
	"ringing": func(a *attacker, p *sharedPlace) {
		p.next()
		for {
			one := [8]byte{1}
			_, _ = unix.Write(bellDescriptor, one[:])
		}
	},
	"pealing": func(a *attacker, p *sharedPlace) {
		p.next()
		all := binary.NativeEndian.AppendUint64(nil, 1<<64-2)
		_, _ = unix.Write(bellDescriptor, all)
	},
	// It takes the bell's sound away before the parent hears it.
	"muffled": func(a *attacker, p *sharedPlace) {
		go func() {
			var count [8]byte
			for {
				_, _ = unix.Read(bellDescriptor, count[:])
			}
		}()
		for {
			p.next()
			a.answer(p, 'M')
		}
	},
	"chatty": func(a *attacker, _ *sharedPlace) {
		for {
			_ = a.send(sayAlive, nil)
		}
	},
	"empty": func(a *attacker, _ *sharedPlace) {
		_ = unix.Sendto(controlDescriptor, nil, 0, nil)
	},
	"closed": func(*attacker, *sharedPlace) {
		_ = unix.Shutdown(controlDescriptor, unix.SHUT_RDWR)
	},
	// It fills the parent's table of descriptors, if that takes any.
	"descriptors": func(a *attacker, p *sharedPlace) {
		for range 100 {
			_ = unix.Sendmsg(controlDescriptor, []byte{sayAlive}, unix.UnixRights(slices.Repeat([]int{areaDescriptor}, 200)...), nil, 0)
		}
		p.next()
		a.answer(p, 'D')
	},
}

// hostile is the life of such a child, when the process is one.
func hostile() {
	mode := os.Getenv(hostileMode)
	if mode == "" || len(os.Args) != 2 || os.Args[0] != marker {
		return
	}
	a := &attacker{control: newControl(controlDescriptor), deaf: make(chan struct{})}
	_ = unix.SetNonblock(controlDescriptor, true)
	reply := func(kind byte, body any) {
		c := child{control: a.control}
		c.answer(kind, nil, body)
	}
	for {
		m, err := a.control.receive()
		if err != nil && mode != "closed" {
			os.Exit(1)
		}
		switch m.kind {
		case sayHello:
			var h hello
			if json.Unmarshal(m.body, &h) != nil {
				os.Exit(2)
			}
			if mode == "dumb" {
				continue
			}
			if a.area, err = mapArea(areaDescriptor, bellDescriptor, h.Places); err != nil {
				os.Exit(3)
			}
			reply(m.kind, welcome{version, Report{Filter: strings.Repeat("\n", 5000)}})
		case sayInitialise:
			if mode != "uninitialised" {
				reply(m.kind, nil)
			}
		case sayOpen:
			go attacks[mode](a, a.places[int(m.body[0])|int(m.body[1])<<8])
		case sayAlive:
			_ = a.send(sayAlive, nil)
		}
		select {
		case <-a.deaf:
			select {}
		default:
		}
	}
}

// takeHostile starts a child with an attack in mind.
func takeHostile(t *testing.T, mode string, callTime time.Duration) *Worker {
	t.Helper()
	t.Setenv(hostileMode, mode)
	supply, err := NewSupply(Options{Module: softhsm.NewNoop(t).Module, Calls: 4, CallTime: callTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(supply.Close)
	w, err := supply.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Whatever a child does that is not ours any more, a call ends, with its answer or with the worker's end, not later than the
// watch has it, and nothing of the child is left.
func TestHostileChild(t *testing.T) {
	descriptors := openDescriptors(t)
	for _, tc := range []struct {
		mode   string
		answer byte // of a signature that is given; 0: none is
		reason string
	}{
		{"silent", 0, "takes longer"}, {"requeue", 0, "takes longer"}, {"storm", 0, "takes longer"},
		{"heir", 0, ""},
		{"idle", 0, "without an answer"}, {"abandoned", 0, "without an answer"}, {"giant", 0, "octets"},
		{"turning", 0, ""}, {"changing", 0, ""},
		{"cut", 'S', ""},
		{"ringing", 0, "more than it was asked"}, {"pealing", 0, "more than it was asked"}, {"muffled", 0, ""},
		{"unasked", 0, "more than it was asked"}, {"chatty", 0, "more than it was asked"},
		{"empty", 0, "socket has ended"}, {"closed", 0, "socket has ended"},
		{"descriptors", 0, "more than it was asked"},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			callTime := 800 * time.Millisecond
			if strings.Contains(tc.reason, "socket") {
				callTime = 3 * time.Second // its process is given time to end
			}
			w := takeHostile(t, tc.mode, callTime)
			var calls sync.WaitGroup
			var given atomic.Int64
			start := time.Now()
			for range 2 {
				calls.Go(func() {
					for time.Since(start) < callTime {
						signature, err := w.Sign(nil, 1, p11.MechGOST, 2, make([]byte, 32))
						if err == p11.ErrLost {
							return
						}
						if err == nil {
							given.Add(1)
						}
						if err == nil && tc.answer != 0 && !bytes.Equal(signature, bytes.Repeat([]byte{tc.answer}, 64)) {
							t.Errorf("% x", signature)
						}
					}
				})
			}
			calls.Wait()
			if took := time.Since(start); took > 10*callTime {
				t.Errorf("a call took %v", took)
			}
			if tc.answer != 0 && given.Load() == 0 {
				t.Error("no answer: ", w.Reason())
			}
			if tc.reason != "" && (w.Reason() == nil || !strings.Contains(w.Reason().Error(), tc.reason)) {
				t.Errorf("its end: %v", w.Reason())
			}
			w.Kill(errors.New("done"))
			select {
			case <-w.gone:
			case <-time.After(10 * time.Second):
				t.Fatal("not reaped")
			}
			t.Logf("%d answers; %v", given.Load(), w.Reason())
		})
	}
	await.True(t, "the descriptors to be closed", func() bool { return openDescriptors(t) <= descriptors+4 })
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A child that does not read what it is told holds up neither the watch nor, once the watch has had enough, a call.
func TestDeafChild(t *testing.T) {
	const callTime = 80 * time.Millisecond
	w := takeHostile(t, "deaf", callTime)
	first := make(chan error, 1)
	go func() { _, err := w.Sign(nil, 1, p11.MechGOST, 2, make([]byte, 32)); first <- err }()
	select {
	case err := <-first:
		if err != p11.ErrLost {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a call hangs")
	}
	// With its buffer full.
	w = takeHostile(t, "deaf", time.Minute)
	go func() { _, err := w.Sign(nil, 1, p11.MechGOST, 2, make([]byte, 32)); first <- err }()
	for start := time.Now(); ; {
		if w.asked.Load() > 0 || time.Since(start) > time.Second {
			break
		}
	}
	for w.control.nudge() {
	}
	start := time.Now()
	for range 10 {
		if w.control.nudge() {
			t.Error("there is room after all")
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Error("to ask who does not listen takes", took)
	}
	w.Kill(errors.New("done"))
	if err := <-first; err != p11.ErrLost {
		t.Error(err)
	}
}

// A child that answers the handshake never, or in part, costs the time that was given for it.
func TestMuteChild(t *testing.T) {
	for _, mode := range []string{"dumb", "uninitialised"} {
		t.Setenv(hostileMode, mode)
		supply, err := NewSupply(Options{Module: softhsm.NewNoop(t).Module})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := supply.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(mode, err)
		}
		cancel()
		supply.Close()
	}
	// One that does not end is killed.
	w := takeHostile(t, "silent", 300*time.Millisecond)
	start := time.Now()
	_ = w.Close(t.Context())
	select {
	case <-w.gone:
	case <-time.After(10 * time.Second):
		t.Error("still there after", time.Since(start))
	}
}
