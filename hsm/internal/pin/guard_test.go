package pin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

const rightPIN = "right-5823"

// stand is a fake token with a session, and the way to log in to it.
type stand struct {
	*p11.Fake
	session p11.Session
	login   Login
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{Fake: p11.NewFake(p11.TokenInfo{
		Label: "fake", Serial: "0f00", Flags: p11.FlagUserPINSet, MinPIN: 4, MaxPIN: 32,
	}, rightPIN)}
	var err error
	if s.session, err = s.OpenSession(0, false); err != nil {
		t.Fatal(err)
	}
	s.login = Login{Serial: "0f00", StateDir: filepath.Join(t.TempDir(), "state"), Source: value(rightPIN)}
	return s
}

func value(pin string) Source { return Source{Value: NewPIN([]byte(pin))} }

// try logs in as a process does that starts anew.
func (s *stand) try(t *testing.T) error {
	t.Helper()
	var k Keeper
	defer k.Close()
	return k.LogIn(t.Context(), s, s.session, 0, s.login)
}

func (s *stand) record() string { return recordPath(s.login.StateDir, "0f00") }

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != want {
		t.Errorf("%v, want an error of kind %d", err, want)
	}
}

// A try whose outcome is not known may be followed by one more, unless the token shows that it counted.
func TestUnknownOutcome(t *testing.T) {
	for _, code := range []error{p11.DeviceError, p11.DeviceRemoved, p11.GeneralError, p11.FunctionFailed,
		p11.VendorDefined + 7, p11.ErrLost} {
		t.Run(code.Error(), func(t *testing.T) {
			s := newStand(t)
			s.Fault = func(call string) error {
				if call == "Login" {
					return code
				}
				return nil
			}
			for range 2 {
				if err := s.try(t); !errors.Is(err, code) {
					t.Error(err)
				}
			}
			for range 3 {
				wantKind(t, s.try(t), Refused)
			}
			if n := s.Calls("Login"); n != 2 {
				t.Errorf("%d tries", n)
			}
			// A token that is known to show wrong tries, and shows none, has counted none.
			s.login.FlagsTrusted = true
			if err := s.try(t); !errors.Is(err, code) {
				t.Error(err)
			}
			s.SetFlags(p11.FlagUserPINSet | p11.FlagPINCountLow)
			wantKind(t, s.try(t), Refused)
			s.SetFlags(p11.FlagUserPINSet)
			s.Fault = nil
			if err := s.try(t); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(s.record()); !os.IsNotExist(err) {
				t.Errorf("the record was left: %v", err)
			}
		})
	}
}

// What a token says before it looks at a PIN leaves no mark.
func TestUntried(t *testing.T) {
	for _, code := range []p11.Error{p11.SessionHandleInvalid, p11.TokenNotPresent, p11.CryptokiNotInitialized} {
		s := newStand(t)
		s.Fault = func(call string) error {
			if call == "Login" {
				return code
			}
			return nil
		}
		for range 5 {
			if err := s.try(t); !errors.Is(err, code) {
				t.Error(err)
			}
		}
		s.Fault = nil
		if err := s.try(t); err != nil {
			t.Error(err)
		}
	}
}

// What a token says before it looks at a PIN does not make it forget a try of unknown outcome either.
func TestUntriedBetween(t *testing.T) {
	s := newStand(t)
	var code error
	s.Fault = func(call string) error {
		if call == "Login" {
			return code
		}
		return nil
	}
	for _, code = range []error{p11.DeviceError, p11.SessionHandleInvalid, p11.TokenNotPresent, p11.DeviceError} {
		if err := s.try(t); !errors.Is(err, code) {
			t.Error(err)
		}
	}
	wantKind(t, s.try(t), Refused)
}

// A process that died within C_Login, and left the mark, is allowed one more try.
func TestInterrupted(t *testing.T) {
	s := newStand(t)
	mark := func(interrupted int) {
		t.Helper()
		now := time.Now()
		if err := os.MkdirAll(s.login.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := (record{Serial: "0f00", Attempt: &now, Interrupted: interrupted}).write(s.record()); err != nil {
			t.Fatal(err)
		}
	}
	mark(1)
	wantKind(t, s.try(t), Refused)
	mark(0)
	s.SetFlags(p11.FlagUserPINSet | p11.FlagPINCountLow)
	wantKind(t, s.try(t), Refused)
	if s.Calls("Login") != 0 {
		t.Error("a try was spent")
	}
	s.SetFlags(p11.FlagUserPINSet)
	if err := s.try(t); err != nil {
		t.Error(err)
	}
}

// Many logins at once with a wrong PIN cost one try.
func TestManyAtOnce(t *testing.T) {
	s := newStand(t)
	s.login.Source = value("surely-wrong")
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if err := s.try(t); err == nil || strings.Contains(err.Error(), "surely") {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.Calls("Login"); n != 1 {
		t.Errorf("%d tries", n)
	}
	// Nobody knows of the right PIN that it was refused.
	s.login.Source = value(rightPIN)
	if err := s.try(t); err != nil {
		t.Error(err)
	}
}

// One keeper's logins share the PIN that they read; the first refusal drops it while others have it in hand.
func TestSharedPIN(t *testing.T) {
	s := newStand(t)
	file := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(file, []byte("surely-wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.login.Source = Source{File: file}
	var k Keeper
	defer k.Close()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			err := k.LogIn(t.Context(), s, s.session, 0, s.login)
			if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Refused && !errors.Is(err, p11.PINIncorrect) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.Calls("Login"); n != 1 {
		t.Errorf("%d tries", n)
	}
	s.login.Source = value(rightPIN)
	s.login.Source.Value.Wipe()
	wantKind(t, k.LogIn(t.Context(), s, s.session, 0, s.login), Config)
}

// Only the first login of a PIN takes its time.
func BenchmarkLogInAgain(b *testing.B) {
	token := p11.NewFake(p11.TokenInfo{Serial: "0f00", Flags: p11.FlagUserPINSet}, rightPIN)
	session, err := token.OpenSession(0, false)
	if err != nil {
		b.Fatal(err)
	}
	var k Keeper
	defer k.Close()
	l := Login{Serial: "0f00", StateDir: b.TempDir(), Source: value(rightPIN)}
	b.ReportAllocs()
	for b.Loop() {
		if err := errors.Join(k.LogIn(b.Context(), token, session, 0, l), token.Logout(session)); err != nil {
			b.Fatal(err)
		}
	}
}

// A login that was there already says nothing of the PIN: what was refused stays so.
func TestAlreadyLoggedIn(t *testing.T) {
	s := newStand(t)
	s.login.Source = value("surely-wrong")
	wantKind(t, s.try(t), Answered)
	if err := s.Login(s.session, p11.User, rightPIN); err != nil {
		t.Fatal(err)
	}
	if s.login.Source = value("wrong-too"); s.try(t) != nil {
		t.Error("a login that is there was not good enough")
	}
	if err := s.Logout(s.session); err != nil {
		t.Fatal(err)
	}
	s.login.Source = value("surely-wrong")
	wantKind(t, s.try(t), Refused)
}

// The keeper reads a source once, and once more after a refusal.
func TestKeeper(t *testing.T) {
	s := newStand(t)
	file := filepath.Join(t.TempDir(), "pin")
	write := func(pin string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(pin), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var k Keeper
	defer k.Close()
	try := func() error { return k.LogIn(t.Context(), s, s.session, 0, s.login) }
	s.login.Source = Source{File: file}
	write("wrong-1234")
	wantKind(t, try(), Answered)
	wantKind(t, try(), Refused)
	write(rightPIN)
	for range 3 {
		if err := try(); err != nil {
			t.Error(err)
		}
		if err := s.Logout(s.session); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(file)
	}
	s.login.Serial = "0f01"
	wantKind(t, try(), Away)
	if n := s.Calls("Login"); n != 4 {
		t.Errorf("%d tries", n)
	}
}
