package hsm

import (
	"bytes"
	"context"
	"encoding/asn1"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags uint
		kind  Kind
	}{
		{"locked", p11.FlagUserPINSet | p11.FlagPINLocked, PINRefused},
		{"final try", p11.FlagUserPINSet | p11.FlagPINFinalTry, PINRefused},
		{"no PIN", 0, PINRefused},
		{"to be changed", p11.FlagUserPINSet | p11.FlagPINToBeChanged, PINRefused},
		{"pad", p11.FlagUserPINSet | p11.FlagProtectedPath, Config},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			f.SetFlags(p11.FlagTokenInitialised | test.flags)
			_, err := f.tryOpen(t)
			wantKind(t, err, test.kind)
			if f.Calls("Login") != 0 {
				t.Error("C_Login was called")
			}
			if f.released.Load() != 1 || f.Sessions() != 0 {
				t.Error("the module was not let go of")
			}
		})
	}
	t.Run("final try by an operator", func(t *testing.T) {
		f := newStand(t)
		f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | p11.FlagPINFinalTry)
		f.cfg.AllowFinalTry = true
		f.open(t)
	})
	t.Run("count low without a record", func(t *testing.T) {
		f := newStand(t)
		f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | p11.FlagPINCountLow)
		f.open(t)
	})
}

// Any number of restarts spends one try for each distinct PIN.
func TestOneTryForEachPIN(t *testing.T) {
	f := newStand(t)
	right := f.cfg.PIN
	for i, wrong := range []string{"wrong-pin-a", "wrong-pin-c"} {
		f.cfg.PIN = PINValue(NewPIN([]byte(wrong)))
		for range 5 {
			_, err := f.tryOpen(t)
			wantKind(t, err, PINRefused)
			if strings.Contains(err.Error(), wrong) {
				t.Error("the error tells the PIN")
			}
		}
		if n := f.Calls("Login"); n != i+1 {
			t.Fatalf("%d tries for %d PINs", n, i+1)
		}
	}
	if f.cfg.PIN = right; f.open(t) == nil {
		t.Fatal("the right PIN does not open the token")
	}
	if strings.Contains(f.log.String(), "wrong-pin") || strings.Contains(f.log.String(), fakePIN) {
		t.Error("the log tells a PIN")
	}
	// The login cleared the record.
	if files, _ := filepath.Glob(filepath.Join(f.cfg.StateDir, "*.json")); len(files) != 0 {
		t.Errorf("left in the state directory: %v", files)
	}
}

// A login that hangs does not hold Open; what it began is undone when the module answers.
func TestOpenHangs(t *testing.T) {
	f := newStand(t)
	synctest.Test(t, func(t *testing.T) {
		f.Fault = func(call string) error {
			if call == "Login" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		cfg, err := f.cfg.checked()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = open(ctx, cfg, slog.New(slog.DiscardHandler), f.load)
		wantKind(t, err, Expired)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if f.released.Load() != 1 || f.Sessions() != 0 {
			t.Error("what was begun is not undone")
		}
	})
}

func TestKeysOnFake(t *testing.T) {
	f := newStand(t)
	public := f.key.Public().(*gost.PublicKey).Bytes()
	wrapped, err := asn1.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	f.addKey("wrapped/ov/1", wrapped)
	offCurve := bytes.Clone(public)
	offCurve[0] ^= 1
	f.addKey("off/ov/1", offCurve)
	f.addKey("twice/ov/1", public)
	f.addKey("twice/ov/1", public)
	private := func(id string, more ...*p11.Attribute) {
		f.Add(append(more, p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrID, id))...)
	}
	gostKey := p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST)
	private("touch/ov/1", gostKey, p11.Attr(p11.AttrRutokenTouch, true))
	private("always/ov/1", gostKey, p11.Attr(p11.AttrAlwaysAuth, true))
	private("rsa/ov/1", p11.Attr(p11.AttrKeyType, p11.KeyTypeRSA))
	private("alone/ov/1", gostKey)
	token := f.open(t)
	for id, want := range map[string]Kind{
		"wrapped/ov/1": -1, "off/ov/1": KeyUnusable, "twice/ov/1": Ambiguous, "touch/ov/1": KeyUnusable, "always/ov/1": KeyUnusable,
		"rsa/ov/1": KeyUnusable, "alone/ov/1": KeyUnusable, "none/ov/1": KeyNotFound, "": Invalid, "a b": Invalid,
	} {
		if _, err := token.Key(t.Context(), id); want >= 0 {
			wantKind(t, err, want)
		} else if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	list, err := token.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	problems := 0
	for _, k := range list {
		if k.Problem != "" {
			problems++
		}
	}
	if len(list) != 9 || problems != 6 { // off, twice (2), touch, always, alone
		t.Errorf("%d keys, %d with problems: %+v", len(list), problems, list)
	}
	if _, err := token.Key(t.Context(), "EXMP01/ov/1"); err != nil {
		t.Error(err)
	}
	k, _ := token.Key(t.Context(), "EXMP01/ov/1")
	for _, n := range []int{0, 31, 33, 64} {
		_, err := k.SignDigest(t.Context(), make([]byte, n))
		wantKind(t, err, Invalid)
	}
}

// Erasing a token takes the security officer's PIN, which is not brought nearer to its lock either.
func TestInitTokenSparesThePIN(t *testing.T) {
	for _, flag := range []uint{p11.FlagSOPINFinalTry, p11.FlagSOPINLocked} {
		f := newStand(t)
		f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | flag)
		pin := NewPIN([]byte("12345678"))
		_, err := initToken(f.Fake, InitOptions{Label: "new", Serial: "0f00", SOPIN: pin, UserPIN: pin, Erase: true})
		wantKind(t, err, PINRefused)
	}
}
