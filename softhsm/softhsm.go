// Package softhsm gives tests and demonstrations a fresh, isolated PKCS#11 token: SoftHSM 2.6.1 with GOST R 34.10-2012, as
// build.sh makes it, by itself ([New]) or behind a module that makes it fail on demand ([NewFaulty]); SoftHSM without our patches
// ([NewStock]); and a module that takes no time ([NewNoop]), to measure what stands around a token.
//
// SoftHSM reads its configuration when it is initialised and is one instance to a process. Tests with several tokens in one
// process let go of the first before they make the second; those of NewFaulty are independent of one another.
package softhsm

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// Token is an initialised token of its own configuration and folder.
type Token struct {
	Module string // path of the PKCS#11 library
	Conf   string // path of its configuration; the module reads it from SOFTHSM2_CONF
	Label  string
	Serial string
	PIN    string // user PIN, random
	SOPIN  string

	soft string // path of SoftHSM itself
}

// New makes a token, cleaned up with the test. The process environment's SOFTHSM2_CONF points to it from then on, so tests
// with tokens do not run in parallel within one process unless they share one token. Where the module has not been built the
// test skips and says so, or fails with EPOV_REQUIRE=1.
//
// With EPOV_TOKEN=fault in the environment the token is one of NewFaulty, without a fault: any suite runs unchanged on it.
func New(tb testing.TB) *Token {
	tb.Helper()
	if os.Getenv("EPOV_TOKEN") == "fault" {
		return NewFaulty(tb).Token
	}
	module := Module()
	if module == "" {
		oracle.Missing(tb, "SoftHSM with GOST")
	}
	return newToken(tb, module, memoryDir(tb))
}

// NewStock makes a token of SoftHSM as its authors publish it, which keeps keys of every parameter set and signs on one
// curve. Where "make softhsm-stock" has not built it, the test skips or fails as [New] says.
func NewStock(tb testing.TB) *Token {
	tb.Helper()
	module := stock()
	if module == "" {
		oracle.Missing(tb, "SoftHSM without our patches")
	}
	return newToken(tb, module, memoryDir(tb))
}

func newToken(tb testing.TB, module, dir string) *Token {
	tb.Helper()
	conf, err := WriteConf(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Setenv("SOFTHSM2_CONF", conf)
	t := &Token{Module: module, Conf: conf, soft: module}
	if err := t.Add("test-" + rand.Text()[:8]); err != nil {
		tb.Fatal(err)
	}
	return t
}

// Add makes one more token in the same store, under the same PINs, and describes it in t. A module that is initialised
// already does not see it before it is initialised anew.
func (t *Token) Add(label string) error {
	if t.PIN == "" {
		t.PIN, t.SOPIN = rand.Text()[:12], rand.Text()[:12]
	}
	t.Label = label
	// A process of its own, so that the module is not initialised in this one.
	if _, err := t.util("--init-token", "--free", "--label", label, "--pin", t.PIN, "--so-pin", t.SOPIN); err != nil {
		return err
	}
	slots, err := t.util("--show-slots")
	if err != nil {
		return err
	}
	serial := ""
	for line := range strings.Lines(slots) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); name {
		case "Serial number":
			serial = value
		case "Label":
			if value == label {
				t.Serial = serial
				return nil
			}
		}
	}
	return fmt.Errorf("softhsm: the new token is not listed")
}

func (t *Token) util(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(filepath.Dir(t.soft), "../../bin/softhsm2-util"), append(args, "--module", t.soft)...)
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+t.Conf)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("softhsm: softhsm2-util %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// WriteConf makes an empty token store in dir and returns the path of its configuration, which SOFTHSM2_CONF must name
// before the module is loaded.
func WriteConf(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	store := filepath.Join(dir, "tokens")
	if err := os.MkdirAll(store, 0o700); err != nil {
		return "", err
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n", store)
	return conf, os.WriteFile(conf, []byte(text), 0o600)
}

// Module is the path of the library: $EPOV_SOFTHSM, else .build/softhsm under the root of the checkout that the working
// directory is in; empty when there is none.
func Module() string {
	if path := os.Getenv("EPOV_SOFTHSM"); path != "" {
		return path
	}
	return built("softhsm/lib/softhsm/libsofthsm2.so")
}

// Shim is the path of the module that injects faults, in the folder above Module's; empty when there is none. README.md says
// how to use it by itself.
func Shim() string { return ours("fault.so") }

// ours finds what modules.sh builds.
func ours(name string) string {
	path := filepath.Join(filepath.Dir(Module()), "..", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return built("softhsm/lib/" + name)
}

func stock() string { return built("softhsm-stock/lib/softhsm/libsofthsm2.so") }

func built(name string) string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(dir, ".build", name)
			if _, err := os.Stat(path); err != nil {
				return ""
			}
			return path
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// memoryDir is a folder in memory where there is one: the module opens and locks files at each signature.
func memoryDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "epov-softhsm-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
