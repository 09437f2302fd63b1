package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/epov-signer/epov/internal/sandbox"
)

// Sandbox says what a module may reach beyond what every library needs. The zero value leaves it sockets of no family.
// Paths that do not exist are passed over.
type Sandbox struct {
	Off      bool     `json:"off,omitempty"`      // neither Landlock nor seccomp
	Demand   bool     `json:"-"`                  // no worker where any of it is not in force, see Report.Weak
	Read     []string `json:"read,omitempty"`     // files and folders, to read and to load code from
	Write    []string `json:"write,omitempty"`    // files and folders, to do anything with
	Devices  []string `json:"devices,omitempty"`  // files, to read, write and control
	Families []string `json:"families,omitempty"` // of sockets: "unix", "inet", "inet6", "netlink"
	Ports    []uint16 `json:"ports,omitempty"`    // the only ones to connect to by TCP; none: all, if the family is allowed
}

func (s Sandbox) check() error {
	for _, f := range s.Families {
		if !slices.Contains(sandbox.Families(), f) {
			return fmt.Errorf("%q is no family of sockets that is known here: %s", f, strings.Join(sandbox.Families(), ", "))
		}
	}
	return nil
}

// Report says what confines a worker. What is missing the kernel lacks or forbids.
type Report struct {
	Landlock     int    `json:"landlock"` // ABI of the kernel; 0: files are not confined
	Seccomp      bool   `json:"seccomp"`
	Filter       string `json:"filter,omitempty"` // why there is no seccomp
	NoPrivileges bool   `json:"noPrivileges"`     // no capabilities and no new privileges
	Hidden       bool   `json:"hidden"`           // neither dumps core nor can be traced
	Memory       string `json:"memory,omitempty"` // why PINs lie in memory with less than all protection
}

// Weak lists what is not in force, in words for an operator.
func (r Report) Weak() []string {
	var weak []string
	for _, p := range []struct {
		ok   bool
		what string
	}{
		{r.Landlock > 0, "files are not confined: no Landlock here, or none wanted"},
		{r.Seccomp, "system calls are not confined: " + r.Filter},
		{r.NoPrivileges, "the process has privileges"},
		{r.Hidden, "the process can be traced or dumps core"},
		{r.Memory == "", "PINs: " + r.Memory},
	} {
		if !p.ok {
			weak = append(weak, p.what)
		}
	}
	return weak
}

// domain is what a worker may reach. Folders for the record of PINs are made, for a rule needs something to stand on.
func (o Options) domain() (*sandbox.Domain, error) {
	d := &sandbox.Domain{Connect: o.Sandbox.Ports, Anywhere: len(o.Sandbox.Ports) == 0}
	add := func(right sandbox.Right, paths ...string) {
		d.Grants = append(d.Grants, sandbox.Grants(right, paths...)...)
	}
	add(sandbox.Execute, "/proc/self/exe", filepath.Dir(o.Module))
	d.Grants = append(d.Grants, sandbox.Libraries(sandbox.Execute)...)
	add(sandbox.Device, o.Sandbox.Devices...)
	add(sandbox.Execute, o.Sandbox.Read...)
	add(sandbox.Write, o.Sandbox.Write...)
	for _, l := range o.Logins {
		add(sandbox.Read, l.Source.Paths()...)
		if device := l.Source.TPMDevice(); device != "" {
			add(sandbox.Device, device)
		}
		if l.StateDir == "" {
			continue
		}
		if err := os.MkdirAll(l.StateDir, 0o700); err != nil {
			return nil, err
		}
		add(sandbox.Write, l.StateDir)
	}
	return d, nil
}
