package hsm

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/softhsm"
)

func TestMain(m *testing.M) {
	WorkerMain()
	os.Exit(m.Run())
}

// A token is used through a worker as it is in this process.
func TestWorkerHost(t *testing.T) {
	soft := softhsm.New(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "pin")
	if err := os.WriteFile(file, []byte(soft.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := TokenConfig{
		Module: soft.Module, Label: soft.Label, Serial: soft.Serial, PIN: PINFile(file), StateDir: filepath.Join(dir, "state"),
	}.checked()
	if err != nil {
		t.Fatal(err)
	}
	var made workers
	defer made.close()
	maker := func(ctx context.Context, module string, o hostOptions) (host, error) {
		o.Sandbox = sandboxOf(VendorNamed("softhsm"), Sandbox{Write: []string{filepath.Dir(soft.Module)}})
		o.CallTime = time.Minute
		return made.load(ctx, module, o)
	}
	for range 2 { // the second one is the spare
		token, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler), maker)
		if err != nil {
			t.Fatal(err)
		}
		const id = "EXMP01/ov/1"
		if _, err := token.Key(t.Context(), id); KindOf(err) == KeyNotFound {
			if _, err := token.GenerateKey(t.Context(), id, gost.GOST2012_256, gost.ParamSetByName("tc26-256-B")); err != nil {
				t.Fatal(err)
			}
		}
		key, err := token.Key(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		digest := make([]byte, 32)
		signature, err := key.SignDigest(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Public().Verify(digest, signature); err != nil {
			t.Error(err)
		}
		if err := token.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A module that its sandbox keeps from its own configuration fails without a word; the error says where to look.
func TestConfinedTooMuch(t *testing.T) {
	soft := softhsm.New(t)
	var made workers
	defer made.close()
	h, err := made.load(t.Context(), soft.Module, hostOptions{
		Log: slog.New(slog.DiscardHandler), CallTime: time.Minute, Sandbox: Sandbox{Read: []string{filepath.Dir(soft.Module)}},
	})
	if err == nil {
		_ = h.Close(t.Context())
		t.Skip("Landlock is not to be had here")
	}
	if !strings.Contains(err.Error(), "under sandbox") {
		t.Error(err)
	}
}

// Without a vendor a module may reach what any profile needs; patterns and variables name what is there.
func TestSandboxOf(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	t.Setenv("SOFTHSM2_CONF", conf)
	t.Setenv("PCSCLITE_CSOCK_NAME", "relative")
	if err := os.WriteFile(filepath.Join(dir, "device1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	contains := func(list []string, want string) {
		t.Helper()
		for _, s := range list {
			if s == want {
				return
			}
		}
		t.Errorf("%q is not in %q", want, list)
	}
	more := Sandbox{Devices: []string{filepath.Join(dir, "device*"), "["}, Ports: []uint16{1501}}
	every := sandboxOf(nil, more).grants()
	contains(every.Write, dir)
	contains(every.Devices, filepath.Join(dir, "device1"))
	contains(every.Devices, "/run/pcscd/pcscd.comm")
	contains(every.Families, "inet")
	if len(every.Ports) != 1 || every.Off {
		t.Errorf("%+v", every)
	}
	if own := sandboxOf(VendorNamed("rutoken"), Sandbox{}).grants(); len(own.Families) != 1 || len(own.Write) != 0 {
		t.Errorf("%+v", own)
	}
}
