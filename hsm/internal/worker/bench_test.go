package worker

import (
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/softhsm"
)

// spent is the processor time of this process and of a child that runs.
func spent(b *testing.B, pid int) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if pid != 0 {
		// The clock of another process: CPUCLOCK_SCHED of its number, as clock_getcpuclockid makes it.
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum
}

// BenchmarkSign measures signatures of a module that takes no time, in this process and in a worker: the difference of the
// two in cpu-µs/op is what a process of its own costs.
func BenchmarkSign(b *testing.B) {
	soft := softhsm.NewNoop(b)
	run := func(b *testing.B, m p11.Module, sessions []p11.Session, key p11.Object, pid int) {
		var wait sync.WaitGroup
		work := make(chan int)
		for _, h := range sessions {
			wait.Go(func() {
				room, digest := make([]byte, 0, p11.MaxSignature), make([]byte, 32)
				for n := range work {
					for range n {
						if _, err := m.Sign(room, h, p11.MechGOST, key, digest); err != nil {
							b.Error(err)
							return
						}
					}
				}
			})
		}
		b.ReportAllocs()
		before := spent(b, pid)
		const bunch = 1000
		n := 0
		for b.Loop() {
			if n++; n%bunch == 0 {
				work <- bunch
			}
		}
		close(work)
		wait.Wait()
		b.ReportMetric(float64((spent(b, pid)-before).Nanoseconds())/1e3/float64(max(n/bunch*bunch, 1)), "cpu-µs/op")
		runtime.KeepAlive(sessions)
	}
	for _, count := range []int{1, 2, 4} {
		name := "sessions=" + strconv.Itoa(count)
		b.Run("process/"+name, func(b *testing.B) {
			m, release, err := p11.Load(soft.Module)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = release() }()
			s, key := sessions(b, m, soft, count)
			run(b, m, s, key, 0)
		})
		b.Run("worker/"+name, func(b *testing.B) {
			w := newStand(b, soft)
			s, key := sessions(b, w, soft, count)
			run(b, w, s, key, w.PID())
		})
	}
}

func sessions(b *testing.B, m p11.Module, soft *softhsm.Token, count int) (list []p11.Session, key p11.Object) {
	b.Helper()
	slots, err := m.Slots()
	if err != nil {
		b.Fatal(err)
	}
	for range count {
		h, err := m.OpenSession(slots[0], false)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, h)
	}
	if err := m.Login(list[0], p11.User, soft.PIN); err != nil {
		b.Fatal(err)
	}
	found, err := m.Find(list[0], []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassPrivateKey)}, 1)
	if err != nil || len(found) != 1 {
		b.Fatal(found, err)
	}
	return list, found[0]
}
