// Package oracle runs the independent programs that tests compare with: OpenSSL with the gost engine, libxml2, and, where
// there is a JDK, Apache Santuario and Bouncy Castle.
//
// A test whose program is absent skips and says so; with EPOV_REQUIRE=1, as `make test` sets it, it fails instead. What takes
// a JDK is optional even then.
package oracle

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Missing skips the test because what is absent, or fails it where everything is required to be present.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("EPOV_REQUIRE") != "" {
		tb.Fatalf("%s is missing; `make deps softhsm softhsm-stock` sets it up", what)
	}
	tb.Skipf("SKIPPED: %s is missing; `make test` sets it up", what)
}

const opensslConf = `openssl_conf = init
[init]
engines = engines
[engines]
gost = gost
[gost]
engine_id = gost
default_algorithms = ALL
[req]
distinguished_name = dn
[dn]
`

var probe = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "epov-oracle")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_, err = openssl(dir, []byte("x"), "dgst", "-md_gost12_256")
	return err
})

// OpenSSL runs openssl with the gost engine loaded and returns its standard output; the error carries what it wrote to
// standard error.
func OpenSSL(tb testing.TB, stdin []byte, args ...string) ([]byte, error) {
	tb.Helper()
	if err := probe(); err != nil {
		Missing(tb, "OpenSSL with the gost engine")
	}
	return openssl(tb.TempDir(), stdin, args...)
}

func openssl(dir string, stdin []byte, args ...string) ([]byte, error) {
	conf := filepath.Join(dir, "openssl.cnf")
	if err := os.WriteFile(conf, []byte(opensslConf), 0o600); err != nil {
		return nil, err
	}
	return run(append(os.Environ(), "OPENSSL_CONF="+conf), stdin, "openssl", args...)
}

// File hands data to a program: it writes them to a file in a folder of its own, which goes with the test.
func File(tb testing.TB, data []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Xmllint runs xmllint on a document and returns its standard output. mode is "--c14n", "--c14n11" or "--exc-c14n" (all
// keep comments).
func Xmllint(tb testing.TB, doc []byte, mode string) ([]byte, error) {
	tb.Helper()
	if _, err := exec.LookPath("xmllint"); err != nil {
		Missing(tb, "xmllint")
	}
	return run(os.Environ(), doc, "xmllint", "--nonet", mode, "-")
}

func run(env []string, stdin []byte, name string, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, bytes.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %v: %w: %s", name, args, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}
