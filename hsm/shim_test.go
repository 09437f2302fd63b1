package hsm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

// The suite of the token runs unchanged on the shim, in a process of its own.
func TestSuiteOnShim(t *testing.T) {
	if os.Getenv("EPOV_TOKEN") != "" {
		t.Skip("this is that run")
	}
	if testing.Short() {
		t.Skip("SKIPPED: runs the suite once more; run without -short")
	}
	softhsm.NewFaulty(t) // skips where there is none
	cmd := exec.Command(os.Args[0], "-test.v", "-test.timeout=5m",
		"-test.run=^(TestSign|TestProvision|TestWrongPIN|TestFindToken|TestInitToken|TestGenerateEverySet|"+
			"TestLastSessionLogsOut|TestTLSKeyBesideSigning|TestTLSKeyWrongPIN|TestSilentWrongCurve)$")
	cmd.Env = append(os.Environ(), "EPOV_TOKEN=fault")
	out, err := cmd.CombinedOutput()
	if n := strings.Count(string(out), "\n--- PASS"); err != nil || n != 10 {
		t.Errorf("%d tests pass, %v:\n%s", n, err, out)
	}
}

func TestFlagsOfThePIN(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags string
		final bool // AllowFinalTry
		opens bool
	}{
		{"none", "flags 0", false, true},
		{"count low", "flags 0x10000", false, true}, // no record says that this PIN was wrong
		{"final try", "flags 0x30000", false, false},
		{"final try, operator", "flags 0x30000", true, true},
		{"locked", "flags 0x40000", false, false},
		{"locked, operator", "flags 0x70000", true, false},
		{"to be changed", "flags 0x80000", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			faulty := softhsm.NewFaulty(t)
			faulty.Set(test.flags)
			cfg := config(t, faulty.Token)
			cfg.AllowFinalTry = test.final
			token, err := hsm.Open(t.Context(), cfg, quiet)
			if err == nil {
				closeToken(t, token)
			}
			if want := map[bool]int{true: 1}[test.opens]; faulty.Calls("C_Login") != want {
				t.Errorf("%d logins", faulty.Calls("C_Login"))
			}
			if test.opens && err != nil {
				t.Error(err)
			}
			if !test.opens {
				wantKind(t, err, hsm.PINRefused)
			}
		})
	}
}

// A wrong PIN in a loop of restarts costs one try, also where the module sets no flags.
func TestWrongPINCostsOneTry(t *testing.T) {
	for _, silent := range []string{"", "pin-silent"} {
		t.Run("flags"+silent, func(t *testing.T) {
			faulty := softhsm.NewFaulty(t)
			faulty.Set("pin-tries 3", silent)
			cfg := config(t, faulty.Token)
			right := cfg.PIN
			cfg.PIN = hsm.PINValue(hsm.NewPIN([]byte("surely-wrong")))
			for range 8 {
				_, err := hsm.Open(t.Context(), cfg, quiet)
				wantKind(t, err, hsm.PINRefused)
			}
			if faulty.WrongPINs() != 1 || faulty.Calls("C_Login") != 1 {
				t.Errorf("%d wrong PINs, %d logins", faulty.WrongPINs(), faulty.Calls("C_Login"))
			}
			cfg.PIN = right
			closeToken(t, open(t, cfg))
			if faulty.WrongPINs() != 0 {
				t.Errorf("%d wrong PINs after the right one", faulty.WrongPINs())
			}
			// Each distinct PIN costs one; the last try is not spent where the token shows that it is the last.
			for _, pin := range []string{"wrong-one", "wrong-two", "wrong-three", "wrong-four"} {
				cfg.PIN = hsm.PINValue(hsm.NewPIN([]byte(pin)))
				_, err := hsm.Open(t.Context(), cfg, quiet)
				wantKind(t, err, hsm.PINRefused)
			}
			if want := map[string]int{"": 2, "pin-silent": 3}[silent]; faulty.WrongPINs() != want {
				t.Errorf("%d wrong PINs, want %d", faulty.WrongPINs(), want)
			}
		})
	}
}

// A token that gives fewer sessions than the configuration allows serves with those it gives.
func TestFewSessions(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		w := atWork(t, i, func(c *hsm.TokenConfig) { c.Sessions = 6 })
		w.Set("sessions 3", "call C_Sign delay=1ms") // the anchor and two
		w.signAll(t, 6, 20)
		if n := w.Sessions(); n != 3 {
			t.Errorf("%d sessions", n)
		}
	})
}

// Sessions that died, and the login with them, are replaced without a caller's notice.
func TestDeadSessions(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		w := atWork(t, i)
		before := w.Calls("C_Login")
		for range 5 {
			w.signAll(t, 4, 5)
			w.KillSessions()
		}
		w.signAll(t, 1, 1)
		if n := w.Calls("C_Login") - before; n < 5 || n > 10 { // two sessions that die apart may be taken for two losses
			t.Errorf("%d logins for five losses", n)
		}
		if w.WrongPINs() != 0 {
			t.Error("a wrong PIN")
		}
	})
}

// Return codes of single calls: what can be put right is, what is final reaches the caller with its kind.
func TestReturnCodes(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		w := atWork(t, i)
		for _, test := range []struct {
			rule string
			kind hsm.Kind
			good bool
		}{
			{"call C_Sign at=1 return=0xB3", 0, true},
			{"call C_SignInit at=1 return=0xB3", 0, true},
			{"call C_SignInit at=1 return=0x90", 0, true},
			{"call C_SignInit at=1 return=0x82", 0, true},
			{"call C_Sign at=1 return=0x50", 0, true},
			{"call C_SignInit times=1 return=0x101", 0, true},
			{"call C_Sign at=1 return=0x30", 0, true},
			{"call C_Sign at=1 return=0x32", 0, true},
			{"call C_Sign at=1 return=0xE0", 0, true},
			{"call C_Sign times=2 return=0x31", 0, true},
			{"call C_Sign return=0x30", hsm.Away, false},
			{"call C_Sign return=0x32", hsm.Away, false},
			{"call C_Sign return=0x31", hsm.Busy, false},
			{"call C_Sign return=0xB3", hsm.Away, false},
			{"call C_SignInit return=0x70", hsm.Config, false},
			{"call C_SignInit return=0x63", hsm.KeyUnusable, false},
			{"call C_Sign return=0x80000019", hsm.Internal, false},
		} {
			t.Run(test.rule, func(t *testing.T) {
				w.Set(test.rule)
				err := w.sign(t)
				w.Set()
				if test.good && err != nil {
					t.Error(err)
				}
				if !test.good {
					wantKind(t, err, test.kind)
				}
				w.soon(t)
			})
		}
		if err := w.key.Err(); err != nil {
			t.Error(err)
		}
	})
}

// An unplugged token answers at once, gives no wrong signature, and serves within a second of its return.
func TestUnplug(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		w := atWork(t, i)
		var stop atomic.Bool
		var signed, away atomic.Int64
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for !stop.Load() {
					switch err := w.sign(t); {
					case err == nil:
						signed.Add(1)
					case hsm.KindOf(err) == hsm.Away:
						away.Add(1)
						time.Sleep(time.Millisecond)
					default:
						t.Errorf("%v (%v)", err, hsm.KindOf(err))
					}
				}
			})
		}
		until := func(n *atomic.Int64, more int64) {
			t.Helper()
			target := n.Load() + more
			await.NoError(t, func() error {
				if n.Load() < target {
					return fmt.Errorf("%d signed, %d away, %+v", signed.Load(), away.Load(), w.Health())
				}
				return nil
			})
		}
		defer group.Wait()
		defer stop.Store(true)
		for range 3 {
			until(&signed, 20)
			w.Set("unplug")
			until(&away, 20)
			w.Set()
			begun := time.Now()
			until(&signed, 1)
			t.Logf("back after %v", time.Since(begun))
		}
	})
}

// A call that hangs frees its caller when the context ends; the others go on while sessions are left, and after the time of
// a call the request is carried on.
func TestCallHangs(t *testing.T) {
	w := atWork(t, hsm.InProcess, func(c *hsm.TokenConfig) { c.CallTime = 500 * time.Millisecond })
	w.signAll(t, 4, 5)
	w.Set("call C_Sign at=1 hang")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := w.Submit(ctx, w.key, make([]byte, 32), hsm.Flow{})
	wantKind(t, err, hsm.Expired)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	w.signAll(t, 1, 5)
	w.Set("call C_Sign at=1 hang")
	w.signAll(t, 4, 5) // one of them waits, and is signed all the same
	w.Set()            // lets them go
	w.signAll(t, 4, 5)
}

// A module in a process of its own that crashes or hangs costs a retry, and no request.
func TestModuleDies(t *testing.T) {
	for _, how := range []string{"abort", "segv", "kill", "hang"} {
		t.Run(how, func(t *testing.T) {
			var w *work
			begun := make(chan struct{})
			var lost atomic.Int32
			w = atWork(t, hsm.Separate, func(c *hsm.TokenConfig) {
				c.CallTime = time.Second
				c.Trace = &hsm.Trace{State: func(_ string, s hsm.State, _ error) {
					select {
					case <-begun:
						if s == hsm.Recovering {
							lost.Add(1)
							go w.Set() // the next process would do the same
						}
					default:
					}
				}}
			})
			w.signAll(t, 4, 5)
			close(begun)
			w.Set("call C_Sign at=7 " + how)
			start := time.Now()
			w.signAll(t, 4, 20)
			if lost.Load() == 0 {
				t.Error("nothing happened to the module")
			}
			t.Logf("80 signatures and a dead module took %v", time.Since(start))
			w.signAll(t, 4, 5)
		})
	}
}

// Whatever a token does to a signature, it does not leave, and the key leaves service.
func TestCorruptedSignatures(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		for _, how := range []string{"flip", "swap", "reverse", "halves", "zero"} {
			t.Run(how, func(t *testing.T) {
				w := atWork(t, i)
				w.signAll(t, 1, 2)
				w.Set("call C_Sign at=3 corrupt=" + how)
				n := 0
				var err error
				for err == nil && n < 10 {
					err = w.sign(t)
					n++
				}
				wantKind(t, err, hsm.WrongSignature)
				if n != 3 {
					t.Errorf("signature %d was refused", n)
				}
				named := map[string]string{"swap": "r ‖ s", "reverse": "whole signature reversed", "halves": "each half"}[how]
				if !strings.Contains(err.Error(), named) {
					t.Errorf("the fault has another name: %v", err)
				}
				if w.key.Err() == nil {
					t.Error("the key is still in service")
				}
				wantKind(t, w.sign(t), hsm.WrongSignature)
			})
		}
	})
}

// Several tokens are at work in one process, each with faults of its own.
func TestTwoFaultyTokens(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		one, two := atWork(t, i), atWork(t, i)
		one.Set("unplug")
		wantKind(t, one.sign(t), hsm.Away)
		if err := two.sign(t); err != nil {
			t.Error(err)
		}
		two.Set("call * return=0x30")
		wantKind(t, two.sign(t), hsm.Away)
		one.Set()
		two.Set()
		one.soon(t)
		two.soon(t)
	})
}

// A module that takes its process down takes no more than that: the next process serves.
func TestCrash(t *testing.T) {
	if file := os.Getenv("EPOV_CRASH"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(string(text))
		token := open(t, hsm.TokenConfig{Module: f[0], Label: f[1], PIN: hsm.PINValue(hsm.NewPIN([]byte(f[2]))), StateDir: f[3]})
		key, err := token.Key(t.Context(), "EXMP01/ov/1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
		return
	}
	faulty := softhsm.NewFaulty(t)
	cfg := config(t, faulty.Token)
	token := open(t, cfg)
	newKey(t, token, "EXMP01/ov/1")
	closeToken(t, token)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(strings.Join([]string{faulty.Module, faulty.Label, faulty.PIN, cfg.StateDir}, " ")),
		0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (string, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
		cmd.Env = append(os.Environ(), "EPOV_CRASH="+file)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for rule, want := range map[string]string{
		"call C_Sign at=2 abort": "signal: aborted", "call C_Sign at=2 segv": "signal: segmentation fault",
		"call C_Sign at=2 kill": "signal: killed",
	} {
		faulty.Set(rule)
		if out, err := run(); err == nil || err.Error() != want {
			t.Errorf("%s: the process ended with %v: %s", rule, err, out)
		}
		faulty.Set()
		if out, err := run(); err != nil {
			t.Errorf("after %s: %v: %s", rule, err, out)
		}
	}
	// A crash in the login may have cost a try: one more is spent, then an operator is asked.
	faulty.Set("call C_Login abort")
	for i, want := range []string{"signal: aborted", "signal: aborted", "is not known"} {
		if out, err := run(); err == nil || !strings.Contains(out+err.Error(), want) {
			t.Errorf("start %d ended with %v: %s", i+1, err, out)
		}
	}
}
