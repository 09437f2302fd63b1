package hsm_test

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
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

// opened is a faulty token, open, with a key.
func opened(tb testing.TB) (*softhsm.Faulty, *hsm.Token, *hsm.Key) {
	tb.Helper()
	faulty := softhsm.NewFaulty(tb)
	token := open(tb, config(tb, faulty.Token))
	return faulty, token, newKey(tb, token, "EXMP01/ov/1")
}

func sign(tb testing.TB, key *hsm.Key) error {
	tb.Helper()
	digest := make([]byte, 32)
	_, _ = rand.Read(digest) // never fails
	signature, err := key.SignDigest(tb.Context(), digest)
	if err != nil {
		return err
	}
	return key.Public().Verify(digest, signature)
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
	faulty := softhsm.NewFaulty(t)
	faulty.Set("sessions 3", "call C_Sign delay=1ms") // the anchor and two
	key := newKey(t, open(t, config(t, faulty.Token)), "EXMP01/ov/1")
	signAll(t, key, 6, 20)
	if n := faulty.Sessions(); n != 3 {
		t.Errorf("%d sessions", n)
	}
}

// signAll has workers sign at once; all must succeed.
func signAll(t *testing.T, key *hsm.Key, workers, each int) {
	t.Helper()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range each {
				if err := sign(t, key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// Sessions that died, and the login with them, are replaced without a caller's notice.
func TestDeadSessions(t *testing.T) {
	faulty, _, key := opened(t)
	for range 5 {
		signAll(t, key, 4, 5)
		faulty.KillSessions()
	}
	if n := faulty.Calls("C_Login"); n != 5 {
		t.Errorf("%d logins for one opening and four losses", n)
	}
	if faulty.WrongPINs() != 0 {
		t.Error("a wrong PIN")
	}
}

// Return codes of single calls: what may be tried again is, what is final reaches the caller with its kind.
func TestReturnCodes(t *testing.T) {
	faulty, _, key := opened(t)
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
		{"call C_Sign return=0x30", hsm.Away, false},
		{"call C_Sign return=0x32", hsm.Away, false},
		{"call C_Sign return=0x31", hsm.Busy, false},
		{"call C_Sign return=0xB3", hsm.Away, false},
		{"call C_SignInit return=0x70", hsm.Config, false},
		{"call C_SignInit return=0x63", hsm.KeyUnusable, false},
		{"call C_Sign return=0x80000019", hsm.Internal, false},
		{"call C_Sign return=0x05", hsm.Internal, false},
	} {
		t.Run(test.rule, func(t *testing.T) {
			faulty.Set(test.rule)
			err := sign(t, key)
			faulty.Set()
			if test.good && err != nil {
				t.Error(err)
			}
			if !test.good {
				wantKind(t, err, test.kind)
			}
			if err := sign(t, key); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	if err := key.Err(); err != nil {
		t.Error(err)
	}
}

// An unplugged token answers at once, gives no wrong signature, and serves when it is back.
func TestUnplug(t *testing.T) {
	faulty, _, key := opened(t)
	var stop atomic.Bool
	var signed, away atomic.Int64
	var slowest atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for !stop.Load() {
				start := time.Now()
				switch err := sign(t, key); {
				case err == nil:
					signed.Add(1)
				case hsm.KindOf(err) == hsm.Away:
					away.Add(1)
					slowest.Store(max(slowest.Load(), int64(time.Since(start))))
					time.Sleep(time.Millisecond)
				default:
					t.Errorf("%v (%v)", err, hsm.KindOf(err))
				}
			}
		})
	}
	until := func(n *atomic.Int64, more int64) {
		t.Helper()
		for target, end := n.Load()+more, time.Now().Add(20*time.Second); n.Load() < target; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d signed, %d away", signed.Load(), away.Load())
			}
		}
	}
	defer group.Wait()
	defer stop.Store(true)
	for range 3 {
		until(&signed, 20)
		faulty.Set("unplug")
		until(&away, 20)
		faulty.Set()
	}
	until(&signed, 20)
	if slowest := time.Duration(slowest.Load()); slowest > 5*time.Second {
		t.Errorf("a caller waited %v for a token that was away", slowest)
	}
}

// A call that hangs frees its caller when the context ends; the others go on while sessions are left.
func TestCallHangs(t *testing.T) {
	faulty, _, key := opened(t)
	faulty.Set("call C_Sign at=1 hang")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := key.SignDigest(ctx, make([]byte, 32))
	wantKind(t, err, hsm.Expired)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	signAll(t, key, 2, 5)
	faulty.Set() // lets it go
	signAll(t, key, 4, 5)
}

// Whatever a token does to a signature, it does not leave, and the key leaves service.
func TestCorruptedSignatures(t *testing.T) {
	for _, how := range []string{"flip", "swap", "reverse", "halves", "zero"} {
		t.Run(how, func(t *testing.T) {
			faulty, _, key := opened(t)
			signAll(t, key, 1, 2)
			faulty.Set("call C_Sign at=3 corrupt=" + how)
			n := 0
			var err error
			for err == nil && n < 10 {
				err = sign(t, key)
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
			if key.Err() == nil {
				t.Error("the key is still in service")
			}
			wantKind(t, sign(t, key), hsm.WrongSignature)
		})
	}
}

// Several tokens are at work in one process, each with faults of its own.
func TestTwoFaultyTokens(t *testing.T) {
	one, _, first := opened(t)
	two, _, second := opened(t)
	one.Set("unplug")
	wantKind(t, sign(t, first), hsm.Away)
	if err := sign(t, second); err != nil {
		t.Error(err)
	}
	two.Set("call * return=0x30")
	wantKind(t, sign(t, second), hsm.Away)
	one.Set()
	two.Set()
	for _, key := range []*hsm.Key{first, second} {
		if err := sign(t, key); err != nil {
			t.Error(err)
		}
	}
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
		if err := sign(t, key); err != nil {
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
	if err := os.WriteFile(file, []byte(strings.Join([]string{faulty.Module, faulty.Label, faulty.PIN, cfg.StateDir}, " ")), 0o600); err != nil {
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
