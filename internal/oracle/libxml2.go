package oracle

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

//go:embed libxml2/c14n.c
var libxml2Source []byte

// ErrLibxml2Refuses says that libxml2 does not accept a document, or will not canonicalize it.
var ErrLibxml2Refuses = errors.New("libxml2 refuses it")

// Canonical forms of libxml2.
const (
	LibxmlInclusive   byte = 0
	LibxmlExclusive   byte = 1
	LibxmlInclusive11 byte = 2
	LibxmlComments    byte = 128 // to be added
)

// startLibxml2 compiles the program for the first test that asks for it.
var startLibxml2 = sync.OnceValues(func() (*pipe, error) {
	dir, err := os.MkdirTemp("", "epov-libxml2")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source, program := filepath.Join(dir, "c14n.c"), filepath.Join(dir, "c14n")
	if err := os.WriteFile(source, libxml2Source, 0o600); err != nil {
		return nil, err
	}
	flags, err := run(os.Environ(), nil, "pkg-config", "--cflags", "--libs", "libxml-2.0")
	if err != nil {
		return nil, err
	}
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	args := append([]string{"-O2", "-o", program, source}, strings.Fields(string(flags))...)
	if _, err := run(os.Environ(), nil, compiler, args...); err != nil {
		return nil, err
	}
	return startPipe(exec.Command(program))
})

// Libxml2 canonicalizes a whole document with libxml2. Many documents take no longer than their canonicalization.
func Libxml2(tb testing.TB, doc []byte, form byte) ([]byte, error) {
	tb.Helper()
	p, err := startLibxml2()
	if err != nil {
		Missing(tb, "a C compiler or libxml2's headers")
	}
	out, err := p.ask(form, doc)
	switch {
	case errors.Is(err, errRefused):
		return nil, ErrLibxml2Refuses
	case err != nil:
		return nil, fmt.Errorf("libxml2: %w", err)
	}
	return out, nil
}
