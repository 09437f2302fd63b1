package hsm

import (
	"bytes"
	"context"
	"crypto/rand"
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
						for range 60 {
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
				if n := signed.Load(); n != 600 {
					t.Errorf("%d of 600", n)
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
		if g := good.Load(); g < 205 || late.Load() > 4 {
			t.Errorf("%d signed of about 220 that were possible, %d refused, %d late", g, busy.Load(), late.Load())
		}
		t.Logf("%d signed, %d refused, %d late", good.Load(), busy.Load(), late.Load())
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
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		signed := map[string]*atomic.Int32{}
		var group sync.WaitGroup
		for _, c := range []struct {
			Flow
			callers int
		}{{Flow{Client: "flood", Weight: 1}, 200}, {Flow{Client: "equal", Weight: 1}, 4}, {Flow{Client: "high", Weight: 4}, 8}} {
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
					time.Sleep(500 * time.Microsecond)
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
		if n := len(laneNamed(p.lanes, f.cfg.Name).keys()); n != 0 {
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

func TestTrace(t *testing.T) {
	f := newStand(t)
	var signed, opened, logins, broken, ready, changed atomic.Int32
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
		KeyChanged:      func(string, string) { changed.Add(1) },
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
	if n := changed.Load(); n != 1 { // in service
		t.Errorf("the key changed %d times", n)
	}
	f.SetSigner(func([]byte) ([]byte, error) { return make([]byte, 64), nil })
	wantKind(t, p.sign(t.Context()), WrongSignature)
	if n := changed.Load(); n != 2 { // and out of it
		t.Errorf("the key changed %d times", n)
	}
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

// A module that dies again and again is started with growing pauses, which the configuration bounds.
func TestRestartPause(t *testing.T) {
	for longest, most := range map[time.Duration]time.Duration{0: 10 * time.Second, 100 * time.Millisecond: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newStand(t)
			p := startOn(t, SchedulerConfig{RestartPause: longest}, f)
			var slowest time.Duration
			for range 8 {
				f.crash()
				begun := time.Now()
				synctest.Wait()
				for p.sign(t.Context()) != nil {
					time.Sleep(time.Millisecond)
				}
				slowest = max(slowest, time.Since(begun))
			}
			if slowest > most || longest == 0 && slowest < time.Second {
				t.Errorf("with a bound of %v it took up to %v", longest, slowest)
			}
		})
	}
}

// A key that is being taken into service when its token is closed is refused, whatever the keeper is at: nobody waits for what
// nobody does any more.
func TestKeyWhileClosing(t *testing.T) {
	for range 5 { // the keeper sees one of both first
		synctest.Test(t, func(t *testing.T) {
			f := newStand(t)
			p := startOn(t, SchedulerConfig{Canary: time.Millisecond}, f)
			f.SetFault(func(string) error { time.Sleep(30 * time.Millisecond); return nil })
			time.Sleep(tickTime + 10*time.Millisecond) // the keeper is at work
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			added := make(chan error)
			go func() {
				_, err := p.AddKey(ctx, KeyConfig{"n", []KeyRef{{f.cfg.Name, keyID}}})
				added <- err
			}()
			synctest.Wait()
			if err := p.Close(ctx); err != nil {
				t.Error(err)
			}
			wantKind(t, <-added, Closed)
		})
	}
}
