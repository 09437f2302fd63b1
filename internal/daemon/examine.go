package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/epov-signer/epov/hsm"
)

// Examination says what [hsm.Examine] shall look at by a configuration file. What is wrong with the file itself is among the
// findings; tokens and keys that could be read are examined all the same.
func Examination(file string) (hsm.Examination, []hsm.Finding) {
	var findings []hsm.Finding
	wrong := func(place, message string) {
		findings = append(findings, hsm.Finding{Severity: hsm.Fault, Code: "config.wrong", Subject: place, Seen: message,
			Advice: "correct it; `epovd -config FILE -check` says what is still wrong"})
	}
	e := hsm.Examination{Files: []string{file}}
	data, err := readFile(file)
	if err != nil {
		wrong("configuration", err.Error())
		return e, findings
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		wrong("configuration", err.Error())
		return e, findings
	}
	c := &Config{file: file, dir: dir}
	doc := &document{}
	c.read(doc.parse(data))
	told := func(file string, list []Finding) {
		for _, f := range list {
			message := f.Message
			if f.Path != "" {
				message = f.Path + ": " + message
			}
			wrong(fmt.Sprintf("%s:%d", cmp.Or(f.File, file), f.Line), message)
		}
	}
	told(file, doc.findings)
	keys := c.keys
	states, err := c.readStates()
	if err == nil {
		var all []keyConfig
		if all, err = c.withStates(states); err == nil {
			keys = all
		}
	}
	if e, ok := errors.AsType[*ConfigError](err); ok {
		told(e.File, e.Findings)
	}
	findings = append(findings, c.examineSandbox()...)
	if c.states != "" {
		e.Files = append(e.Files, c.states)
	}
	for _, t := range c.tokens {
		if t.Module != "" && (t.Label != "" || t.Serial != "") {
			e.Tokens = append(e.Tokens, t)
		}
	}
	for _, k := range keys {
		if k.state.off() {
			continue
		}
		for _, r := range k.replicas {
			e.Keys = append(e.Keys, hsm.ExaminedKey{Name: k.name.String(), Token: r.Token, ID: r.ID, Certificate: k.certificate})
		}
	}
	return e, findings
}

// examineSandbox says what the daemon could be confined by on this machine.
func (c *Config) examineSandbox() []hsm.Finding {
	offered, err := c.Confinable()
	out := []hsm.Finding{{Severity: hsm.Good, Code: "sandbox.offered", Subject: "sandbox", Seen: offered.InForce().String()}}
	weak, _ := errors.AsType[*WeakError](err)
	for _, p := range offered.Missing() {
		f := hsm.Finding{Severity: hsm.Note, Code: "sandbox.missing", Subject: "sandbox", Seen: p.Name + ": " + p.Detail}
		if weak != nil && slices.Contains(weak.Lacking, p) {
			f.Severity, f.Advice = hsm.Fault, "the configuration requires it: change the system, or sandbox.require"
		}
		out = append(out, f)
	}
	return out
}
