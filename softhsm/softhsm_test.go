package softhsm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	var first *Token
	t.Run("first", func(t *testing.T) {
		first = New(t)
		if os.Getenv("SOFTHSM2_CONF") != first.Conf {
			t.Error("the environment does not name the configuration")
		}
		if first.Serial == "" || len(first.PIN) < 8 || first.PIN == first.SOPIN {
			t.Error("no serial, or PINs that are short or equal")
		}
	})
	if _, err := os.Stat(filepath.Dir(first.Conf)); !os.IsNotExist(err) {
		t.Errorf("not cleaned up: %v", err)
	}
	second := New(t)
	if second.Serial == first.Serial || second.PIN == first.PIN || second.Conf == first.Conf || second.Label == first.Label {
		t.Error("tokens share something")
	}
	slots, err := second.util("--show-slots")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(slots, second.Serial) || strings.Contains(slots, first.Serial) {
		t.Error("the token is not alone in its store")
	}
}

func TestModule(t *testing.T) {
	t.Setenv("EPOV_SOFTHSM", "/elsewhere/module.so")
	if got := Module(); got != "/elsewhere/module.so" {
		t.Error(got)
	}
	t.Setenv("EPOV_SOFTHSM", "")
	t.Chdir(t.TempDir())
	if got := Module(); got != "" {
		t.Errorf("%s outside of a checkout", got)
	}
}
