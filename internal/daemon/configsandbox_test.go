package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/sandbox"
)

// What the configuration names is what the daemon may reach, and no more.
func TestDomain(t *testing.T) {
	f, example := furnish(t)
	example = strings.Replace(example, "  - name: main\n", "  - name: main\n    vendor: rutoken\n", 1)
	elsewhere := t.TempDir() // where a link leads
	if err := os.Rename(filepath.Join(string(f), "server.key"), filepath.Join(elsewhere, "real.key")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(elsewhere, "real.key"), filepath.Join(string(f), "server.key")); err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(example, "\nsandbox:")
	c, err := Load(f.write(t, "epovd.yaml",
		[]byte(before+"\nsandbox: {ports: [8080], read: [/opt/vendor/etc], write: [/var/opt/vendor]}\n")))
	if err != nil {
		t.Fatal(err)
	}
	d := c.domain()
	has := func(path string, right sandbox.Right) bool {
		return slices.Contains(d.Grants, sandbox.Grant{Path: path, Right: right})
	}
	for _, path := range []string{string(f), elsewhere, "/opt/vendor/etc", "/usr", "/proc"} {
		if !has(path, sandbox.Read) {
			t.Errorf("%s is not read", path)
		}
	}
	for _, path := range []string{"/var/opt/vendor", "/var/lib/epovd/crl"} {
		if !has(path, sandbox.Write) {
			t.Errorf("%s is not written: %v", path, d.Grants)
		}
	}
	for _, g := range d.Grants {
		if g.Path == "/" || g.Path == "/etc" || g.Path == "" ||
			g.Right&sandbox.Execute == sandbox.Execute && strings.HasPrefix(g.Path, "/usr") {
			t.Errorf("%+v is too much", g)
		}
	}
	if d.Anywhere || !slices.Contains(d.Connect, 8080) || !slices.Contains(d.Connect, 443) || slices.Contains(d.Connect, 22) {
		t.Errorf("connects to %v, anywhere %v", d.Connect, d.Anywhere)
	}
	if want := ports(c.listen); !slices.Equal(d.Bind, want) {
		t.Errorf("listens on %v, want %v", d.Bind, want)
	}
}

func TestReach(t *testing.T) {
	for path, want := range map[string][]string{
		"/etc/epovd/epovd.yaml":    {"/etc/epovd", "/etc/epovd/epovd.yaml"},
		"/nonexistent-epovd.yaml":  {"/nonexistent-epovd.yaml"},
		"/etc/nonexistent-ov.yaml": {"/etc/nonexistent-ov.yaml"},
	} {
		if got := exchangeable(path); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	var s sandboxConfig
	s.connects("https://a.example/x", "http://b.example", "c.example:4222", "nats://d.example:4223", "", "rubbish")
	if !slices.Equal(s.connect, []uint16{443, 80, 4222, 4223}) {
		t.Error(s.connect)
	}
	s.listens("[::1]:9443")
	s.listens("/run/epovd/admin.sock")
	if !slices.Equal(s.bind, []uint16{9443}) || !slices.Equal(s.write, []string{"/run/epovd"}) {
		t.Error(s.bind, s.write)
	}
}
