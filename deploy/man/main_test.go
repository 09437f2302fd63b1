package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// The pages say what the programs, the documents and the configuration say, and formatters understand them.
func TestPages(t *testing.T) {
	root := "../.."
	bin, out := t.TempDir(), filepath.Join(t.TempDir(), "man")
	if text, err := exec.Command("go", "build", "-o", bin, root+"/cmd/epov", root+"/cmd/epovd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := write(bin, root, out); err != nil {
		t.Fatal(err)
	}
	yaml, err := os.ReadFile(filepath.Join(root, "deploy", "epovd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\(ti`, "~", "\\`", "`", `\&`, "", `\e`, `\`, `\(dq`, `"`, `\(ha`, "^")
	for name, wants := range map[string][]string{
		"epov.1":       {"epov sign smev3", "COMMON FLAGS"},
		"epovd.8":      {"-config file", "-check", "\\fB3\\fR"},
		"epovd.yaml.5": {},
	} {
		page, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "epovd.yaml.5" {
			for line := range strings.SplitSeq(string(yaml), "\n") { // every word of it is there
				wants = append(wants, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
			}
		}
		text := plain.Replace(string(page))
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
		groff, err := exec.LookPath("groff")
		if err != nil {
			oracle.Missing(t, "groff")
		}
		if said, err := exec.Command(groff, "-man", "-Tutf8", "-Kutf8", "-ww", "-z",
			filepath.Join(out, name)).CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}

// What cannot be found is an error, not an empty page.
func TestIncomplete(t *testing.T) {
	if _, err := daemon("no options", "## Exit codes of epovd\n"); err == nil {
		t.Error("no options")
	}
	if _, err := daemon("  -check\n    \tsay\n", "nothing"); err == nil {
		t.Error("no exit codes")
	}
	if _, err := settings("# only\nlisten: x\n"); err == nil {
		t.Error("no sections")
	}
}
