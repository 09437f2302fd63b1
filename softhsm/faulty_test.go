package softhsm_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// faultyKey is a session with a faulty token, and a key.
func faultyKey(tb testing.TB) (*softhsm.Faulty, *client, pkcs11.ObjectHandle) {
	tb.Helper()
	faulty := softhsm.NewFaulty(tb)
	c := connect(tb, faulty.Token)
	_, priv := c.pair("key", named("CryptoPro-A"))
	return faulty, c, priv
}

func (c *client) try(s pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
	_, err := c.signed(s, pkcs11.CKM_GOSTR3410, key, make([]byte, 32))
	return err
}

func TestRules(t *testing.T) {
	faulty, c, key := faultyKey(t)
	const n = 40
	for _, test := range []struct {
		rule string
		want string // x: fails
	}{
		{"at=3 return=0x31", "..x....."}, {"from=6 return=0x31", ".....xxx"}, {"every=2 return=0x31", ".x.x.x.x"},
		{"times=2 return=0x31", "xx......"}, {"return=0x31", "xxxxxxxx"}, {"every=3 times=1 return=0x31", "..x....."},
		{"chance=0 return=0x31", "........"}, {"chance=1 return=0x31", "xxxxxxxx"},
	} {
		for _, function := range []string{"C_Sign", "*"} {
			faulty.Set("call " + function + " " + test.rule)
			got := ""
			for range test.want {
				var err error
				if function == "*" { // any call will do
					_, err = c.GetSessionInfo(c.s)
				} else {
					err = c.try(c.s, key)
				}
				if err != nil {
					wantCode(t, err, pkcs11.CKR_DEVICE_MEMORY)
					got += "x"
				} else {
					got += "."
				}
				if err != nil && function == "C_Sign" { // the operation is still open: C_Sign did not reach the token
					c.must(c.CloseSession(c.s))
					c.s = c.session()
					c.login()
					key = c.find(pkcs11.CKO_PRIVATE_KEY, "key")
				}
			}
			if got != test.want {
				t.Errorf("%s %s: %s, want %s", function, test.rule, got, test.want)
			}
		}
	}
	// One seed gives one sequence.
	var runs []string
	for range 2 {
		faulty.Set("seed 7", "call C_GetSessionInfo chance=0.5 return=0x31")
		got := ""
		for range n {
			if _, err := c.GetSessionInfo(c.s); err != nil {
				got += "x"
			} else {
				got += "."
			}
		}
		runs = append(runs, got)
	}
	if failed := strings.Count(runs[0], "x"); runs[0] != runs[1] || failed < n/5 || failed > n*4/5 {
		t.Errorf("%s and %s", runs[0], runs[1])
	}
}

// What a rule counts it strikes: a call with a dead session, too.
func TestRulesOnDeadSessions(t *testing.T) {
	faulty, c, _ := faultyKey(t)
	faulty.Set("call C_GetSessionInfo times=1 return=0x190")
	faulty.KillSessions()
	_, err := c.GetSessionInfo(c.s)
	wantCode(t, err, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)
	_, err = c.GetSessionInfo(c.s)
	wantCode(t, err, pkcs11.CKR_SESSION_HANDLE_INVALID)
}

func TestDelays(t *testing.T) {
	faulty, c, _ := faultyKey(t)
	took := func(calls int) time.Duration {
		t.Helper()
		start := time.Now()
		var group sync.WaitGroup
		for range calls {
			group.Go(func() {
				if _, err := c.GetSessionInfo(c.s); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		return time.Since(start)
	}
	for _, delay := range []string{"20ms", "20000us", "0.02s", "20ms..25ms"} {
		faulty.Set("call C_GetSessionInfo delay=" + delay)
		if d := took(1); d < 20*time.Millisecond {
			t.Errorf("delay %s: %v", delay, d)
		}
	}
	faulty.Set("seed 1", "call C_GetSessionInfo delay=exp:1ms")
	start := time.Now()
	for range 100 {
		took(1)
	}
	if d := time.Since(start); d < 40*time.Millisecond {
		t.Errorf("a hundred delays of 1 ms in the mean: %v", d)
	}
	faulty.Set("serial", "call C_GetSessionInfo delay=10ms")
	if d := took(5); d < 50*time.Millisecond {
		t.Errorf("five calls of 10 ms one after another: %v", d)
	}
}

func TestDeadSessionsStayDead(t *testing.T) {
	faulty, c, key := faultyKey(t)
	old := c.s
	faulty.Set("unplug")
	slots, err := c.GetSlotList(true)
	if err != nil || len(slots) != 0 {
		t.Errorf("slots %v, %v", slots, err)
	}
	_, err = c.GetTokenInfo(c.slot)
	wantCode(t, err, pkcs11.CKR_TOKEN_NOT_PRESENT)
	_, err = c.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION)
	wantCode(t, err, pkcs11.CKR_TOKEN_NOT_PRESENT)
	wantCode(t, c.try(old, key), pkcs11.CKR_DEVICE_REMOVED)
	if n := faulty.Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
	faulty.Set()
	wantCode(t, c.try(old, key), pkcs11.CKR_SESSION_HANDLE_INVALID)
	c.s = c.session()
	if c.s == old {
		t.Error("a handle is given out twice")
	}
	info, err := c.GetSessionInfo(c.s)
	if err != nil || info.State != pkcs11.CKS_RW_PUBLIC_SESSION {
		t.Errorf("state %d, %v: the login is not lost", info.State, err)
	}
	c.login()
	c.must(c.try(c.s, c.find(pkcs11.CKO_PRIVATE_KEY, "key")))
	faulty.KillSessions()
	wantCode(t, c.try(c.s, key), pkcs11.CKR_SESSION_HANDLE_INVALID)
	c.s = c.session()
	c.session()
	faulty.Set("sessions 2")
	_, err = c.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION)
	wantCode(t, err, pkcs11.CKR_SESSION_COUNT)
	c.must(c.CloseAllSessions(c.slot))
	wantCode(t, c.try(c.s, key), pkcs11.CKR_SESSION_HANDLE_INVALID)
	c.s = c.session()
}

func TestPINLocks(t *testing.T) {
	faulty, c, _ := faultyKey(t)
	c.must(c.Logout(c.s))
	faulty.Set("pin-tries 3", "manufacturer Aktiv Co.", "model Rutoken ECP")
	const low, final, locked = pkcs11.CKF_USER_PIN_COUNT_LOW, pkcs11.CKF_USER_PIN_FINAL_TRY, pkcs11.CKF_USER_PIN_LOCKED
	flags := func(want uint) {
		t.Helper()
		info, err := c.GetTokenInfo(c.slot)
		c.must(err)
		if got := info.Flags & (low | final | locked); got != want {
			t.Errorf("flags %#x, want %#x", got, want)
		}
		if info.ManufacturerID != "Aktiv Co." || info.Model != "Rutoken ECP" {
			t.Errorf("%q %q", info.ManufacturerID, info.Model)
		}
	}
	wrong := func() error { return c.Login(c.s, pkcs11.CKU_USER, "wrong-wrong") }
	flags(0)
	wantCode(t, wrong(), pkcs11.CKR_PIN_INCORRECT)
	flags(low)
	c.login()
	flags(0)
	c.must(c.Logout(c.s))
	for _, want := range []uint{low, low | final, low | locked} {
		wantCode(t, wrong(), pkcs11.CKR_PIN_INCORRECT)
		flags(want)
	}
	wantCode(t, c.Login(c.s, pkcs11.CKU_USER, c.token.PIN), pkcs11.CKR_PIN_LOCKED)
	if faulty.WrongPINs() != 3 {
		t.Errorf("%d wrong PINs", faulty.WrongPINs())
	}
	// It outlasts the module.
	c.must(c.Finalize())
	c.must(c.Initialize())
	flags(low | locked)
	c.s = c.session()
}

// A wrong PIN counts in C_SetPIN too, unless it is the security officer's.
func TestPINLocksByChanging(t *testing.T) {
	faulty, c, _ := faultyKey(t)
	c.must(c.Logout(c.s))
	faulty.Set("pin-tries 3")
	change := func() error { return c.SetPIN(c.s, "wrong-wrong", "another-pin") }
	wantCode(t, change(), pkcs11.CKR_PIN_INCORRECT)
	if faulty.WrongPINs() != 1 {
		t.Errorf("%d wrong PINs", faulty.WrongPINs())
	}
	c.must(c.SetPIN(c.s, c.token.PIN, c.token.PIN))
	if faulty.WrongPINs() != 0 {
		t.Errorf("%d wrong PINs after the right one", faulty.WrongPINs())
	}
	c.must(c.Login(c.s, pkcs11.CKU_SO, c.token.SOPIN))
	wantCode(t, change(), pkcs11.CKR_PIN_INCORRECT)
	c.must(c.Logout(c.s))
	if faulty.WrongPINs() != 0 {
		t.Error("the security officer's PIN was counted")
	}
	for range 3 {
		wantCode(t, change(), pkcs11.CKR_PIN_INCORRECT)
	}
	wantCode(t, c.SetPIN(c.s, c.token.PIN, "another-pin"), pkcs11.CKR_PIN_LOCKED)
	// The security officer unlocks it.
	c.must(c.Login(c.s, pkcs11.CKU_SO, c.token.SOPIN))
	c.must(c.InitPIN(c.s, c.token.PIN))
	c.must(c.Logout(c.s))
	c.login()
}

// What the shim does not understand it does not guess.
func TestControlIsStrict(t *testing.T) {
	faulty, c, key := faultyKey(t)
	for _, line := range []string{
		"unplugged", "unplug now", "sessions", "sessions x", "sessions -1", "call", "call C_Sing return=1", "call C_Sign code=1",
		"call C_Sign at=0 hang", "call C_Sign delay=5", "call C_Sign delay=9ms..1ms", "call C_Sign delay=exp:", "call C_Sign return=",
		"call C_Sign return=1x", "call C_Sign chance=1.5", "call C_Sign corrupt=all", "private-params 0", "private-params zz",
		"private-params " + strings.Repeat("00", 65), "env NAME", "model " + strings.Repeat("x", 17), "flags", "seed",
		strings.Repeat("call C_Sign delay=1us\n", 257), strings.Repeat("#", 1<<16),
	} {
		faulty.Set(line)
		wantCode(t, c.try(c.s, key), pkcs11.CKR_GENERAL_ERROR)
	}
	faulty.Set("", "  # a comment", "\tcall C_Sign")
	c.must(c.try(c.s, key))
}

// Signatures are changed in just the way that was asked for.
func TestCorruption(t *testing.T) {
	faulty := softhsm.NewFaulty(t)
	c := connect(t, faulty.Token)
	p := named("CryptoPro-A")
	pub, priv := c.pair("key", p)
	digest := make([]byte, 32)
	reversed := func(b []byte) []byte {
		out := make([]byte, len(b))
		for i, o := range b {
			out[len(b)-1-i] = o
		}
		return out
	}
	for how, undo := range map[string]func([]byte) []byte{
		"swap":    func(b []byte) []byte { return append(bytes.Clone(b[32:]), b[:32]...) },
		"reverse": reversed,
		"halves":  func(b []byte) []byte { return append(reversed(b[:32]), reversed(b[32:])...) },
		"flip":    nil,
		"zero":    nil,
	} {
		faulty.Set("call C_Sign corrupt=" + how)
		signature, err := c.signed(c.s, p.sign, priv, digest)
		c.must(err)
		if c.public(pub, p).Verify(digest, signature) == nil {
			t.Errorf("%s: the signature is right", how)
		}
		if undo != nil {
			c.must(c.public(pub, p).Verify(digest, undo(signature)))
		}
		if how == "zero" && !bytes.Equal(signature, make([]byte, 64)) {
			t.Errorf("% x", signature)
		}
	}
}
