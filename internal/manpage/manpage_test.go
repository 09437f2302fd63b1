package manpage

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// What a formatter shows is what was written, whatever it holds.
func TestPage(t *testing.T) {
	p := New("thing", 1, "does 'this' --and-that")
	p.Section("OPTIONS")
	p.Item("--out=FILE", "where to write; a \\ stays, and so do `quotes'\n.TH is no request here")
	p.Item("--bare", "")
	p.Subsection(`thing "quoted"`)
	p.Text("one\n\n'two' and ключ")
	p.Verbatim("a:  b\n.c: -d\n\ne: ~f^")
	groff, err := exec.LookPath("groff")
	if err != nil {
		oracle.Missing(t, "groff")
	}
	cmd := exec.Command(groff, "-man", "-Tutf8", "-Kutf8", "-ww", "-P-c")
	cmd.Stdin = strings.NewReader(p.String())
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil || warnings.Len() > 0 {
		t.Fatalf("%v\n%s", err, warnings.String())
	}
	shown := string(out)
	for {
		at := strings.IndexByte(shown, '\b') // overstruck letters are bold ones
		if at < 1 {
			break
		}
		shown = shown[:at-1] + shown[at+1:]
	}
	for _, want := range []string{
		"thing - does 'this' --and-that", "--out=FILE", "a \\ stays, and so do `quotes'", ".TH is",
		`thing "quoted"`, "'two' and ключ", "a:  b", ".c: -d", "e: ~f^",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("lacks %q:\n%s", want, shown)
		}
	}
}
