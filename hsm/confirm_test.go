package hsm_test

import (
	"context"
	"encoding/asn1"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

const confirmedID = "EXMP01/ov/2"

// generateConfirmed puts a key on a token that wants its PIN for each signature. No command of ours makes such keys.
func generateConfirmed(t *testing.T, token *softhsm.Token, pin string) {
	t.Helper()
	m, release, err := p11.Load(token.Module)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	slots, err := m.Slots()
	if err != nil {
		t.Fatal(err)
	}
	oid, err := asn1.Marshal(cryptoProA().OID)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := m.TokenInfo(slot); err != nil || info.Serial != token.Serial {
			continue
		}
		s, err := m.OpenSession(slot, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Login(s, p11.User, pin); err != nil {
			t.Fatal(err)
		}
		_, key, err := m.GenerateKeyPair(s, p11.MechGOSTKeyPair,
			[]*p11.Attribute{p11.Attr(p11.AttrToken, true), p11.Attr(p11.AttrID, confirmedID), p11.Attr(p11.AttrGOSTR3410Params, oid)},
			[]*p11.Attribute{p11.Attr(p11.AttrToken, true), p11.Attr(p11.AttrID, confirmedID), p11.Attr(p11.AttrPrivate, true),
				p11.Attr(p11.AttrSign, true), p11.Attr(p11.AttrAlwaysAuth, true)})
		if err != nil {
			t.Fatal(err)
		}
		// The token means it.
		if _, err := m.Sign(nil, s, p11.MechGOST, key, make([]byte, 32)); err != p11.UserNotLoggedIn {
			t.Fatal("without a confirmation:", err)
		}
		if err := m.CloseSession(s); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the token is not there")
}

// Keys that want their PIN for each signature get it where one is configured for that, and are refused where not. A wrong one is
// tried once, whatever starts anew, and costs the other keys nothing.
func TestConfirmedKey(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		faulty := softhsm.NewFaulty(t)
		generateConfirmed(t, faulty.Token, faulty.PIN)
		cfg := config(t, faulty.Token)
		token := open(t, cfg)
		newKey(t, token, "EXMP01/ov/1")
		if _, err := token.Key(t.Context(), confirmedID); hsm.KindOf(err) != hsm.KeyUnusable ||
			!strings.Contains(err.Error(), "asks for its PIN") {
			t.Error(err)
		}
		closeToken(t, token)
		cfg.Name, cfg.Isolation, cfg.Sessions = "main", i, 4
		cfg.Sandbox.Write = []string{filepath.Dir(faulty.Module), filepath.Dir(faulty.Conf)}
		file := filepath.Join(t.TempDir(), "key-pin")
		cfg.KeyPIN = hsm.PINFile(file)
		writePIN := func(pin string) {
			t.Helper()
			if err := os.WriteFile(file+".new", []byte(pin), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}
		writePIN(faulty.PIN)

		token = open(t, cfg)
		k, err := token.Key(t.Context(), confirmedID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.SignDigest(t.Context(), make([]byte, 32)); err != nil {
			t.Error(err)
		}
		closeToken(t, token)

		try := func() (*hsm.Scheduler, error) {
			return hsm.Start(t.Context(), hsm.SchedulerConfig{Tokens: []hsm.TokenConfig{cfg}, Canary: -1, Keys: []hsm.KeyConfig{
				{Name: "free", Replicas: []hsm.KeyRef{{Token: "main", ID: "EXMP01/ov/1"}}},
				{Name: "confirmed", Replicas: []hsm.KeyRef{{Token: "main", ID: confirmedID}}},
			}}, quiet)
		}
		begin := func() *hsm.Scheduler {
			t.Helper()
			s, err := try()
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		end := func(s *hsm.Scheduler) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		}
		sign := func(s *hsm.Scheduler, name string) error {
			t.Helper()
			key := keyOf(t, s, name)
			return submit(t, s, key)
		}

		s := begin()
		done := make(chan error)
		const callers = 4
		for range callers {
			go func() {
				var err error
				for range 5 {
					if e := sign(s, "confirmed"); e != nil {
						err = e
					}
				}
				done <- err
			}()
		}
		for range callers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := sign(s, "free"); err != nil {
			t.Error(err)
		}
		records := func() []string {
			list, _ := filepath.Glob(filepath.Join(cfg.StateDir, "*.json"))
			return list
		}
		if list := records(); len(list) != 0 {
			t.Errorf("left in the state directory: %v", list)
		}
		end(s)

		// A wrong one, over several starts.
		writePIN("wrong-77120")
		before := faulty.Calls("C_Login")
		const starts = 3
		for range starts {
			if _, err := try(); hsm.KindOf(err) != hsm.PINRefused || strings.Contains(err.Error(), "wrong-77120") {
				t.Fatal(err)
			}
		}
		if n := faulty.Calls("C_Login") - before - starts; n != 1 {
			t.Errorf("%d tries of a wrong PIN", n)
		}
		if list := records(); len(list) != 1 {
			t.Errorf("records: %v", list)
		}
		// It becomes wrong while the key is at work: what was right is not believed for ever.
		writePIN(faulty.PIN)
		s = begin()
		defer end(s)
		before = faulty.Calls("C_Login")
		faulty.Set("call C_Login return=0xa0")
		if err := sign(s, "confirmed"); hsm.KindOf(err) != hsm.PINRefused {
			t.Error(err)
		}
		faulty.Set()
		for range 3 {
			if err := sign(s, "confirmed"); hsm.KindOf(err) != hsm.PINRefused {
				t.Error(err)
			}
		}
		if err := sign(s, "free"); err != nil {
			t.Error(err)
		}
		if n := faulty.Calls("C_Login") - before; n != 1 {
			t.Errorf("%d tries of a PIN that was refused", n)
		}
		// An operator has it tried again, as the message says.
		if testing.Short() {
			return // that takes until the keeper looks again
		}
		for _, file := range records() {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		await.NoError(t, func() error { return sign(s, "confirmed") })
	})
}
