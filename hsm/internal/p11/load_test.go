package p11

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// A library is initialised once, whatever names it goes by, and finalised with its last user.
func TestLoad(t *testing.T) {
	soft := softhsm.New(t)
	link := filepath.Join(t.TempDir(), "module.so")
	if err := os.Symlink(soft.Module, link); err != nil {
		t.Fatal(err)
	}
	_, release, err := Load(soft.Module)
	if err != nil {
		t.Fatal(err)
	}
	second, releaseSecond, err := Load(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil { // a second call does nothing
		t.Fatal(err)
	}
	if _, err := second.Slots(); err != nil {
		t.Errorf("finalised while in use: %v", err)
	}
	if _, err := Foreign(link, func() (func() error, error) { panic("opened") }); !errors.Is(err, ErrInUse) {
		t.Errorf("a foreign owner came in late: %v", err)
	}
	if err := releaseSecond(); err != nil {
		t.Fatal(err)
	}
	if len(loaded) != 0 {
		t.Errorf("still loaded: %v", loaded)
	}

	// A foreign owner that leaves early stays until our users have gone.
	closed := false
	releaseForeign, err := Foreign(soft.Module, func() (func() error, error) {
		ctx := pkcs11.New(soft.Module)
		return func() error { closed = true; defer ctx.Destroy(); return ctx.Finalize() }, ctx.Initialize()
	})
	if err != nil {
		t.Fatal(err)
	}
	third, release, err := Load(soft.Module)
	if err != nil {
		t.Fatal(err)
	}
	if err := releaseForeign(); err != nil || closed {
		t.Errorf("closed %v, %v", closed, err)
	}
	if _, err := third.Slots(); err != nil {
		t.Error(err)
	}
	if err := release(); err != nil || !closed {
		t.Errorf("closed %v, %v", closed, err)
	}
	if len(loaded) != 0 {
		t.Errorf("still loaded: %v", loaded)
	}
}

// A module that could not be finalised is when it is loaded the next time: no session and no login outlives its users. While
// it still refuses it stays as it is, and serves.
func TestUnfinalised(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	loggedIn := func(fresh bool) (in bool, release func() error) {
		t.Helper()
		m, release, err := Load(soft.Module)
		if err != nil {
			t.Fatal(err)
		}
		slots, err := m.Slots()
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.OpenSession(slots[0], false)
		if err != nil {
			t.Fatal(err)
		}
		if in, err = m.LoggedIn(s); err != nil {
			t.Fatal(err)
		}
		if fresh {
			if err := m.Login(s, User, soft.PIN); err != nil {
				t.Fatal(err)
			}
		}
		return in, release
	}
	_, release := loggedIn(true)
	soft.Set("call C_Finalize return=0x30")
	for range 2 {
		if err := release(); !errors.Is(err, DeviceError) {
			t.Fatal("C_Finalize:", err)
		}
		var in bool
		if in, release = loggedIn(false); !in {
			t.Error("it was finalised, whatever it says; nothing is tested")
		}
	}
	if err := release(); !errors.Is(err, DeviceError) {
		t.Fatal("C_Finalize:", err)
	}
	soft.Set()
	in, release := loggedIn(true)
	if in {
		t.Error("the login of users that have gone holds")
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if in, release = loggedIn(false); in {
		t.Error("the login outlives C_Finalize")
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

func TestLoadRefusesOtherFiles(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, text + ".none"} {
		if _, _, err := Load(path); err == nil {
			t.Errorf("%s was loaded", path)
		}
	}
}

func TestNumber(t *testing.T) {
	if n, err := Number(Attr(AttrKeyType, KeyTypeGOST512).Value); err != nil || n != KeyTypeGOST512 {
		t.Errorf("%#x %v", n, err)
	}
	if _, err := Number([]byte{1, 2, 3}); err == nil {
		t.Error("three octets are a number")
	}
}
