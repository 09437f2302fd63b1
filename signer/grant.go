package signer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// Operation is a right. Each is granted by itself; none implies another.
type Operation string

const (
	OpSignXML    Operation = "sign-xml"
	OpSignCMS    Operation = "sign-cms"
	OpSignDigest Operation = "sign-digest" // sign what the service cannot see
	OpVerify     Operation = "verify"      // examine messages
	OpList       Operation = "list"        // see keys and certificates
	OpCanary     Operation = "canary"      // have a key sign random octets, to see whether it does
	OpMonitor    Operation = "monitor"     // see the state of tokens, queues and the service itself
	OpAudit      Operation = "audit"       // read the audit log
	OpAdmin      Operation = "admin"       // drain, reload
	OpAdminKeys  Operation = "admin-keys"  // stage, activate, retire and disable key versions
)

// Operations is the whole list.
var Operations = []Operation{
	OpSignXML, OpSignCMS, OpSignDigest, OpVerify, OpList, OpCanary, OpMonitor, OpAudit, OpAdmin, OpAdminKeys,
}

// keyless are the operations that concern no key.
var keyless = []Operation{OpVerify, OpMonitor, OpAudit, OpAdmin}

// profiles are those of the operations that know any.
var profiles = map[Operation][]string{
	OpSignXML: known(xmldsig.Profiles, func(p *xmldsig.Profile) string { return p.Name }),
	OpSignCMS: known(cms.Profiles, func(p *cms.Profile) string { return p.Name }),
}

// Grant allows operations on keys.
type Grant struct {
	// Keys are "keys/{system}/{key}", "keys/{system}/*" or "keys/*". A grant on a key covers all its versions.
	Keys       []string
	Operations []Operation
	// Profiles are the only ones that sign-xml and sign-cms are granted with; none: all. A grant that names profiles grants
	// these operations only: no other knows profiles, and would be granted without.
	Profiles []string
}

// Check says what is wrong with the grant, one line for each thing.
func (g Grant) Check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	var choice []string
	needsKeys := false
	for _, op := range g.Operations {
		if !slices.Contains(Operations, op) {
			wrong("no operation %q; the operations are %s", op, joined(Operations))
			continue
		}
		needsKeys = needsKeys || !slices.Contains(keyless, op)
		if g.Profiles != nil && profiles[op] == nil {
			wrong("%s knows no profiles: it belongs to a grant without", op)
		}
		choice = append(choice, profiles[op]...)
	}
	if len(g.Operations) == 0 {
		wrong("no operations are granted")
	}
	if needsKeys && len(g.Keys) == 0 {
		wrong("no keys are named to which the operations apply")
	}
	for _, p := range g.Keys {
		if !validPattern(p) {
			wrong("%q is not keys/{system}/{key}, keys/{system}/* or keys/*", p)
		}
	}
	for _, p := range g.Profiles {
		if choice != nil && !slices.Contains(choice, p) {
			wrong("no profile %q of these operations; there are %s", printable(p), strings.Join(choice, ", "))
		}
	}
	return errors.Join(errs...)
}

// Covers reports whether the grant concerns a key, in all its versions.
func (g Grant) Covers(n KeyName) bool {
	return slices.ContainsFunc(g.Keys, func(p string) bool { return covers(p, n) })
}

// right is what a call needs.
type right struct {
	op         Operation
	key        KeyName // zero: of any key
	profile    string
	anyProfile bool // whichever the profile
}

// allows reports whether the grant gives the right.
func (g *Grant) allows(r right) bool {
	return slices.Contains(g.Operations, r.op) && (r.key == KeyName{} || g.Covers(r.key)) &&
		(g.Profiles == nil || r.anyProfile || slices.Contains(g.Profiles, r.profile))
}

func validPattern(p string) bool {
	if p == "keys/*" {
		return true
	}
	if system, ok := strings.CutSuffix(p, "/*"); ok {
		p = system + "/x"
	}
	n, err := ParseKeyName(p)
	return err == nil && n.Version == 0
}

func covers(pattern string, n KeyName) bool {
	rest, ok := strings.CutPrefix(pattern, "keys/")
	if !ok || rest == "*" {
		return ok
	}
	system, key, _ := strings.Cut(rest, "/")
	return system == n.System && (key == "*" || key == n.Key)
}

func joined(ops []Operation) string {
	s := make([]string, len(ops))
	for i, op := range ops {
		s[i] = string(op)
	}
	return strings.Join(s, ", ")
}
