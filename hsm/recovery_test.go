package hsm

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// A request that meets a fault is carried over it, by the remedy for that code and no harder one; what is final reaches the
// caller with its kind. Whatever happened, the token serves afterwards.
func TestRemedies(t *testing.T) {
	for _, test := range []struct {
		name   string
		upset  func(f *stand)
		kind   Kind // of the error
		fails  bool
		logins int // more calls of C_Login
		starts int // more lives of the module
	}{
		{name: "one dead session", upset: func(f *stand) { f.SetFault(faults("Sign", p11.SessionHandleInvalid)) }},
		{name: "session closed", upset: func(f *stand) { f.SetFault(faults("Sign", p11.SessionClosed)) }},
		{name: "operation left open", upset: func(f *stand) { f.SetFault(faults("Sign", p11.OperationActive)) }},
		{name: "cancelled", upset: func(f *stand) { f.SetFault(faults("Sign", p11.FunctionCanceled)) }},
		{name: "stale handle", upset: func(f *stand) { f.SetFault(faults("Sign", p11.KeyHandleInvalid)) }},
		{name: "stale handle, then dead", upset: func(f *stand) { f.SetFault(faults("Sign", p11.ObjectHandleInvalid, p11.SessionClosed)) }},
		{name: "device at its limits", upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceMemory, p11.HostMemory)) }},
		{name: "login lost", upset: func(f *stand) { f.LogOut() }, logins: 1},
		{name: "login said to be lost", upset: func(f *stand) { f.SetFault(faults("Sign", p11.UserNotLoggedIn)) }},
		{name: "login said to be lost again",
			upset: func(f *stand) { f.SetFault(faults("Sign", p11.UserNotLoggedIn, p11.UserNotLoggedIn)) }, logins: 1},
		{name: "all sessions dead", upset: func(f *stand) { f.CloseAll() }, logins: 1},
		{name: "dead twice", upset: func(f *stand) { f.SetFault(faults("Sign", p11.SessionClosed, p11.SessionClosed)) }, logins: 1},
		{name: "device removed", upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceRemoved)) }, logins: 1},
		{name: "device error", upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceError)) }, logins: 1},
		{name: "general error", upset: func(f *stand) { f.SetFault(faults("Sign", p11.GeneralError)) }, logins: 1},
		{name: "twice, with the test between",
			upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceError, p11.DeviceError)) }, logins: 2, starts: 1},
		{name: "module finalised", upset: func(f *stand) { f.SetFault(faults("Sign", p11.CryptokiNotInitialized)) }, logins: 1, starts: 1},
		{name: "module crashed", upset: func(f *stand) { f.SetFault(faults("Sign", p11.ErrLost)) }, logins: 1, starts: 1},
		{name: "vendor's code", upset: func(f *stand) { f.SetFault(faults("Sign", p11.VendorDefined+0x19)) }, fails: true, kind: Internal},
		{name: "wrong mechanism", upset: func(f *stand) { f.SetFault(faults("Sign", p11.MechanismInvalid)) }, fails: true, kind: Config},
		{name: "key may not sign", upset: func(f *stand) { f.SetFault(faults("Sign", p11.KeyFunctionNotPermitted)) },
			fails: true, kind: KeyUnusable},
		{name: "at its limits for good", upset: func(f *stand) { f.SetFault(always("Sign", p11.DeviceMemory)) }, fails: true, kind: Busy},
		{name: "locked meanwhile", upset: func(f *stand) { f.LogOut(); f.SetFlags(p11.FlagUserPINSet | p11.FlagPINLocked) },
			fails: true, kind: PINRefused},
		{name: "no token any more", upset: func(f *stand) { f.Unplug() }, fails: true, kind: Away},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newStand(t)
				p := startOn(t, SchedulerConfig{}, f)
				if err := p.sign(t.Context()); err != nil {
					t.Fatal(err)
				}
				logins, starts := f.Calls("Login"), int(f.begun.Load())
				test.upset(f)
				begun := time.Now()
				err := p.sign(t.Context())
				if took := time.Since(begun); took > time.Second {
					t.Errorf("it took %v", took)
				}
				if test.fails {
					wantKind(t, err, test.kind)
					if e := err.(*Error); (e.Kind == Busy || e.Kind == Away) && e.RetryAfter == 0 {
						t.Errorf("not told when to ask again: %v", err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if n := f.Calls("Login") - logins; n != test.logins {
					t.Errorf("%d logins, want %d", n, test.logins)
				}
				if n := int(f.begun.Load()) - starts; n != test.starts {
					t.Errorf("the module was started %d times, want %d", n, test.starts)
				}
				f.SetFault(nil)
				f.Plug()
				time.Sleep(time.Second)
				if err := p.sign(t.Context()); test.kind == PINRefused {
					wantKind(t, err, PINRefused)
				} else if err != nil {
					t.Errorf("after the fault: %v", err)
				}
			})
		})
	}
}

// The login that many miss at once is restored once.
func TestLoginAgainOnce(t *testing.T) {
	f := newStand(t)
	f.cfg.Sessions = 4
	p := startOn(t, SchedulerConfig{}, f)
	for range 6 {
		before := f.Calls("Login")
		f.LogOut()
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				if err := p.sign(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := f.Calls("Login") - before; n != 1 {
			t.Fatalf("%d logins for one loss", n)
		}
	}
	if n := f.Sessions(); n > 5 {
		t.Errorf("%d sessions are open, the bound is 4 and the anchor", n)
	}
}

// Handles of a new life of the module mean other objects: none of the old ones is used.
func TestHandlesAreOfAnEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions = 3
		p := startOn(t, SchedulerConfig{}, f)
		for range 4 {
			if err := p.sign(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.crash()
			time.Sleep(10 * time.Second) // the pause between two starts
			if f.Calls("CloseSession") > f.Calls("OpenSession") {
				t.Error("more sessions were closed than opened: some were another life's")
			}
		}
		if err := p.sign(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e := p.key.Err(); e != nil {
			t.Error(e)
		}
	})
}

// Whatever the number of callers and of tries to bring the token back, a PIN that was refused is sent once; once the
// operator has put another in its place the token comes back by itself.
func TestPINRefusedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		p := startOn(t, SchedulerConfig{}, f)
		before := f.Calls("Login")
		f.SetFault(always("Login", p11.PINIncorrect))
		f.LogOut()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { wantKind(t, p.sign(t.Context()), PINRefused) })
		}
		group.Wait()
		time.Sleep(10 * time.Minute)
		if n := f.Calls("Login") - before; n != 1 {
			t.Errorf("%d tries with one PIN", n)
		}
		if h := p.token(0); h.State != Locked || KindOf(h.Err) != PINRefused {
			t.Errorf("%+v", h)
		}
		if strings.Contains(f.log.String(), fakePIN) {
			t.Error("the log tells the PIN")
		}
	})
}

// A wrong PIN at the start stops nothing but its token, and costs one try however often the service starts.
func TestWrongPINAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrong, right := newStand(t), newStand(t)
		wrong.cfg.Name, right.cfg.Name = "wrong", "right"
		wrong.share(right)
		wrong.cfg.PIN = PINValue(NewPIN([]byte("surely-wrong")))
		for range 3 {
			s, err := tryStart(t, SchedulerConfig{}, wrong, right)
			if err != nil {
				t.Fatal(err)
			}
			k, _ := s.Key("k")
			if _, err := s.Submit(t.Context(), k, make([]byte, 32), Flow{}); err != nil {
				t.Error(err)
			}
			if h := s.Health(); h.Tokens[0].State != Locked || h.Tokens[1].State != Ready {
				t.Errorf("%+v", h)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := wrong.Calls("Login"); n != 1 {
			t.Errorf("%d tries", n)
		}
	})
}

// While a token is away callers are refused at once, with the time after which to ask again; it serves within a second of
// being there again.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		p := startOn(t, SchedulerConfig{}, f)
		f.Unplug()
		wantKind(t, p.sign(t.Context()), Away)
		signs := f.Calls("Sign")
		time.Sleep(time.Minute)
		for range 1000 {
			begun := time.Now()
			err := p.sign(t.Context())
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Away || e.RetryAfter <= 0 || time.Since(begun) > 0 {
				t.Fatalf("%v after %v", err, time.Since(begun))
			}
		}
		if n := f.Calls("Sign"); n != signs {
			t.Errorf("%d signatures were asked of a token that is away", n-signs)
		}
		f.Plug()
		time.Sleep(time.Second)
		if err := p.sign(t.Context()); err != nil {
			t.Error(err)
		}
		if h := p.token(0); h.State != Ready || h.Err != nil {
			t.Errorf("%+v", h)
		}
	})
}

// An idle token that is taken away is noticed without a request.
func TestAbsenceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		var states []State
		var mutex sync.Mutex
		trace := &Trace{State: func(_ string, s State, _ error) { mutex.Lock(); states = append(states, s); mutex.Unlock() }}
		p := startOn(t, SchedulerConfig{Trace: trace}, f)
		f.Unplug()
		time.Sleep(3 * time.Second)
		if h := p.token(0); h.State != Absent || h.NextTry.IsZero() || p.key.Err() == nil {
			t.Errorf("%+v", h)
		}
		f.Plug()
		time.Sleep(time.Second)
		if h := p.token(0); h.State != Ready || p.key.Err() != nil {
			t.Errorf("%+v", h)
		}
		mutex.Lock()
		defer mutex.Unlock()
		if want := []State{Ready, Recovering, Absent, Ready}; !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
	})
}

// Keys of a token that is away at the start join when it comes.
func TestAwayAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.Unplug()
		p := startOn(t, SchedulerConfig{}, f)
		wantKind(t, p.sign(t.Context()), Away)
		if p.key.Public() != nil {
			t.Error("a key is known that nobody has seen")
		}
		f.Plug()
		time.Sleep(time.Second)
		if err := p.sign(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Calls that hang in this process free their callers and cost a session each; when too many do, the token is out until the
// process starts anew or the calls return.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions, f.cfg.Queue = 1, 1
		p := startOn(t, SchedulerConfig{}, f)
		hang := make(chan struct{})
		f.SetFault(func(call string) error {
			if call == "Sign" {
				<-hang
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := p.sign(ctx)
		wantKind(t, err, Expired)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not tell of its context", err)
		}
		begun := time.Now()
		wantKind(t, p.sign(t.Context()), Away) // tried on a second session, then refused
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("refused after %v", took)
		}
		for range 4 {
			_ = p.sign(t.Context())
		}
		if h := p.token(0); h.State != Absent || h.Hanging < maxDropped || !strings.Contains(h.Err.Error(), "restart the service") {
			t.Errorf("%+v", h)
		}
		close(hang)
		f.SetFault(nil)
		time.Sleep(2 * time.Second)
		if err := p.sign(t.Context()); err != nil {
			t.Error(err)
		}
		if n := f.Sessions(); n != 2 {
			t.Errorf("%d sessions, one and the anchor are in use", n)
		}
	})
}

// A key that fails for itself takes no other with it; one that vanishes is told apart from a token that does.
func TestOneKeyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.addKey("EXMP01/ov/2", f.key.Public().(*gost.PublicKey).Bytes())
		p := startOn(t, SchedulerConfig{}, f)
		if _, err := p.AddKey(t.Context(), KeyConfig{"other", []KeyRef{{f.cfg.Name, "EXMP01/ov/2"}}}); err != nil {
			t.Fatal(err)
		}
		f.Remove(keyID)
		f.LogOut()
		wantKind(t, p.sign(t.Context()), KeyNotFound)
		wantKind(t, p.key.Err(), KeyNotFound)
		other, _ := p.Scheduler.Key("other")
		if _, err := p.Submit(t.Context(), other, make([]byte, 32), Flow{}); err != nil {
			t.Error(err)
		}
		starts := f.begun.Load()
		for range 100 {
			wantKind(t, p.sign(t.Context()), KeyNotFound)
		}
		if f.begun.Load() != starts || p.token(0).State != Ready {
			t.Error("a missing key costs the token its peace")
		}
		f.addKey(keyID, f.key.Public().(*gost.PublicKey).Bytes())
		time.Sleep(time.Minute)
		if err := p.sign(t.Context()); err != nil {
			t.Errorf("back on the token: %v", err)
		}
	})
}

// An idle token signs from time to time, so that a fault is known before a caller finds it.
func TestCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		p := startOn(t, SchedulerConfig{Canary: 10 * time.Second}, f)
		before := f.Calls("Sign")
		time.Sleep(65 * time.Second)
		if n := f.Calls("Sign") - before; n < 6 || n > 7 {
			t.Errorf("%d signatures in 65 s", n)
		}
		f.SetFault(always("Sign", p11.GeneralError))
		time.Sleep(30 * time.Second)
		if h := p.token(0); h.State != Absent {
			t.Errorf("%+v", h)
		}
		f.SetFault(nil)
		time.Sleep(30 * time.Second)
		if err := p.sign(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A token that opens no further session is used with those it gives, and is asked for more later.
func TestSessionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions = 8
		var limit atomic.Int32
		limit.Store(3)
		f.Fault = func(call string) error {
			switch {
			case call == "OpenSession" && f.Sessions() >= int(limit.Load()):
				return p11.SessionCount
			case call == "Sign":
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		p := startOn(t, SchedulerConfig{}, f)
		load := func() {
			var group sync.WaitGroup
			for range 16 {
				group.Go(func() {
					for range 20 {
						if err := p.sign(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
		}
		load()
		if h := p.token(0); h.Limit != 2 {
			t.Errorf("limit %d with 3 sessions, one of them the anchor", h.Limit)
		}
		limit.Store(100)
		time.Sleep(5 * time.Minute)
		load()
		if h := p.token(0); h.Limit != 8 || f.Sessions() != 9 {
			t.Errorf("limit %d, %d sessions", h.Limit, f.Sessions())
		}
		time.Sleep(5 * time.Minute) // idle sessions are closed but for one
		if n := f.Sessions(); n != 2 {
			t.Errorf("%d sessions of an idle token", n)
		}
	})
}

// A request whose session cannot be had any more goes at once to a clerk that rests.
func TestNarrowedWithOthersIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions = 2
		f.Fault = func(call string) error {
			if call == "Sign" {
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		p := startOn(t, SchedulerConfig{Canary: -1}, f)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				if err := p.sign(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		dead, short := faults("Sign", p11.SessionClosed), faults("OpenSession", p11.SessionCount)
		f.SetFault(func(call string) error { return errors.Join(dead(call), short(call)) })
		time.Sleep(tickTime / 3) // the keeper, who would find it, looks later
		begun := time.Now()
		if err := p.sign(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("it waited %v", took)
		}
		if h := p.token(0); h.Limit != 1 {
			t.Errorf("limit %d; nothing was tested", h.Limit)
		}
		p.lanes[0].consistent(t)
	})
}

// A module that hangs while it is loaded holds nothing up but its own token, which serves when it is loaded after all.
func TestLoadingHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := twoStands(t)
		one.slow = 10 * time.Minute
		p := startOn(t, SchedulerConfig{}, one, two)
		if err := p.sign(t.Context()); err != nil {
			t.Error(err)
		}
		if h := p.token(0); h.State != Absent || !errors.Is(h.Err, errHung) {
			t.Errorf("%+v", h)
		}
		time.Sleep(11 * time.Minute)
		if h := p.token(0); h.State != Ready {
			t.Errorf("%+v", h)
		}
	})
}
