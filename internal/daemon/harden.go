package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/sandbox"
)

// Hide keeps the process from dumping core and from the attention of debuggers, and its files from others. It must be the first
// thing a program does, before it reads anything that is secret.
func Hide() error {
	unix.Umask(0o077)
	if !sandbox.Hide() {
		return fmt.Errorf("the process can be traced, or dumps core")
	}
	return nil
}

// Confine takes from the process what a daemon of this configuration does not need: see package sandbox and docs/security.md. The
// first time it starts the program once more, and does not return; the program comes here again.
//
// It says what is in force. The error is a *WeakError when that is less than the configuration demands.
func (c *Config) Confine() (sandbox.Report, error) {
	files, again := sandbox.Restarted()
	if !again {
		var domain *sandbox.Domain
		why := "not wanted: sandbox: {off: true}"
		if name := c.unconfinedModule(); name != "" {
			why = fmt.Sprintf("it would confine the module of token %q, of which the configuration says sandbox: {off: true}", name)
		} else if !c.sandbox.off {
			if err := c.makeFolders(); err != nil {
				return nil, err
			}
			domain = c.domain()
		}
		return nil, sandbox.Restart(domain, why, c.descriptors()...)
	}
	if files.InForce && c.domain().Anywhere {
		files.Detail += "; ports to connect to are left open, because a module may use the network"
	}
	var filter sandbox.Filter
	if !c.sandbox.off {
		filter = sandbox.Allowing(sandbox.Families())
	}
	report := append(sandbox.Process(files, filter), lockedMemory())
	c.confined = report
	if lacking := report.Lacks(c.sandbox.require); len(lacking) > 0 {
		return report, &WeakError{lacking}
	}
	return report, nil
}

// makeFolders makes those that are written into: a grant needs something to stand on.
func (c *Config) makeFolders() error {
	folders := slices.Clone(c.sandbox.write)
	settings := map[string]string{c.audit.log.Dir: "audit.directory"}
	for i, t := range c.tokens {
		folders = append(folders, t.StateDir)
		settings[t.StateDir] = fmt.Sprintf("tokens[%d].state_dir", i)
	}
	for _, folder := range folders {
		if _, err := os.Stat(folder); err == nil {
			continue
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return &ConfigError{File: c.file, Findings: []Finding{{Path: settings[folder], Message: err.Error()}}}
		}
	}
	return nil
}

// Confinable says what of the protections this machine offers, without confining anything. The error is a *WeakError when the
// configuration demands more.
func (c *Config) Confinable() (sandbox.Report, error) {
	report := append(sandbox.Offered(), lockedMemory())
	for i := range report {
		p := &report[i]
		switch name := c.unconfinedModule(); {
		case p.Name != sandbox.Landlock && p.Name != sandbox.Seccomp:
		case c.sandbox.off:
			p.InForce, p.Detail = false, "not wanted: sandbox: {off: true}"
		case p.Name == sandbox.Landlock && name != "":
			p.InForce, p.Detail = false, fmt.Sprintf("not wanted for the module of token %q", name)
		}
	}
	if lacking := report.Lacks(c.sandbox.require); len(lacking) > 0 {
		return report, &WeakError{lacking}
	}
	return report, nil
}

func lockedMemory() sandbox.Protection {
	p := sandbox.Protection{Name: sandbox.LockedMemory, InForce: true}
	if err := hsm.CheckPINMemory(); err != nil {
		p.InForce, p.Detail = false, err.Error()+"; see LimitMEMLOCK in the unit"
	}
	return p
}

// TellConfinement logs a report.
func TellConfinement(log *slog.Logger, r sandbox.Report) {
	log.Info("confined", "in_force", r.InForce().String())
	for _, p := range r.Missing() {
		log.Warn("the process is confined less than it could be", "missing", p.Name, "why", p.Detail)
	}
}

// WeakError says what the configuration demands and the process lacks. Starting again does not help.
type WeakError struct{ Lacking sandbox.Report }

func (e *WeakError) Error() string {
	return "the process cannot be confined as the configuration demands; missing: " + e.Lacking.String()
}
