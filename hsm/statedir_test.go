package hsm

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckStateDir(t *testing.T) {
	dir := t.TempDir()
	if err := CheckStateDir(filepath.Join(dir, "not", "there", "yet")); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can give folders away")
	}
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := CheckStateDir(dir); err != nil { // root gives its files away
		t.Error(err)
	}
	missing := filepath.Join(dir, "not", "there", "yet")
	wantKind(t, CheckStateDir(missing), Config)
	f := newStand(t)
	f.cfg.Module, f.cfg.StateDir = anyModule(t), missing
	findings := examine(t.Context(), Examination{Tokens: []TokenConfig{f.cfg}, LogIn: true}, slog.New(slog.DiscardHandler), f.load)
	if find(findings, "pin.not-tried") == nil || f.Calls("Login") != 0 {
		t.Errorf("%v", findings)
	}
}
