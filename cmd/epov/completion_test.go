package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/epov-signer/epov/internal/oracle"
)

func printed(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(args, &console{strings.NewReader(""), &out, &errs}); code != exitOK || errs.Len() > 0 {
		t.Fatalf("epov %s: exit code %d, %s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// The shells themselves say what their scripts offer. A word that ends in "|" is still being typed.
func TestCompletion(t *testing.T) {
	shells := []struct {
		name, program string
		ask           string // a program for the shell: $1 is the script, the rest the words; the last one is being typed
	}{
		{"bash", "bash", `source "$1"; shift; COMP_WORDS=(epov "$@"); COMP_CWORD=$#; _epov; printf '%s\n' "${COMPREPLY[@]}"`},
		{"fish", "fish", `source $argv[1]; complete -C "epov "(string join " " -- $argv[2..-1]) | string replace -r '\t.*' ''`},
		{"zsh", "zsh", `compdef() { }; compset() { }; _files() { print -l *(N) }; compadd() { shift; print -l -- $@ }
			_describe() { local a=${@[-1]}; print -l -- ${${(P)a}%%:*} }
			source "$1"; shift; words=(epov "$@"); CURRENT=$#words; _epov`},
	}
	for _, shell := range shells {
		t.Run(shell.name, func(t *testing.T) {
			program, err := exec.LookPath(shell.program)
			if err != nil {
				if shell.name != "bash" {
					t.Skipf("%s is not installed", shell.program)
				}
				oracle.Missing(t, shell.program)
			}
			dir := t.TempDir()
			script := filepath.Join(dir, "script")
			if err := os.WriteFile(script, []byte(printed(t, "completion", shell.name)), 0o600); err != nil {
				t.Fatal(err)
			}
			work := filepath.Join(dir, "work")
			if err := errorsOf(os.Mkdir(work, 0o700), os.WriteFile(filepath.Join(work, "message.xml"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			for _, tc := range []struct {
				words         []string
				with, without []string
			}{
				{[]string{""}, []string{"token", "sign", "completion"}, []string{"man", "list", "message.xml"}},
				{[]string{"token", ""}, []string{"list", "init"}, []string{"sign", "message.xml"}},
				{[]string{"sign", "smev3", "--pers"}, []string{"--personal"}, []string{"--attached"}},
				{[]string{"csr", "--for", ""}, []string{"official", "organisation"}, []string{"message.xml"}},
				{[]string{"csr", "--for", "off"}, []string{"official"}, nil},
				{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}, []string{"token"}},
				{[]string{"verify", "mess"}, []string{"message.xml"}, []string{"bash"}},
				{[]string{"sign", "smev3", "--tls-ca", "mess"}, []string{"message.xml"}, nil},
				{[]string{"verify", "--la"}, []string{"--lang"}, []string{"message.xml"}},
			} {
				args := []string{"-c", shell.ask}
				if shell.name != "fish" {
					args = append(args, shell.program)
				}
				cmd := exec.Command(program, append(append(args, script), tc.words...)...)
				cmd.Dir = work
				cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
				out, err := cmd.CombinedOutput()
				if err != nil && len(out) == 0 {
					t.Errorf("%q: %v", tc.words, err)
				}
				offered := strings.Fields(string(out))
				for _, want := range tc.with {
					if !slices.Contains(offered, want) {
						t.Errorf("%q: %s is not offered, but %q", tc.words, want, offered)
					}
				}
				for _, not := range tc.without {
					if slices.Contains(offered, not) {
						t.Errorf("%q: %s is offered", tc.words, not)
					}
				}
			}
		})
	}
}

func errorsOf(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// The manual page has every command and flag that the help has, and formatters have nothing to say against it.
func TestManual(t *testing.T) {
	page := printed(t, "man")
	plain := strings.ReplaceAll(page, `\-`, "-")
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(true)
	if len(leaves) < 20 {
		t.Fatalf("%d commands", len(leaves))
	}
	for _, leaf := range leaves {
		if !strings.Contains(plain, ".SS \"epov "+leaf.Path()) {
			t.Errorf("epov %s is missing", leaf.Path())
		}
		for _, f := range flagsOf(leaf) {
			if !strings.Contains(plain, "--"+f.Name) {
				t.Errorf("--%s of %s is missing", f.Name, leaf.Path())
			}
		}
	}
	for _, code := range []string{"0", "1", "2", "3"} {
		if !strings.Contains(page, "\n.TP\n\\fB"+code+"\\fR\n") {
			t.Errorf("exit code %s is missing", code)
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		oracle.Missing(t, "groff")
	}
	cmd := exec.Command(groff, "-man", "-Tutf8", "-Kutf8", "-ww", "-z")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
