package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of protections, as configurations and monitoring write them.
const (
	Landlock       = "landlock"          // only files, folders, ports and processes that are granted
	Seccomp        = "seccomp"           // only system calls on a list
	NewPrivileges  = "no-new-privileges" // setuid programs and the like give none
	Dump           = "no-dump"           // no core dumps, no tracing by others of the same user
	Capabilities   = "no-capabilities"   // none of root's
	ExecutableData = "no-new-code"       // memory that was written is never executed (PR_SET_MDWE)
	LockedMemory   = "locked-memory"     // PINs are not swapped out
)

// Names lists the protections.
func Names() []string {
	return []string{Landlock, Seccomp, NewPrivileges, Dump, Capabilities, ExecutableData, LockedMemory}
}

// Protection is one thing that a process can be confined by.
type Protection struct {
	Name    string `json:"name"`
	InForce bool   `json:"in_force"`
	Detail  string `json:"detail,omitempty"` // more about it, or why it is not in force
}

// Report says what a process is confined by, and what not. It does not change.
type Report []Protection

// Lacks gives what is demanded and not in force.
func (r Report) Lacks(demanded []string) Report {
	var lacking Report
	for _, name := range demanded {
		i := slices.IndexFunc(r, func(p Protection) bool { return p.Name == name })
		switch {
		case i < 0:
			lacking = append(lacking, Protection{Name: name, Detail: "not known here"})
		case !r[i].InForce:
			lacking = append(lacking, r[i])
		}
	}
	return lacking
}

// Missing gives what is not in force.
func (r Report) Missing() Report {
	return slices.DeleteFunc(slices.Clone(r), func(p Protection) bool { return p.InForce })
}

// InForce gives what is.
func (r Report) InForce() Report {
	return slices.DeleteFunc(slices.Clone(r), func(p Protection) bool { return !p.InForce })
}

func (r Report) String() string {
	var b strings.Builder
	for i, p := range r {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name)
		if p.Detail != "" {
			b.WriteString(" (" + p.Detail + ")")
		}
	}
	return b.String()
}

// Process confines what is left to confine in a program after [Restart], which gave files: its system calls, by the filter unless
// that is nil, and executable memory. It says what is in force. Locked memory is the caller's to judge.
func Process(files Protection, filter Filter) Report {
	calls := Protection{Name: Seccomp, InForce: true}
	code := Protection{Name: ExecutableData, InForce: true}
	const exempt = unix.PR_MDWE_NO_INHERIT // children run libraries of others, which may bring a just-in-time engine
	if set, err := unix.PrctlRetInt(unix.PR_GET_MDWE, 0, 0, 0, 0); err != nil || set&unix.PR_MDWE_REFUSE_EXEC_GAIN == 0 {
		if err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN|exempt, 0, 0, 0); err != nil {
			code.InForce, code.Detail = false, fmt.Sprintf("Linux 6.6 or newer is needed: %v", err)
		}
	}
	if filter == nil {
		calls.InForce, calls.Detail = false, "not wanted"
	} else if err := filter.Install(); err != nil {
		calls.InForce, calls.Detail = false, err.Error()
	}
	return append(Report{files, calls}, privileges(code)...)
}

func privileges(code Protection) Report {
	return Report{
		{Name: NewPrivileges, InForce: NoNewPrivileges()},
		{Name: Dump, InForce: Hidden()},
		{Name: Capabilities, InForce: NoCapabilities()},
		code,
	}
}

// Offered says what this machine has to confine a process with, as far as that can be told without doing so.
func Offered() Report {
	files := Protection{Name: Landlock}
	abi, err := ABI()
	switch {
	case err != nil:
		files.Detail = err.Error()
	case abi == 0:
		files.Detail = "the kernel has none, or a container forbids it"
	default:
		files.InForce, files.Detail = true, fmt.Sprintf("ABI %d", abi)
	}
	calls := Protection{Name: Seccomp, InForce: true}
	if _, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); errors.Is(err, unix.EINVAL) {
		calls.InForce, calls.Detail = false, "the kernel has none"
	}
	code := Protection{Name: ExecutableData, InForce: true}
	if _, err := unix.PrctlRetInt(unix.PR_GET_MDWE, 0, 0, 0, 0); err != nil {
		code.InForce, code.Detail = false, "Linux 6.6 or newer is needed"
	}
	return Report{files, calls, {Name: NewPrivileges, InForce: true}, {Name: Dump, InForce: true},
		{Name: Capabilities, InForce: true}, code}
}
