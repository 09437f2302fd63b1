package nodes

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/softhsm"
)

// program builds one of this module's.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestExamples runs what deploy/examples shows against the daemon.
func TestExamples(t *testing.T) {
	site := NewSite(t, program(t, "epovd"))
	n := site.Node(t, site.Furnish(t, softhsm.NewNoop(t), softhsm.NoopKey), Options{})
	n.Start(t)
	dir := t.TempDir()
	protoset, message, broken := filepath.Join(dir, "epov.protoset"), filepath.Join(dir, "message.xml"), filepath.Join(dir, "broken.xml")
	check(t, os.WriteFile(message, load.Message(3000), 0o600))
	check(t, os.WriteFile(broken, []byte("<a>\n<b></a>"), 0o600))
	if out, err := exec.Command(program(t, "epov"), "protoset", "-o", protoset).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	grpcurl, err := filepath.Abs("../../.build/bin")
	check(t, err)
	for _, e := range []struct {
		name    string
		present func() bool
		command []string
	}{
		{"grpcurl", func() bool {
			_, err := exec.LookPath("jq")
			_, there := os.Stat(filepath.Join(grpcurl, "grpcurl"))
			return err == nil && there == nil
		}, []string{"../../deploy/examples/grpcurl.sh"}},
		{"python3 with grpcio", func() bool {
			return exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf").Run() == nil
		}, []string{"/usr/bin/python3", "../../deploy/examples/sign.py"}},
	} {
		t.Run(strings.Fields(e.name)[0], func(t *testing.T) {
			if !e.present() {
				// `make tools` brings them; what `make test` needs does without.
				t.Skipf("%s is missing: make tools", e.name)
			}
			run := func(file string) (string, string, error) {
				cmd := exec.Command(e.command[0], append(e.command[1:], n.Address, n.Key, file)...)
				cmd.Env = append(os.Environ(), "EPOV_TLS="+site.Dir, "EPOV_PROTOSET="+protoset, "PATH="+grpcurl+":"+os.Getenv("PATH"))
				var out, errs bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &errs
				err := cmd.Run()
				return out.String(), errs.String(), err
			}
			out, told, err := run(message)
			if err != nil || !strings.Contains(out, "SignatureValue>") ||
				!strings.Contains(told, "signed by "+n.Key+"/versions/1") || !strings.Contains(told, "verdict: VERDICT_VALID") {
				t.Errorf("%v: %s\n%.300s", err, told, out)
			}
			if _, told, err := run(broken); err == nil || !strings.Contains(told, "xml.syntax") {
				t.Errorf("a broken document: %v, %s", err, told)
			}
		})
	}
}
