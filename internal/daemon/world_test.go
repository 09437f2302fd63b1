package daemon

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/sandbox"
	"github.com/epov-signer/epov/internal/testpki"
)

// TestMain confines all tests as the daemon is: by the same list of system calls, without privileges, and by files; here those of
// any test, for each has a configuration of its own. cmd/epovd tests what a configuration lets the daemon reach.
func TestMain(m *testing.M) {
	hsm.WorkerMain()
	files, again := sandbox.Restarted()
	if !again {
		d := &sandbox.Domain{Grants: append(sandbox.Libraries(sandbox.Execute), sandbox.Self()...), Bind: []uint16{0}, Anywhere: true}
		d.Grants = append(d.Grants, sandbox.Grants(sandbox.Read, "/proc", "/sys/fs/cgroup", os.Getenv("EPOV_VECTORS"))...)
		d.Grants = append(d.Grants, sandbox.Grants(sandbox.Execute, "../..", filepath.Join(os.Getenv("EPOV_SOFTHSM"), "../../.."))...)
		d.Grants = append(d.Grants, sandbox.Grants(sandbox.Write, os.TempDir(), "testdata")...)
		for _, arg := range os.Args {
			if dir, ok := strings.CutPrefix(arg, "-test.fuzzcachedir="); ok && os.MkdirAll(dir, 0o700) == nil {
				d.Grants = append(d.Grants, sandbox.Grant{Path: dir, Right: sandbox.Write})
			}
		}
		fmt.Fprintln(os.Stderr, sandbox.Restart(d, "", 3, 4, 5)) // by which a fuzzer talks to its workers
		os.Exit(1)
	}
	if lacking := sandbox.Process(files,
		sandbox.Allowing(sandbox.Families())).Lacks([]string{sandbox.NewPrivileges, sandbox.Capabilities}); lacking != nil {
		fmt.Fprintln(os.Stderr, lacking)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// folder is where a configuration and its files are.
type folder string

func (f folder) write(tb testing.TB, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(string(f), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func (f folder) pem(tb testing.TB, name, kind string, der []byte) string {
	tb.Helper()
	return f.write(tb, name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// policyExample is deploy/policy.yaml.
func policyExample(tb testing.TB) string {
	tb.Helper()
	example, err := os.ReadFile("../../deploy/policy.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return string(example)
}

// furnish writes the files that deploy/epovd.yaml names, and returns it with the module's path replaced by a file that exists.
func furnish(tb testing.TB) (folder, string) {
	tb.Helper()
	f := folder(tb.TempDir())
	a := testpki.NewTLS(tb)
	key := testpki.NewTLSKey(tb)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	f.pem(tb, "server.key", "PRIVATE KEY", der)
	f.pem(tb, "server.pem", "CERTIFICATE", a.Issue(tb, &key.PublicKey, testpki.Server("epovd.test")).Raw)
	f.pem(tb, "clients-ca.pem", "CERTIFICATE", a.Certificate.Raw)
	root := testpki.NewCA(tb, gost.GOST2012_256, "tc26-256-B")
	issuing := root.NewIntermediate(tb, gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	_, leaf := issuing.NewSigner(tb, gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	f.pem(tb, "root-ca.pem", "CERTIFICATE", root.Certificate.Raw)
	f.pem(tb, "issuing-ca.pem", "CERTIFICATE", issuing.Certificate.Raw)
	f.pem(tb, "exmp01-ov-1.pem", "CERTIFICATE", leaf.Raw)
	f.pem(tb, "smev.pem", "CERTIFICATE", leaf.Raw)
	f.write(tb, "pin", []byte("98765432\n"))
	f.write(tb, "policy.yaml", []byte(policyExample(tb)))
	module := f.write(tb, "module.so", []byte("module"))
	example, err := os.ReadFile("../../deploy/epovd.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	const path = "/usr/lib/librtpkcs11ecp.so"
	if !strings.Contains(string(example), path) {
		tb.Fatalf("the example does not name %s", path)
	}
	return f, strings.ReplaceAll(string(example), path, module)
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
