package oracle

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

//go:embed santuario/Canon.java
var santuarioSource []byte

//go:embed santuario/Verify.java
var verifierSource []byte

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

var startSantuario = sync.OnceValues(func() (*pipe, error) { return startJava("Canon.java", santuarioSource, "") })

// startJava compiles and starts a program that says when it is ready.
func startJava(name string, source []byte, classes string) (*pipe, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "epov-santuario")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return nil, err
	}
	args := []string{"-Xmx256m", "-XX:TieredStopAtLevel=1"}
	if classes != "" {
		args = append(args, "-cp", classes)
	}
	cmd := exec.Command(java, append(args, file)...)
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
}

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

// javaLibraries are those of the Debian packages libxml-security-java and libbcprov-java.
var javaLibraries = []string{"xmlsec.jar", "bcprov.jar", "slf4j-api.jar", "commons-codec.jar"}

var startVerifier = sync.OnceValues(func() (*pipe, error) {
	var classes []string
	for _, jar := range javaLibraries {
		path := filepath.Join("/usr/share/java", jar)
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		classes = append(classes, path)
	}
	return startJava("Verify.java", verifierSource, strings.Join(classes, string(os.PathListSeparator)))
})

// SantuarioSignature is what Apache Santuario, with the algorithms of Bouncy Castle, makes of a ds:Signature.
type SantuarioSignature struct {
	Valid      bool
	SignedInfo []byte   // the octets that were digested
	References [][]byte // the same for each
}

// SantuarioVerify verifies every signature of a document. Without a JDK and Debian's packages libxml-security-java and
// libbcprov-java the test skips: this comparison is optional.
func SantuarioVerify(tb testing.TB, doc []byte) ([]SantuarioSignature, error) {
	tb.Helper()
	p, err := startVerifier()
	if err != nil {
		tb.Skipf("SKIPPED: verifying with Apache Santuario is optional and takes a JDK, libxml-security-java and libbcprov-java: %v", err)
	}
	out, err := p.ask(0, doc)
	switch {
	case errors.Is(err, errRefused):
		return nil, ErrSantuarioRefuses
	case err != nil:
		return nil, fmt.Errorf("santuario: %w", err)
	}
	var list []SantuarioSignature
	var current SantuarioSignature
	for line := range strings.Lines(string(out)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, part, ok := strings.Cut(name, "/"); ok {
			octets, err := base64.StdEncoding.DecodeString(rest)
			if err != nil {
				return nil, err
			}
			if part == "signed-info" {
				current.SignedInfo = octets
			} else {
				current.References = append(current.References, octets)
			}
			continue
		}
		current.Valid = rest == "valid"
		list, current = append(list, current), SantuarioSignature{}
	}
	return list, nil
}
