package main

import (
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/epov-signer/epov/internal/manpage"
)

// manCmd writes epov(1) from what the help is made of, so that the page says what the program does. Packages ship its output.
type manCmd struct{}

func (*manCmd) Run(con *console, app *kong.Kong) error {
	_, err := io.WriteString(con.out, manual(app.Model))
	return err
}

// common is how many commands must have a flag of the same name and meaning for it to be explained in one place.
const common = 4

func manual(app *kong.Application) string {
	about, exits, _ := strings.Cut(app.Help, "\n\nExit codes: ")
	p := manpage.New("epov", 1, "GOST signatures for SMEV by keys on PKCS#11 tokens")
	p.Section("SYNOPSIS")
	p.Bold("epov COMMAND [ARGUMENT...] [--FLAG...]")
	p.Section("DESCRIPTION")
	p.Text(about + "\n\nepov is the tool beside the daemon epovd(8): it provisions tokens, has the daemon sign and verify, verifies without " +
		"one, and says why a signature is rejected. No PIN is ever an argument: it comes from a file or is asked for.")
	leaves := app.Leaves(true)
	count, first := map[string]int{}, map[string]*kong.Flag{}
	for _, leaf := range leaves {
		for _, f := range flagsOf(leaf) {
			count[f.Name+f.Help]++
			first[f.Name+f.Help] = f
		}
	}
	p.Section("COMMANDS")
	for _, leaf := range leaves {
		p.Subsection("epov " + leaf.Summary())
		p.Text(leaf.Help)
		if leaf.Detail != "" {
			p.Text(leaf.Detail)
		}
		for _, a := range leaf.Positional {
			p.Item(a.Summary(), a.Help)
		}
		var elsewhere []string
		for _, f := range flagsOf(leaf) {
			if count[f.Name+f.Help] >= common {
				elsewhere = append(elsewhere, "--"+f.Name)
			} else {
				p.Item(f.String(), withDefault(f))
			}
		}
		if len(elsewhere) > 0 {
			p.Text("See COMMON FLAGS for " + strings.Join(elsewhere, ", ") + ".")
		}
	}
	p.Section("COMMON FLAGS")
	names := make([]string, 0, len(first))
	for name := range first {
		if count[name] >= common {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		p.Item(first[name].String(), withDefault(first[name]))
	}
	p.Section("EXIT STATUS")
	for item := range strings.SplitSeq(strings.TrimSuffix(exits, "."), ", ") {
		if code, meaning, ok := strings.Cut(item, " "); ok {
			p.Item(code, meaning)
		}
	}
	p.Section("FILES")
	p.Item("/usr/share/doc/epov", "The operator's handbook (handbook.md), and what each profile signs (profiles.md).")
	p.Section("SEE ALSO")
	p.Text("epovd(8), epovd.yaml(5)")
	return p.String()
}

// flagsOf are the flags of a command that are its own to explain.
func flagsOf(n *kong.Node) []*kong.Flag {
	var out []*kong.Flag
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			if f.Name != "help" {
				out = append(out, f)
			}
		}
	}
	return out
}

func withDefault(f *kong.Flag) string {
	text := f.Help
	if len(f.Envs) > 0 && !strings.Contains(text, "$"+f.Envs[0]) {
		text += " Environment: " + strings.Join(f.Envs, ", ") + "."
	}
	if f.HasDefault && f.Default != "" && !strings.Contains(text, "default") {
		text += " Default: " + f.Default + "."
	}
	return text
}
