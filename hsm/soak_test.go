package hsm

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// consistent checks what the type promises to hold whenever the mutex is free.
func (l *lane) consistent(t *testing.T) {
	t.Helper()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	working := 0
	for _, w := range l.crew {
		if w.request != nil {
			working++
		}
		if w.dropped {
			t.Error("a clerk that hangs is on the rolls")
		}
	}
	if len(l.crew) != l.alive || working != l.working || len(l.idle)+l.working != l.alive {
		t.Errorf("%d on the rolls, %d alive, %d at work, %d counted, %d idle", len(l.crew), l.alive, working, l.working, len(l.idle))
	}
	if n := l.load.Load(); n != int64(l.queue.size+l.working) {
		t.Errorf("load %d, %d wait, %d are at work", n, l.queue.size, l.working)
	}
	if l.state == Ready && l.queue.size > 0 && (len(l.idle) > 0 || l.alive < l.limit) {
		t.Errorf("%d wait while %d are idle and %d of %d there", l.queue.size, len(l.idle), l.alive, l.limit)
	}
	if shut := l.shut.Load() != nil; shut && !l.closing && (l.state == Ready || l.state == Recovering) || !shut && l.state > Recovering+1 {
		t.Errorf("shut %v in state %v", shut, l.state)
	}
	if l.state > Ready && l.queue.size > 0 {
		t.Errorf("%d wait in state %v", l.queue.size, l.state)
	}
	if l.ready.Load() != (l.state == Ready) || l.limit < 1 || l.limit > max(l.most, 1) {
		t.Errorf("ready %v in state %v, limit %d of %d", l.ready.Load(), l.state, l.limit, l.most)
	}
}

// Any faults at any time, on two tokens of one key or on one: each request ends with a signature that verifies, or with an
// error of a kind that fits; nothing is lost, and when the faults are over all is well.
func TestSoak(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { soak(t, rand.New(rand.NewPCG(seed, 1)), seed%3 != 0) })
	}
}

var soakCodes = []error{
	p11.SessionHandleInvalid, p11.SessionClosed, p11.OperationActive, p11.UserNotLoggedIn, p11.KeyHandleInvalid, p11.DeviceMemory,
	p11.DeviceError, p11.DeviceRemoved, p11.TokenNotPresent, p11.GeneralError, p11.FunctionFailed, p11.CryptokiNotInitialized,
	p11.SessionCount, p11.VendorDefined + 7, p11.ErrLost,
}

func soak(t *testing.T, r *rand.Rand, two bool) {
	stands := []*stand{newStand(t)}
	if two {
		one, other := twoStands(t)
		stands = []*stand{one, other}
	}
	var mutex sync.Mutex // of r
	number := func(n int) int { mutex.Lock(); defer mutex.Unlock(); return r.IntN(n) }
	work := func(call string) error {
		if call == "Sign" {
			time.Sleep(time.Duration(1+number(3)) * time.Millisecond)
		}
		return nil
	}
	for _, f := range stands {
		f.cfg.Sessions, f.cfg.Queue = 3, 20
		f.Fault = work
	}
	p := startOn(t, SchedulerConfig{Canary: time.Second}, stands...)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	kinds := map[Kind]int{}
	signed, asked := 0, 0
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			for ctx.Err() == nil {
				short, cancel := context.WithTimeout(ctx, time.Duration(5+number(2000))*time.Millisecond)
				err := p.signAs(short, Flow{Client: string(rune('a' + i%4)), Weight: 1 + i})
				cancel()
				mutex.Lock()
				asked++
				switch kind := KindOf(err); {
				case err == nil:
					signed++
				case kind == Away || kind == Busy || kind == Expired || kind == Internal || kind == KeyNotFound:
					kinds[kind]++
				default:
					t.Errorf("%v (%v)", err, kind)
				}
				mutex.Unlock()
				pause := time.Duration(number(20)) * time.Millisecond
				if e, ok := errors.AsType[*Error](err); ok { // who is told when to ask again does so
					pause = max(pause, e.RetryAfter)
				}
				time.Sleep(pause)
			}
		})
	}
	for ctx.Err() == nil {
		time.Sleep(time.Duration(number(400)) * time.Millisecond)
		f := stands[number(len(stands))]
		switch number(8) {
		case 0:
			f.Unplug()
			time.Sleep(time.Duration(number(1500)) * time.Millisecond)
			f.Plug()
		case 1:
			f.crash()
		case 2:
			f.LogOut()
		case 3:
			f.CloseAll()
		case 4:
			end := time.Now().Add(time.Duration(number(700)) * time.Millisecond) // beyond what a call may take
			f.SetFault(func(call string) error {
				if call == "Sign" && time.Now().Before(end) {
					time.Sleep(2 * time.Second)
				}
				return work(call)
			})
			time.Sleep(time.Second)
			f.SetFault(work)
		default:
			code, often := soakCodes[number(len(soakCodes))], 1+number(6)
			calls := []string{"Sign", "OpenSession", "FindObjects", "GetTokenInfo", "GetSessionInfo"}[number(5)]
			f.SetFault(func(call string) error {
				if call == calls && number(often) == 0 {
					return code
				}
				return work(call)
			})
			time.Sleep(time.Duration(number(500)) * time.Millisecond)
			f.SetFault(work)
		}
		for _, l := range p.lanes {
			l.consistent(t)
		}
	}
	group.Wait()
	time.Sleep(time.Minute)
	for i, l := range p.lanes {
		l.consistent(t)
		if h := p.token(i); h.State != Ready || h.Working != 0 || h.Queued != 0 || h.Hanging != 0 {
			t.Errorf("afterwards: %+v", h)
		}
	}
	for range 10 {
		if err := p.sign(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	if signed < asked/4 {
		t.Errorf("%d of %d signed, %v", signed, asked, kinds)
	}
	t.Logf("%d of %d signed, %v", signed, asked, kinds)
}
