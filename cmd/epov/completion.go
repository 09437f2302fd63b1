package main

import (
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Help() string {
	return `To have it at once: source <(epov completion bash). To keep it, write it to where the shell looks:
/usr/share/bash-completion/completions/epov, a folder of zsh's fpath as _epov, ~/.config/fish/completions/epov.fish.`
}

func (c *completionCmd) Run(con *console, app *kong.Kong) error {
	script := map[string]func([]place) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell]
	_, err := io.WriteString(con.out, script(places(app.Model.Node)))
	return err
}

// place is a command with what may follow it.
type place struct {
	at       string // "/token/list"; empty: the program itself
	commands []*kong.Node
	flags    []*kong.Flag
	files    bool     // arguments are files
	words    []string // arguments are among these
}

// places are the commands that are shown to users, the outer ones first.
func places(n *kong.Node) []place {
	var out []place
	var walk func(n *kong.Node, at string, above []*kong.Flag)
	walk = func(n *kong.Node, at string, above []*kong.Flag) {
		p := place{at: at, flags: slices.Clone(above)}
		p.add(n)
		inherited := p.flags
		if d := n.DefaultCmd; d != nil && d.Tag.Default == "withargs" { // its name may be left out
			p.add(d)
		}
		for _, c := range n.Children {
			if !c.Hidden {
				p.commands = append(p.commands, c)
			}
		}
		out = append(out, p)
		for _, c := range p.commands {
			walk(c, at+"/"+c.Name, inherited)
		}
	}
	walk(n, "", nil)
	return out
}

// add adds what belongs to a command itself.
func (p *place) add(n *kong.Node) {
	for _, f := range n.Flags {
		if !f.Hidden {
			p.flags = append(p.flags, f)
		}
	}
	for _, a := range n.Positional {
		p.files = p.files || takesFile(a)
		p.words = append(p.words, choices(a)...)
	}
}

// takesFile tells values that name files from others, by what stands for them in the help.
func takesFile(v *kong.Value) bool {
	name := v.Name
	if v.Flag != nil {
		name = v.Flag.FormatPlaceHolder()
	}
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"file", "dir", "path", "folder"}, func(s string) bool { return strings.Contains(name, s) }) ||
		strings.HasSuffix(name, "lib") || name == "module"
}

// choices are the values that a flag or argument can have, if they are few.
func choices(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
}

// spellings are how a flag may be written.
func spellings(f *kong.Flag) []string {
	out := []string{"--" + f.Name}
	if f.Short != 0 {
		out = append(out, "-"+string(f.Short))
	}
	return out
}

// brief is the first sentence of a help text, for lists.
func brief(help string) string {
	help, _, _ = strings.Cut(help, "\n")
	if first, _, more := strings.Cut(help, ". "); more {
		return first
	}
	return strings.TrimSuffix(help, ".")
}

// paths are the commands as alternatives of a case statement.
func paths(list []place) string {
	var out []string
	for _, p := range list[1:] {
		out = append(out, p.at)
	}
	return strings.Join(out, "|")
}
