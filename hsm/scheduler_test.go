package hsm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
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

// plant is a scheduler over stands, with one key on all of them.
type plant struct {
	*Scheduler
	key *Key
	log *slog.Logger
}

const keyID = "EXMP01/ov/1"

// startOn starts a scheduler whose modules are the stands, by their names.
func startOn(t testing.TB, cfg SchedulerConfig, stands ...*stand) *plant {
	t.Helper()
	s, err := tryStart(t, cfg, stands...)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Key("k")
	if err != nil {
		t.Fatal(err)
	}
	return &plant{Scheduler: s, key: key}
}

func tryStart(t testing.TB, cfg SchedulerConfig, stands ...*stand) (*Scheduler, error) {
	byModule := map[string]*stand{}
	key := KeyConfig{Name: "k"}
	for _, f := range stands {
		if f.cfg.Name == "" {
			f.cfg.Name = f.cfg.Label
		}
		f.cfg.Module, f.cfg.Isolation = f.cfg.Name, InProcess
		if f.cfg.CallTime == 0 {
			f.cfg.CallTime = time.Second
		}
		byModule[f.cfg.Module] = f
		cfg.Tokens = append(cfg.Tokens, f.cfg)
		key.Replicas = append(key.Replicas, KeyRef{f.cfg.Name, keyID})
	}
	if cfg.Keys == nil {
		cfg.Keys = []KeyConfig{key}
	}
	if cfg.Canary == 0 {
		cfg.Canary = -1
	}
	log := slog.New(slog.NewTextHandler(&stands[0].log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := start(context.Background(), cfg, log, func(_ context.Context, module string, _ hostOptions) (host, error) {
		return byModule[module].begin()
	})
	if err == nil {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

// begin is the module's life: each begins with the handles' numbers of the one before.
func (f *stand) begin() (host, error) {
	f.Restart()
	f.begun.Add(1)
	h := newInProcess(f.Fake, func() error { f.released.Add(1); return nil })
	f.host.Store(h)
	return h, nil
}

// crash ends the module as a dead process does: every call gives ErrLost.
func (f *stand) crash() { f.host.Load().Kill(nil) }

func (p *plant) sign(ctx context.Context) error { return p.signAs(ctx, Flow{Client: "c", Weight: 1}) }

func (p *plant) signAs(ctx context.Context, flow Flow) error {
	digest := make([]byte, 32)
	_, _ = rand.Read(digest)
	signature, err := p.Submit(ctx, p.key, digest, flow)
	if err != nil {
		return err
	}
	return p.key.Public().Verify(digest, signature)
}

func (p *plant) token(i int) TokenHealth { return p.Health().Tokens[i] }

// faults gives return codes to the next calls of a name, one each.
func faults(call string, codes ...error) func(string) error {
	var n atomic.Int32
	return func(name string) error {
		if name != call {
			return nil
		}
		if i := int(n.Add(1)) - 1; i < len(codes) {
			return codes[i]
		}
		return nil
	}
}

// always gives a return code to each call of a name.
func always(call string, err error) func(string) error {
	return func(name string) error {
		if name == call {
			return err
		}
		return nil
	}
}

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
		{name: "login said to be lost again", upset: func(f *stand) { f.SetFault(faults("Sign", p11.UserNotLoggedIn, p11.UserNotLoggedIn)) }, logins: 1},
		{name: "all sessions dead", upset: func(f *stand) { f.CloseAll() }, logins: 1},
		{name: "dead twice", upset: func(f *stand) { f.SetFault(faults("Sign", p11.SessionClosed, p11.SessionClosed)) }, logins: 1},
		{name: "device removed", upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceRemoved)) }, logins: 1},
		{name: "device error", upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceError)) }, logins: 1},
		{name: "general error", upset: func(f *stand) { f.SetFault(faults("Sign", p11.GeneralError)) }, logins: 1},
		{name: "twice, with the test between", upset: func(f *stand) { f.SetFault(faults("Sign", p11.DeviceError, p11.DeviceError)) }, logins: 2, starts: 1},
		{name: "module finalised", upset: func(f *stand) { f.SetFault(faults("Sign", p11.CryptokiNotInitialized)) }, logins: 1, starts: 1},
		{name: "module crashed", upset: func(f *stand) { f.SetFault(faults("Sign", p11.ErrLost)) }, logins: 1, starts: 1},
		{name: "vendor's code", upset: func(f *stand) { f.SetFault(faults("Sign", p11.VendorDefined+0x19)) }, fails: true, kind: Internal},
		{name: "wrong mechanism", upset: func(f *stand) { f.SetFault(faults("Sign", p11.MechanismInvalid)) }, fails: true, kind: Config},
		{name: "key may not sign", upset: func(f *stand) { f.SetFault(faults("Sign", p11.KeyFunctionNotPermitted)) }, fails: true, kind: KeyUnusable},
		{name: "at its limits for good", upset: func(f *stand) { f.SetFault(always("Sign", p11.DeviceMemory)) }, fails: true, kind: Busy},
		{name: "locked meanwhile", upset: func(f *stand) { f.LogOut(); f.SetFlags(p11.FlagUserPINSet | p11.FlagPINLocked) }, fails: true, kind: PINRefused},
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

// share gives a stand another's key.
func (f *stand) share(other *stand) { f.key, f.Signer = other.key, other.Signer; f.setKey() }

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

func twoStands(t *testing.T) (one, two *stand) {
	one, two = newStand(t), newStand(t)
	one.cfg.Name, two.cfg.Name = "one", "two"
	two.share(one)
	return one, two
}

// With a second token of the same key no request is lost, whatever becomes of the first.
func TestFailover(t *testing.T) {
	for name, upset := range map[string]func(f *stand){
		"unplugged": func(f *stand) { f.Unplug() },
		"crashed":   func(f *stand) { f.crash() },
		"locked":    func(f *stand) { f.LogOut(); f.SetFlags(p11.FlagUserPINSet | p11.FlagPINLocked) },
		"failing":   func(f *stand) { f.SetFault(always("Sign", p11.VendorDefined+1)) },
		"wrong": func(f *stand) {
			f.SetSigner(func([]byte) ([]byte, error) { return make([]byte, 64), nil })
		},
		"hanging": func(f *stand) {
			f.SetFault(func(call string) error {
				if call == "Sign" {
					time.Sleep(time.Hour)
				}
				return nil
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one, two := twoStands(t)
				work := func(call string) error {
					if call == "Sign" {
						time.Sleep(time.Millisecond)
					}
					return nil
				}
				one.Fault, two.Fault = work, work
				p := startOn(t, SchedulerConfig{}, one, two)
				var signed atomic.Int32
				var group sync.WaitGroup
				for range 10 {
					group.Go(func() {
						for range 200 {
							if err := p.sign(t.Context()); err != nil {
								t.Error(err)
								return
							}
							signed.Add(1)
						}
					})
				}
				time.Sleep(20 * time.Millisecond)
				if one.Calls("Sign") == 0 || two.Calls("Sign") == 0 {
					t.Error("only one of the tokens is at work")
				}
				upset(one)
				group.Wait()
				if n := signed.Load(); n != 2000 {
					t.Errorf("%d of 2000", n)
				}
				if name == "hanging" {
					one.SetFault(nil)
					time.Sleep(2 * time.Hour)
				}
			})
		})
	}
}

// Of two tokens the faster one gets more to do, by its measured pace.
func TestFasterTokenDoesMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := twoStands(t)
		slow := func(d time.Duration) func(string) error {
			return func(call string) error {
				if call == "Sign" {
					time.Sleep(d)
				}
				return nil
			}
		}
		one.cfg.Sessions, two.cfg.Sessions = 1, 1
		one.Fault, two.Fault = slow(30*time.Millisecond), slow(10*time.Millisecond)
		p := startOn(t, SchedulerConfig{}, one, two)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 50 {
					if err := p.sign(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if a, b := one.Calls("Sign"), two.Calls("Sign"); b < 2*a || b > 4*a {
			t.Errorf("the slow token made %d signatures, the one three times as fast %d", a, b)
		}
	})
}

// Requests that cannot end in time are refused at once with the time to wait; the others end in time.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions = 2
		f.Fault = func(call string) error {
			if call == "Sign" {
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}
		p := startOn(t, SchedulerConfig{}, f)
		for range 20 {
			if err := p.sign(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var good, busy, late atomic.Int32
		var group sync.WaitGroup
		// Twice as much as two sessions can do, for a second.
		for range 400 {
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				begun := time.Now()
				switch err := p.sign(ctx); {
				case err == nil:
					good.Add(1)
				case KindOf(err) == Busy:
					busy.Add(1)
					if e, _ := errors.AsType[*Error](err); e.RetryAfter <= 0 || time.Since(begun) > 90*time.Millisecond {
						t.Errorf("%v after %v, retry after %v", err, time.Since(begun), e.RetryAfter)
					}
				default:
					late.Add(1)
				}
			})
			time.Sleep(2500 * time.Microsecond)
		}
		group.Wait()
		if g := good.Load(); g < 190 || late.Load() > 4 {
			t.Errorf("%d signed of about 205 that were possible, %d refused, %d late", g, busy.Load(), late.Load())
		}
	})
}

// A client that asks for much more than the others gets no more than its weight while they ask too.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions, f.cfg.Queue = 1, 64
		f.Fault = func(call string) error {
			if call == "Sign" {
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		p := startOn(t, SchedulerConfig{}, f)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		signed := map[string]*atomic.Int32{}
		var group sync.WaitGroup
		for _, c := range []struct {
			Flow
			callers int
		}{{Flow{"flood", 1}, 200}, {Flow{"equal", 1}, 4}, {Flow{"high", 4}, 8}} {
			n := new(atomic.Int32)
			signed[c.Client] = n
			for range c.callers {
				group.Go(func() {
					for ctx.Err() == nil {
						if err := p.signAs(ctx, c.Flow); err == nil {
							n.Add(1)
						} else {
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
		}
		group.Wait()
		flood, equal, high := signed["flood"].Load(), signed["equal"].Load(), signed["high"].Load()
		total := flood + equal + high
		if flood*10 > total*2 || equal*10 < total*3/2 || high*10 < total*6 {
			t.Errorf("of %d signatures flood got %d, equal %d, high %d; the weights are 1, 1, 4", total, flood, equal, high)
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

// Close lets admitted requests end; when its time is over it says so, and the module is not finalised during a call.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Sessions = 2
		p := startOn(t, SchedulerConfig{}, f)
		f.SetFault(func(call string) error {
			if call == "Sign" {
				time.Sleep(time.Second)
			}
			return nil
		})
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if err := p.sign(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		done := make(chan error)
		go func() { done <- p.Close(t.Context()) }()
		synctest.Wait()
		wantKind(t, p.sign(t.Context()), Closed)
		if err := <-done; err != nil {
			t.Error(err)
		}
		group.Wait()
		if f.released.Load() != 1 || f.Sessions() != 0 {
			t.Error("sessions are left open, or the module")
		}
		if err := p.Close(short); err != nil {
			t.Errorf("the second time: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		p := startOn(t, SchedulerConfig{}, f)
		f.SetFault(func(call string) error {
			if call == "Sign" {
				time.Sleep(2 * time.Second)
			}
			return nil
		})
		signed := make(chan error)
		go func() { signed <- p.sign(t.Context()) }()
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantKind(t, p.Close(short), Expired)
		if f.released.Load() != 0 {
			t.Error("the module was finalised during a call")
		}
		if err := <-signed; err != nil {
			t.Error(err)
		}
		if err := p.Close(t.Context()); err != nil || f.released.Load() != 1 {
			t.Error(err, "or the module was never finalised")
		}
	})
}

// Keys come, go and are replaced while others sign; of the callers none notices.
func TestKeysChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		public := f.key.Public().(*gost.PublicKey).Bytes()
		f.addKey("EXMP01/ov/2", public)
		p := startOn(t, SchedulerConfig{}, f)
		stop := make(chan struct{})
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					k, err := p.Scheduler.Key("k")
					if err == nil {
						_, err = p.Submit(t.Context(), k, make([]byte, 32), Flow{})
					}
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Microsecond)
				}
			})
		}
		for i := range 20 {
			id := []string{"EXMP01/ov/2", keyID}[i%2]
			if _, err := p.ReplaceKey(t.Context(), KeyConfig{"k", []KeyRef{{f.cfg.Name, id}}}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
		_, err := p.ReplaceKey(t.Context(), KeyConfig{"k", []KeyRef{{f.cfg.Name, "none/ov/1"}}})
		wantKind(t, err, KeyNotFound)
		_, err = p.AddKey(t.Context(), KeyConfig{"k", []KeyRef{{f.cfg.Name, keyID}}})
		wantKind(t, err, Exists)
		_, err = p.AddKey(t.Context(), KeyConfig{"n", []KeyRef{{"nowhere", keyID}}})
		wantKind(t, err, Config)
		close(stop)
		group.Wait()
		k, _ := p.Scheduler.Key("k")
		if err := p.RemoveKey("k"); err != nil {
			t.Error(err)
		}
		_, err = p.Submit(t.Context(), k, make([]byte, 32), Flow{})
		wantKind(t, err, KeyNotFound)
		_, err = p.Scheduler.Key("k")
		wantKind(t, err, KeyNotFound)
		if n := len(p.names[f.cfg.Name].keys()); n != 0 {
			t.Errorf("%d keys are left on the token", n)
		}
	})
}

// Replicas that hold different keys are refused.
func TestReplicasMustBeEqual(t *testing.T) {
	one, two := newStand(t), newStand(t)
	one.cfg.Name, two.cfg.Name = "one", "two"
	_, err := tryStart(t, SchedulerConfig{}, one, two)
	wantKind(t, err, KeyUnusable)
	if one.Sessions()+two.Sessions() != 0 {
		t.Error("sessions are left open")
	}
}

// A signature that does not verify does not leave; the key leaves service on that token, with the fault named.
func TestWrongSignature(t *testing.T) {
	reverse := func(b []byte) []byte { b = bytes.Clone(b); slices.Reverse(b); return b }
	for _, test := range []struct{ name, fault string }{
		{"swapped", "r ‖ s instead of s ‖ r"},
		{"reversed", "the whole signature reversed"},
		{"halves", "each half of the signature reversed"},
		{"digest", "takes the digest in reversed order"},
		{"short", "63 octets instead of 64"},
		{"other key", "another key or on another curve"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			other, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
			if err != nil {
				t.Fatal(err)
			}
			right := f.Signer
			wrong := func(data []byte) ([]byte, error) {
				sig, err := right(data)
				if err != nil {
					return nil, err
				}
				switch test.name {
				case "swapped":
					return slices.Concat(sig[32:], sig[:32]), nil
				case "reversed":
					return reverse(sig), nil
				case "halves":
					return slices.Concat(reverse(sig[:32]), reverse(sig[32:])), nil
				case "digest":
					return right(reverse(data))
				case "short":
					return sig[:63], nil
				}
				return other.Sign(rand.Reader, data, nil)
			}
			// At the start.
			f.Signer = wrong
			_, err = tryStart(t, SchedulerConfig{}, f)
			wantKind(t, err, WrongSignature)
			if !strings.Contains(err.Error(), test.fault) {
				t.Errorf("the fault is not named: %v", err)
			}
			// At work.
			f.SetSigner(right)
			p := startOn(t, SchedulerConfig{}, f)
			if err := p.sign(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.SetSigner(wrong)
			wantKind(t, p.sign(t.Context()), WrongSignature)
			f.SetSigner(right)
			wantKind(t, p.sign(t.Context()), WrongSignature)
			if p.key.Err() == nil || p.token(0).State != Ready {
				t.Error("the key still serves, or the token does not")
			}
		})
	}
}

// Another key that was put under the id while the login was away is noticed.
func TestKeyExchanged(t *testing.T) {
	f := newStand(t)
	p := startOn(t, SchedulerConfig{}, f)
	other, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		t.Fatal(err)
	}
	f.SetSigner(func(data []byte) ([]byte, error) { return other.Sign(rand.Reader, data, nil) })
	f.LogOut()
	wantKind(t, p.sign(t.Context()), WrongSignature)
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

func TestTrace(t *testing.T) {
	f := newStand(t)
	var signed, opened, logins, broken, ready atomic.Int32
	trace := &Trace{
		Signed: func(s Signing) {
			if s.Token == "fake" && s.Key == "k" && (s.Err != nil || s.Sign > 0 && s.Verify > 0) {
				signed.Add(1)
			}
		},
		SessionOpened:   func(string) { opened.Add(1) },
		SessionClosed:   func(string, error) { opened.Add(-1) },
		Login:           func(string, error) { logins.Add(1) },
		KeyOutOfService: func(string, string, error) { broken.Add(1) },
		State: func(_ string, s State, _ error) {
			if s == Ready {
				ready.Add(1)
			}
		},
	}
	p := startOn(t, SchedulerConfig{Trace: trace}, f)
	for range 3 {
		if err := p.sign(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.SetSigner(func([]byte) ([]byte, error) { return make([]byte, 64), nil })
	wantKind(t, p.sign(t.Context()), WrongSignature)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if signed.Load() != 4 || opened.Load() != 0 || logins.Load() != 1 || broken.Load() != 1 || ready.Load() != 1 {
		t.Error(signed.Load(), opened.Load(), logins.Load(), broken.Load(), ready.Load())
	}
}

func TestDigestsAreChecked(t *testing.T) {
	p := startOn(t, SchedulerConfig{}, newStand(t))
	for _, n := range []int{0, 31, 33, 64, 1000} {
		_, err := p.Submit(t.Context(), p.key, make([]byte, n), Flow{})
		wantKind(t, err, Invalid)
	}
}
