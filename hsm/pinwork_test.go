package hsm_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
)

// Somebody changes the PIN while the token is at work. The login that is lost then costs one try, however many requests come
// and wherever the module runs; the new PIN, put in the file's place as editors do, is taken without a restart.
func TestPINChangedAtWork(t *testing.T) {
	eachIsolation(t, func(t *testing.T, i hsm.Isolation) {
		file := filepath.Join(t.TempDir(), "pin")
		put := func(pin string) {
			t.Helper()
			if err := os.WriteFile(file+".new", []byte(pin), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}
		var own hsm.TokenConfig
		w := atWork(t, i, func(c *hsm.TokenConfig) {
			own = *c
			if err := c.PIN.Value.Use(func(pin string) error { return os.WriteFile(file, []byte(pin), 0o600) }); err != nil {
				t.Fatal(err)
			}
			c.PIN = hsm.PINFile(file)
		})
		w.signAll(t, 2, 3)
		w.Set("pin-tries 10", "pin-silent")
		own.StateDir = t.TempDir() // somebody else, elsewhere
		if _, err := hsm.ChangePIN(t.Context(), own, hsm.NewPIN([]byte("changed-9137"))); err != nil {
			t.Fatal(err)
		}
		before := w.Calls("C_Login")
		if i == hsm.InProcess {
			w.KillSessions()
		} else { // SoftHSM in another process has not noticed; one that starts anew does
			w.Set("pin-tries 10", "pin-silent", "call C_Sign at=1 abort")
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 5 {
					wantKind(t, w.sign(t), hsm.PINRefused)
				}
			})
		}
		group.Wait()
		if n := w.Calls("C_Login") - before; n != 1 || w.WrongPINs() != 1 {
			t.Errorf("%d logins, %d wrong PINs", n, w.WrongPINs())
		}
		if h := w.Health().Tokens[0]; h.State != hsm.Locked || h.NextTry.IsZero() {
			t.Errorf("%+v", h)
		}
		if testing.Short() || i == hsm.InProcess {
			return // the next look is seconds away, and no other in this process, where the file is not confined
		}
		w.Set("pin-tries 10", "pin-silent")
		put("changed-9137")
		await.NoError(t, func() error { return w.sign(t) }) // the new PIN is taken
		if w.WrongPINs() != 0 {
			t.Errorf("%d wrong PINs", w.WrongPINs())
		}
	})
}
