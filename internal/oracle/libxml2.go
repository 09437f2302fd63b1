package oracle

import (
	"bufio"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

//go:embed libxml2/c14n.c
var libxml2Source []byte

// libxml2 is a process that canonicalizes with libxml2. It is compiled by the first test that asks for it, and lives as long
// as the test binary.
type libxml2 struct {
	sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

// ErrLibxml2Refuses says that libxml2 does not accept a document, or will not canonicalize it.
var ErrLibxml2Refuses = errors.New("libxml2 refuses it")

// Canonical forms of libxml2.
const (
	LibxmlInclusive   byte = 0
	LibxmlExclusive   byte = 1
	LibxmlInclusive11 byte = 2
	LibxmlComments    byte = 128 // to be added
)

var startLibxml2 = sync.OnceValues(func() (*libxml2, error) {
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
	cmd := exec.Command(program) // ends when its input does, with this process
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &libxml2{in: in, out: bufio.NewReader(out)}, cmd.Start()
})

// Libxml2 canonicalizes a whole document with libxml2. Many documents take no longer than their canonicalization.
func Libxml2(tb testing.TB, doc []byte, form byte) ([]byte, error) {
	tb.Helper()
	l, err := startLibxml2()
	if err != nil {
		Missing(tb, "a C compiler or libxml2's headers")
	}
	l.Lock()
	defer l.Unlock()
	request := append(binary.BigEndian.AppendUint32([]byte{form}, uint32(len(doc))), doc...)
	if _, err := l.in.Write(request); err != nil {
		return nil, fmt.Errorf("libxml2: %w", err)
	}
	var head [5]byte
	if _, err := io.ReadFull(l.out, head[:]); err != nil {
		return nil, fmt.Errorf("libxml2: %w", err)
	}
	if head[0] != 0 {
		return nil, ErrLibxml2Refuses
	}
	out := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(l.out, out); err != nil {
		return nil, fmt.Errorf("libxml2: %w", err)
	}
	return out, nil
}
