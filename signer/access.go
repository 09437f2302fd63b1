package signer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/signer/report"
)

// Operation is a right. Each is granted by itself; none implies another.
type Operation string

const (
	OpSignXML    Operation = "sign-xml"
	OpSignCMS    Operation = "sign-cms"
	OpSignDigest Operation = "sign-digest" // sign what the service cannot see
	OpVerify     Operation = "verify"      // concerns no key
	OpList       Operation = "list"        // see keys and certificates
)

// Operations is the whole list.
var Operations = []Operation{OpSignXML, OpSignCMS, OpSignDigest, OpVerify, OpList}

// Grant allows operations on keys.
type Grant struct {
	// Keys are "keys/{system}/{key}", "keys/{system}/*" or "keys/*". A grant on a key covers all its versions.
	Keys       []string
	Operations []Operation
}

// Check says what is wrong with the grant, one line for each thing.
func (g Grant) Check() error {
	var errs []error
	needsKeys := false
	for _, op := range g.Operations {
		if !slices.Contains(Operations, op) {
			errs = append(errs, fmt.Errorf("no operation %q; the operations are %s", op, joined(Operations)))
			continue
		}
		needsKeys = needsKeys || op != OpVerify
	}
	if len(g.Operations) == 0 {
		errs = append(errs, errors.New("no operations are granted"))
	}
	if needsKeys && len(g.Keys) == 0 {
		errs = append(errs, errors.New("no keys are named to which the operations apply"))
	}
	for _, p := range g.Keys {
		if !validPattern(p) {
			errs = append(errs, fmt.Errorf("%q is not keys/{system}/{key}, keys/{system}/* or keys/*", p))
		}
	}
	return errors.Join(errs...)
}

// Covers reports whether the grant concerns a key, in all its versions.
func (g Grant) Covers(n KeyName) bool {
	return slices.ContainsFunc(g.Keys, func(p string) bool { return covers(p, n) })
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
	return pattern == "keys/*" || pattern == "keys/"+n.System+"/*" || pattern == "keys/"+n.System+"/"+n.Key
}

// Client is a program that may call, and what it may do.
type Client struct {
	Name   string   // for logs
	SANs   []string // DNS names and URIs, any of which its certificate may carry
	Grants []Grant
	// Anyone makes it the client that callers without a certificate are. Only for listeners without mutual TLS.
	Anyone bool
	// Weight is the client's share of the keys' time while others wait too; 0 means 1.
	Weight int
}

// Access knows the clients. Immutable, safe for concurrent use.
type Access struct {
	bySAN  map[string]*Caller
	anyone *Caller
}

// Caller is a client that has been recognised. A nil Caller may do nothing.
type Caller struct {
	name   string
	grants []Grant
	weight int
}

func (c *Caller) flow(took *Timings) Flow {
	return Flow{Client: c.name, Weight: max(c.weight, 1), Took: took}
}

// Name is the client's name, empty for a nil Caller.
func (c *Caller) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// NewAccess checks the clients: grants in order, no SAN that stands for two of them.
func NewAccess(clients []Client) (*Access, error) {
	a := &Access{bySAN: map[string]*Caller{}}
	for _, c := range clients {
		caller := &Caller{name: c.Name, grants: c.Grants, weight: c.Weight}
		for _, g := range c.Grants {
			if err := g.Check(); err != nil {
				return nil, fmt.Errorf("client %q: %w", c.Name, err)
			}
		}
		for _, san := range c.SANs {
			id, err := identity(san)
			if err != nil {
				return nil, fmt.Errorf("client %q: %w", c.Name, err)
			}
			if other := a.bySAN[id]; other != nil {
				return nil, fmt.Errorf("client %q: %q belongs to client %q already", c.Name, san, other.name)
			}
			a.bySAN[id] = caller
		}
		if c.Anyone {
			if a.anyone != nil {
				return nil, fmt.Errorf("client %q: client %q is anyone already", c.Name, a.anyone.name)
			}
			a.anyone = caller
		}
	}
	return a, nil
}

// identity brings a DNS name or URI into the form in which it is compared: DNS names in lower case (RFC 4343), URIs as they
// are. A DNS name has no colon, a URI has one.
func identity(san string) (string, error) {
	switch {
	case san == "" || strings.ContainsAny(san, " \t\r\n"):
		return "", fmt.Errorf("%q is neither a DNS name nor a URI", san)
	case strings.Contains(san, ":"):
		return san, nil
	case strings.Contains(san, "*"):
		return "", fmt.Errorf("%q: wildcards name nobody in particular", san)
	}
	return strings.ToLower(san), nil
}

// Caller recognises a client by the DNS names and URIs of its certificate. Names that belong to two clients are refused, as
// is a certificate none of whose names is known. The error is a *report.Error with AccessDenied.
func (a *Access) Caller(sans []string) (*Caller, error) {
	var found *Caller
	for _, san := range sans {
		id, err := identity(san)
		if err != nil {
			continue
		}
		c := a.bySAN[id]
		if c == nil || c == found {
			continue
		}
		if found != nil {
			return nil, report.Errorf(report.AccessDenied, report.Place{}, "the client certificate belongs to two clients")
		}
		found = c
	}
	if found == nil {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "no name of the client certificate is known")
	}
	return found, nil
}

// Anyone is the client that callers without a certificate are.
func (a *Access) Anyone() (*Caller, error) {
	if a.anyone == nil {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "a client certificate is needed")
	}
	return a.anyone, nil
}

// can reports whether the caller has the operation on the key.
func (c *Caller) can(op Operation, n KeyName) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(c.grants, func(g Grant) bool {
		return slices.Contains(g.Operations, op) && g.Covers(n)
	})
}

// has reports whether the caller has an operation that concerns no particular key.
func (c *Caller) has(op Operation) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(c.grants, func(g Grant) bool { return slices.Contains(g.Operations, op) })
}

// authorize decides by the name alone, before anybody looks for the key: who may not use it does not learn whether it
// exists.
func (c *Caller) authorize(op Operation, n KeyName) error {
	if c.can(op, n) {
		return nil
	}
	return report.Errorf(report.AccessDenied, report.Place{}, "%s with %s is not granted", op, n)
}

func joined(ops []Operation) string {
	s := make([]string, len(ops))
	for i, op := range ops {
		s[i] = string(op)
	}
	return strings.Join(s, ", ")
}
