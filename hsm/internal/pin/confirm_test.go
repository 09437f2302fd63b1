package pin

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

const keyPIN = "key-44910"

// newKeyStand has a key that wants another PIN than the token's for each signature.
func newKeyStand(t *testing.T) *stand {
	t.Helper()
	s := newStand(t)
	s.KeyPIN, s.Signer = keyPIN, func([]byte) ([]byte, error) { return make([]byte, 64), nil }
	s.Add(p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrAlwaysAuth, true))
	if err := s.try(t); err != nil {
		t.Fatal(err)
	}
	return s
}

// confirm signs as a process does that starts anew.
func (s *stand) confirm(t *testing.T, secret string) error {
	t.Helper()
	var k Keeper
	defer k.Close()
	found, err := s.Find(s.session, nil, 1)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	l := s.login
	l.Source = value(secret)
	signature, err := k.Sign(t.Context(), []byte("x"), s, s.session, 0, p11.MechGOST, found[0], make([]byte, 32), l)
	if err == nil && (len(signature) != 65 || signature[0] != 'x') {
		t.Errorf("%d octets", len(signature))
	}
	return err
}

// A PIN that does not confirm is tried once. Neither the right one nor a login makes that forgotten, and it keeps neither away.
func TestConfirm(t *testing.T) {
	s := newKeyStand(t)
	path := confirmPath(s.login.StateDir, "0f00")
	if err := s.confirm(t, keyPIN); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("a record is left:", err)
	}
	begun := s.Calls("Login")
	wrong := []string{"wrong-11", rightPIN} // that of the token is another
	for _, secret := range wrong {
		if err := s.confirm(t, secret); !errors.Is(err, p11.PINIncorrect) {
			t.Error(err)
		}
		for range 2 {
			wantKind(t, s.confirm(t, secret), Refused)
			if err := s.confirm(t, keyPIN); err != nil {
				t.Error(err)
			}
			s.LogOut()
			if err := s.try(t); err != nil {
				t.Error(err)
			}
		}
	}
	if n := s.Calls("Login") - begun; n != len(wrong)*(1+2+2) {
		t.Errorf("%d calls of C_Login", n)
	}
	// What was signed without is not signed.
	found, err := s.Find(s.session, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(nil, s.session, p11.MechGOST, found[0], make([]byte, 32)); err != p11.UserNotLoggedIn {
		t.Error(err)
	}
}

// A confirmation that was cut short is made once more, and no more.
func TestConfirmationInterrupted(t *testing.T) {
	s := newKeyStand(t)
	s.SetFault(func(call string) error {
		if call == "Login" {
			return p11.ErrLost
		}
		return nil
	})
	for range 2 {
		if err := s.confirm(t, keyPIN); !errors.Is(err, p11.ErrLost) {
			t.Error(err)
		}
	}
	s.SetFault(nil)
	begun := s.Calls("Login")
	for range 3 {
		wantKind(t, s.confirm(t, keyPIN), Refused)
	}
	if n := s.Calls("Login") - begun; n != 0 {
		t.Errorf("%d tries more", n)
	}
	// One cut short by a crash, with nothing against it, is forgotten by the next that succeeds.
	now := time.Now()
	if err := (record{Serial: "0f00", Attempt: &now}).write(confirmPath(s.login.StateDir, "0f00")); err != nil {
		t.Fatal(err)
	}
	if err := s.confirm(t, keyPIN); err != nil {
		t.Error(err)
	}
	r, err := readRecord(confirmPath(s.login.StateDir, "0f00"), "0f00")
	if err != nil || r.Attempt != nil || r.Interrupted != 0 {
		t.Errorf("%+v %v", r, err)
	}
}
