package oracle

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

//go:embed bouncycastle/Judge.java
var bouncyCastleSource []byte

// What [BouncyCastle] judges.
const (
	BouncyCastleMessage byte = 0 // octets of a CMS message, content or nil
	BouncyCastleToken   byte = 1 // octets of a time-stamp token, what it is about
)

var bouncyCastleJars = []string{"bcprov.jar", "bcpkix.jar", "bcutil.jar"}

var startBouncyCastle = sync.OnceValues(func() (*pipe, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	var path []string
	for _, jar := range bouncyCastleJars {
		file := filepath.Join("/usr/share/java", jar)
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
		path = append(path, file)
	}
	dir, err := os.MkdirTemp("", "epov-bouncycastle")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "Judge.java")
	if err := os.WriteFile(source, bouncyCastleSource, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", strings.Join(path, ":"), source)
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

// BouncyCastle says what Bouncy Castle thinks of a message or token: "valid ..." or "invalid ...". Signatures are judged, paths
// are not. Without a JDK (11 or later) and Debian's libbcpkix-java the test skips: this comparison is optional, `make`
// installs no Java, and EPOV_REQUIRE makes no difference.
func BouncyCastle(tb testing.TB, about byte, first, second []byte) string {
	tb.Helper()
	p, err := startBouncyCastle()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		tb.Skipf("SKIPPED: comparing with Bouncy Castle is optional and takes a JDK and libbcpkix-java: %v", err)
	}
	if err != nil {
		tb.Fatalf("bouncy castle: %v", err)
	}
	var request []byte
	for _, part := range [][]byte{first, second} {
		if part == nil {
			request = binary.BigEndian.AppendUint32(request, 0xFFFFFFFF)
			continue
		}
		request = append(binary.BigEndian.AppendUint32(request, uint32(len(part))), part...)
	}
	out, err := p.ask(about, request)
	if err != nil {
		tb.Fatalf("bouncy castle: %v", err)
	}
	return string(out)
}
