package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Finding is one thing that is wrong with a configuration.
type Finding struct {
	File         string // empty: the configuration
	Line, Column int    // 1-based, 0 when it concerns no place in particular
	Path         string // "keys[0].versions[1].token"
	Message      string // never the value of a setting that could be a secret
}

// ConfigError lists everything that was found wrong, in the order of the file.
type ConfigError struct {
	File     string
	Findings []Finding
}

func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		place := cmp.Or(f.File, e.File)
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", place, f.Line, f.Column)
		}
		if f.Path != "" {
			place += ": " + f.Path
		}
		lines[i] = place + ": " + f.Message
	}
	return strings.Join(lines, "\n")
}

// document reads YAML strictly and remembers what is wrong and where. The YAML library's own decoding is not used: its
// errors quote values, and a PIN in the wrong place is still a PIN.
type document struct {
	file     string // empty: the configuration
	findings []Finding
}

// value is a node on its way into the configuration.
type value struct {
	doc    *document
	node   *yaml.Node // nil: the setting is absent
	path   string
	secret bool // what is written here is not repeated
}

// parse reads one YAML document.
func (d *document) parse(data []byte) value {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		d.findings = append(d.findings, Finding{File: d.file, Message: "the file is empty"})
		return value{doc: d}
	case err != nil:
		wrong := syntax(err)
		wrong.File = d.file
		d.findings = append(d.findings, wrong)
		return value{doc: d}
	}
	v := value{doc: d, node: root.Content[0]}
	if dec.Decode(new(yaml.Node)) != io.EOF {
		v.fail("more than one YAML document")
	}
	return v
}

// syntax takes from the library's message what is wrong and the line.
func syntax(err error) Finding {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	f := Finding{Message: "not YAML: " + msg}
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if n, what, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(n); err == nil {
				f = Finding{Line: line, Column: 1, Message: "not YAML: " + what}
			}
		}
	}
	return f
}

// fail notes that something is wrong with this value.
func (v value) fail(format string, args ...any) {
	f := Finding{File: v.doc.file, Path: v.path, Message: fmt.Sprintf(format, args...)}
	if v.node != nil {
		f.Line, f.Column = v.node.Line, v.node.Column
	}
	v.doc.findings = append(v.doc.findings, f)
}

// in is the same place, with errors going to another document: for what is found out after the file was read.
func (v value) in(d *document) value {
	v.doc = d
	return v
}

func (v value) present() bool { return v.node != nil }

// is notes a wrong kind of node. Absent values are of every kind.
func (v value) is(kind yaml.Kind, what string) bool {
	switch {
	case v.node == nil:
		return false
	case v.node.Kind == yaml.AliasNode || v.node.Anchor != "":
		v.fail("anchors and aliases are not supported")
	case v.node.Kind == kind:
		return true
	case v.node.Tag == "!!null":
		v.fail("is empty; it must be %s", what)
	default:
		v.fail("must be %s", what)
	}
	return false
}

// mapping gives the settings of a mapping by name; a name that is not among known is noted. Settings that are missing come
// back absent, with the place of the mapping for errors about them.
func (v value) mapping(known ...string) func(name string) value {
	found := map[string]value{}
	if v.is(yaml.MappingNode, "a mapping") {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			key, node := v.node.Content[i], v.node.Content[i+1]
			at := value{doc: v.doc, node: key, path: join(v.path, key.Value)}
			switch _, twice := found[key.Value]; {
			case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
				at.path = v.path
				what := ""
				if !v.secret {
					what = strconv.Quote(printable(key.Value)) + " "
				}
				at.fail("unknown setting %s(known here: %s)", what, strings.Join(known, ", "))
			case twice:
				at.fail("is set twice")
			default:
				found[key.Value] = value{doc: v.doc, node: node, path: at.path}
			}
		}
	}
	return func(name string) value {
		if s, ok := found[name]; ok {
			return s
		}
		return value{doc: v.doc, path: join(v.path, name)}
	}
}

func join(path, name string) string {
	name = printable(name)
	if path == "" {
		return name
	}
	return path + "." + name
}

func printable(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// list gives the items of a sequence.
func (v value) list() []value {
	if !v.is(yaml.SequenceNode, "a list") {
		return nil
	}
	items := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		items[i] = value{doc: v.doc, node: n, path: fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return items
}

// text reads a string; absent is "".
func (v value) text() string {
	if !v.is(yaml.ScalarNode, "a text") {
		return ""
	}
	switch {
	case v.node.Tag == "!!null" || v.node.Value == "":
		v.fail("is empty")
	case v.node.Tag != "!!str" && v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0:
		v.fail("must be a text; put it in quotes")
	case strings.ContainsRune(v.node.Value, 0):
		v.fail("contains a NUL")
	default:
		return v.node.Value
	}
	return ""
}

// required is text that must be there; owner is noted as the place when it is not.
func (v value) required(owner value) string {
	if !v.present() {
		missing(v, owner)
		return ""
	}
	return v.text()
}

func missing(v, owner value) {
	at := v
	at.node = owner.node
	at.fail("is missing")
}

// texts reads a list of strings.
func (v value) texts() []string {
	var out []string
	for _, item := range v.list() {
		if s := item.text(); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// number reads an integer from least to most; absent is 0.
func (v value) number(least, most int) int {
	if !v.is(yaml.ScalarNode, "a number") {
		return 0
	}
	n, err := strconv.Atoi(v.node.Value)
	if err != nil || v.node.Tag != "!!int" || strconv.Itoa(n) != v.node.Value || n < least || n > most { // 010 is 8 to some readers
		v.fail("must be a number from %d to %d", least, most)
		return 0
	}
	return n
}

// flag reads true or false; absent is false.
func (v value) flag() bool {
	if !v.is(yaml.ScalarNode, "true or false") {
		return false
	}
	if v.node.Tag != "!!bool" {
		v.fail("must be true or false")
		return false
	}
	return strings.EqualFold(v.node.Value, "true")
}

// choice reads one of the given words; absent is the first.
func (v value) choice(words ...string) string {
	if !v.present() {
		return words[0]
	}
	s := v.text()
	if s != "" && !slices.Contains(words, s) {
		v.fail("must be one of %s", strings.Join(words, ", "))
		return words[0]
	}
	return s
}
