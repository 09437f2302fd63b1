package oracle

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

//go:embed santuario/Canon.java
var santuarioSource []byte

// ErrSantuarioRefuses says that the JDK's parser does not accept a document, or Santuario will not canonicalize it.
var ErrSantuarioRefuses = errors.New("Santuario refuses it")

// Canonical forms of Santuario. It parses octets by itself; SantuarioNodes gives it all nodes of a parsed document.
const (
	SantuarioInclusive   byte = 0
	SantuarioExclusive   byte = 1
	SantuarioInclusive11 byte = 2
	SantuarioNodes       byte = 64  // to be added
	SantuarioComments    byte = 128 // to be added
)

var startSantuario = sync.OnceValues(func() (*pipe, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "epov-santuario")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "Canon.java")
	if err := os.WriteFile(source, santuarioSource, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(java, "-Xmx256m", "-XX:TieredStopAtLevel=1", source)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	p, err := startPipe(cmd)
	if err != nil {
		return nil, err
	}
	if _, err := p.out.ReadByte(); err != nil { // it is not ready, and will not be
		return nil, fmt.Errorf("%w: %s", errors.Join(err, cmd.Wait()), bytes.TrimSpace(errs.Bytes()))
	}
	return p, nil
})

// Santuario canonicalizes a whole document with Apache Santuario as the JDK ships it. Without a JDK (11 or later) the test
// skips: this comparison is optional, `make` installs no Java, and EPOV_REQUIRE makes no difference.
func Santuario(tb testing.TB, doc []byte, form byte) ([]byte, error) {
	tb.Helper()
	p, err := startSantuario()
	if err != nil {
		tb.Skipf("SKIPPED: comparing with Apache Santuario is optional and takes a JDK: %v", err)
	}
	out, err := p.ask(form, doc)
	switch {
	case errors.Is(err, errRefused):
		return nil, ErrSantuarioRefuses
	case err != nil:
		return nil, fmt.Errorf("santuario: %w", err)
	}
	return out, nil
}
