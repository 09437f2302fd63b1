package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/daemon"
)

type doctorCmd struct {
	Config   string        `placeholder:"FILE" help:"Configuration of epovd: its modules, tokens and keys are examined."`
	Module   []string      `placeholder:"FILE" help:"PKCS#11 libraries to examine, instead of --config."`
	Token    string        `placeholder:"LABEL" help:"With one --module: the token to examine; default: all."`
	Serial   string        `placeholder:"NUMBER" help:"With one --module: its serial number."`
	PINFile  string        `name:"pin-file" placeholder:"FILE" help:"With --token and --login: file with the user PIN, mode 0600; default: ask on the terminal."`
	StateDir string        `placeholder:"DIR" help:"With --token: where refused PINs are remembered; best the daemon's. Default: ~/.local/state/epov."`
	Login    bool          `help:"Log in, one try under the rules of the PIN, and let each key sign."`
	JSON     bool          `name:"json" help:"Write JSON."`
	Patience time.Duration `default:"30s" help:"How long a module may take."`
}

func (c *doctorCmd) Run(ctx context.Context, con *console) error {
	e, findings, done, err := c.examination()
	if err != nil {
		return err
	}
	defer done()
	e.LogIn, e.Patience, e.Isolated = c.Login, c.Patience, true
	log := slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelError}))
	findings = append(findings, hsm.Examine(ctx, e, log)...)
	if c.JSON {
		err = findingsJSON(con, findings)
	} else {
		err = findingsText(con, findings)
	}
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.Severity == hsm.Fault {
			return errVerdict
		}
	}
	return nil
}

// examination reads the flags; done wipes a PIN that was typed.
func (c *doctorCmd) examination() (e hsm.Examination, findings []hsm.Finding, done func(), err error) {
	done = func() {}
	one := c.Token != "" || c.Serial != ""
	switch {
	case (c.Config != "") == (len(c.Module) > 0):
		return e, nil, nil, usagef("either --config or --module says what to examine")
	case c.Config != "" && (one || c.PINFile != "" || c.StateDir != ""):
		return e, nil, nil, usagef("--token, --serial, --pin-file and --state-dir go with --module; the configuration says them itself")
	case c.Config != "":
		e, findings = daemon.Examination(c.Config)
		return e, findings, done, nil
	case !one && (c.Login || c.PINFile != ""):
		return e, nil, nil, usagef("a PIN belongs to one token: name it by --token or --serial")
	case !one:
		e.Modules = c.Module
		return e, nil, done, nil
	case len(c.Module) != 1:
		return e, nil, nil, usagef("one token is behind one --module")
	}
	flags := tokenFlags{StateDir: c.StateDir}
	state, err := flags.stateDir()
	if err != nil {
		return e, nil, nil, err
	}
	t := hsm.TokenConfig{Module: c.Module[0], Label: c.Token, Serial: c.Serial, StateDir: state}
	if c.Login {
		if t.PIN, done, err = pinSource(c.PINFile, "user PIN"); err != nil {
			return e, nil, nil, err
		}
	}
	e.Tokens = []hsm.TokenConfig{t}
	return e, nil, done, nil
}

func findingsText(con *console, findings []hsm.Finding) error {
	counts := map[hsm.Severity]int{}
	var b strings.Builder
	for _, f := range findings {
		counts[f.Severity]++
		fmt.Fprintf(&b, "%-8s %s: %s [%s]\n", f.Severity, printable(f.Subject), printable(f.Seen), f.Code)
		if f.Advice != "" {
			fmt.Fprintf(&b, "         next: %s\n", printable(f.Advice))
		}
	}
	fmt.Fprintf(&b, "%s, %s, %s\n", plural(counts[hsm.Fault], "fault"), plural(counts[hsm.Warning], "warning"),
		plural(counts[hsm.Note], "note"))
	_, err := con.out.Write([]byte(b.String()))
	return err
}

// jsonFinding is a finding for machines. Field names and codes are a contract: some may be added, none is renamed.
type jsonFinding struct {
	Severity string `json:"severity"` // "good", "note", "warning", "fault"
	Code     string `json:"code"`
	Subject  string `json:"subject"`
	Seen     string `json:"seen"`
	Advice   string `json:"advice,omitempty"`
}

func findingsJSON(con *console, findings []hsm.Finding) error {
	out := make([]jsonFinding, len(findings))
	for i, f := range findings {
		out[i] = jsonFinding{f.Severity.String(), f.Code, f.Subject, f.Seen, f.Advice}
	}
	enc := json.NewEncoder(con.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
