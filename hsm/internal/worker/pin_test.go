package worker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/hsm/internal/tpm"
	"github.com/epov-signer/epov/internal/swtpm"
	"github.com/epov-signer/epov/softhsm"
)

func (s *stand) logIn(t *testing.T, l pin.Login) error {
	t.Helper()
	h, err := s.OpenSession(s.slot, true)
	if err != nil {
		t.Error(err)
		return err
	}
	return s.LogIn(t.Context(), h, s.slot, l)
}

func wantRefused(t *testing.T, err error, text string) {
	t.Helper()
	if e, ok := errors.AsType[*pin.Error](err); !ok || e.Kind != pin.Refused || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want a refusal that says %q", err, text)
	}
}

// A PIN that a TPM sealed is unsealed within the confined process.
func TestSealedPIN(t *testing.T) {
	soft, machine := softhsm.New(t), swtpm.New(t)
	sealed, err := tpm.Seal(machine.Socket, []int{7}, soft.Serial, soft.PIN)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sealed")
	data, err := sealed.Marshal()
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	source := pin.Source{TPM: file, Device: machine.Socket}
	s := newStand(t, soft, func(o *Options) { o.Logins[0].Source = source })
	s.key(t, s.session(t))
	machine.Extend(7, "another key")
	s.Kill(errors.New("the PIN that it keeps"))
	s.take(t)
	wantRefused(t, s.logIn(t, s.login), "PCR 7 changed")
}

// However many workers try a wrong PIN at once, it costs one try.
func TestWrongPINInManyWorkers(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	soft.Set("pin-tries 10", "pin-silent")
	var stands []*stand
	state := filepath.Join(t.TempDir(), "state")
	for range 3 {
		stands = append(stands, newStand(t, soft.Token, func(o *Options) {
			o.Logins[0].Source, o.Logins[0].StateDir = pin.Source{Value: pin.NewPIN([]byte("surely-wrong"))}, state
		}))
	}
	var group sync.WaitGroup
	for _, s := range stands {
		for range 2 {
			group.Go(func() {
				if err := s.logIn(t, s.login); err == nil || strings.Contains(err.Error(), "surely") {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if soft.WrongPINs() != 1 || soft.Calls("C_Login") != 1 {
		t.Errorf("%d wrong PINs by %d logins", soft.WrongPINs(), soft.Calls("C_Login"))
	}
}

// A module that dies in C_Login takes its worker with it: the parent keeps no count, the record does.
func TestCrashInLogin(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	s := newStand(t, soft.Token)
	soft.Set("call C_Login abort")
	for range 2 {
		if err := s.logIn(t, s.login); !errors.Is(err, p11.ErrLost) {
			t.Errorf("%v", err)
		}
		s.take(t)
	}
	for range 2 {
		wantRefused(t, s.logIn(t, s.login), "is not known")
	}
	if n := soft.Calls("C_Login"); n != 2 {
		t.Errorf("%d tries", n)
	}
}

// A PIN that an operator corrects by a new file in the old one's place is found, though the worker was confined to the old.
func TestPINFileReplaced(t *testing.T) {
	soft := softhsm.New(t)
	s := newStand(t, soft)
	file := s.login.Source.File
	replace := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte("wrong-9021"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(t, s.login); !errors.Is(err, p11.PINIncorrect) {
		t.Fatal(err)
	}
	wantRefused(t, s.logIn(t, s.login), "refused this PIN before")
	replace(soft.PIN)
	err := s.logIn(t, s.login)
	for range 2 { // the spare was made before, too
		if errors.Is(err, p11.ErrLost) {
			s.take(t)
			err = s.logIn(t, s.login)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
