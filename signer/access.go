package signer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/signer/report"
)

// Role is what may be done, and how much of it.
type Role struct {
	Name   string
	Grants []Grant
	Quota  Quota
	Weight int // of calls that wait for a key while others wait too; 0 means 1
}

// Client is a program that may call. It may do what any of its roles grants. A call is made under the first of them, in their
// order here, that grants it: its quota and weight hold, and of it alone.
type Client struct {
	Name  string   // for logs
	SANs  []string // DNS names and URIs, any of which its certificate may carry
	Roles []string
	// Anyone makes it the client that callers without a certificate are. Only for listeners without mutual TLS.
	Anyone bool
	// Share multiplies the weights of the client's roles; 0 means 1.
	Share int
}

// Access knows the clients. Immutable, safe for concurrent use.
type Access struct {
	bySAN   map[string]*Caller
	anyone  *Caller
	callers []*Caller // in the order of the clients
}

// Caller is a client that has been recognised. A nil Caller may do nothing.
type Caller struct {
	name  string
	roles []standing
	*account
}

// standing is a client's place under a role.
type standing struct {
	role    *Role
	flow    string // of those who wait for a key
	weight  int
	subject string // of the quota
	meter   *meter
}

// Name is the client's name, empty for a nil Caller.
func (c *Caller) Name() string {
	if c == nil {
		return ""
	}
	return c.name
}

// NewAccess checks roles and clients: every name once, grants and quotas in order, no SAN that stands for two clients.
func NewAccess(roles []Role, clients []Client) (*Access, error) {
	a := &Access{bySAN: map[string]*Caller{}}
	known := map[string]*Role{}
	for _, r := range roles {
		if known[r.Name] != nil {
			return nil, fmt.Errorf("there is a role %q already", r.Name)
		}
		known[r.Name] = &r
		for _, g := range r.Grants {
			if err := g.Check(); err != nil {
				return nil, fmt.Errorf("role %q: %w", r.Name, err)
			}
		}
		if err := r.Quota.check(); err != nil {
			return nil, fmt.Errorf("role %q: %w", r.Name, err)
		}
	}
	for _, c := range clients {
		if err := a.add(c, known); err != nil {
			return nil, fmt.Errorf("client %q: %w", c.Name, err)
		}
	}
	return a, nil
}

func (a *Access) add(c Client, roles map[string]*Role) error {
	if slices.ContainsFunc(a.callers, func(other *Caller) bool { return other.name == c.Name }) {
		return errors.New("is there already")
	}
	caller := &Caller{name: c.Name, account: &account{}}
	for i, name := range c.Roles {
		r := roles[name]
		switch {
		case r == nil:
			return fmt.Errorf("there is no role %q", name)
		case slices.Contains(c.Roles[:i], name):
			return fmt.Errorf("role %q is named twice", name)
		}
		caller.roles = append(caller.roles, standing{
			role: r, flow: c.Name + " " + name, weight: max(r.Weight, 1) * max(c.Share, 1), meter: &meter{},
			subject: "clients/" + c.Name + "/roles/" + name,
		})
	}
	for _, san := range c.SANs {
		id, err := Identity(san)
		if err != nil {
			return err
		}
		if other := a.bySAN[id]; other != nil {
			return fmt.Errorf("%q belongs to client %q already", san, other.name)
		}
		a.bySAN[id] = caller
	}
	if c.Anyone {
		if a.anyone != nil {
			return fmt.Errorf("client %q is anyone already", a.anyone.name)
		}
		a.anyone = caller
	}
	a.callers = append(a.callers, caller)
	return nil
}

// succeed takes over what clients of the same names have used of their quotas, so that nobody gains by a change of the policy.
// It is for an Access that nobody asks yet.
func (a *Access) succeed(old *Access) {
	for _, c := range a.callers {
		i := slices.IndexFunc(old.callers, func(o *Caller) bool { return o.name == c.name })
		if i < 0 {
			continue
		}
		before := old.callers[i]
		c.account = before.account
		for j := range c.roles {
			for _, s := range before.roles {
				if s.role.Name == c.roles[j].role.Name {
					c.roles[j].meter = s.meter
				}
			}
		}
	}
}

// Local is a caller whom the system vouches for, not a certificate, such as a user of this machine: it has these operations
// on all keys, without a quota.
func Local(name string, operations ...Operation) *Caller {
	role := &Role{Name: "local", Grants: []Grant{{Keys: []string{"keys/*"}, Operations: operations}}}
	return &Caller{name: name, account: &account{}, roles: []standing{{role: role, flow: name, weight: 1, meter: &meter{}}}}
}

// Identity brings a DNS name or URI into the form in which it is compared: DNS names in lower case (RFC 4343), URIs as they
// are. A DNS name has no colon, a URI has one.
func Identity(san string) (string, error) {
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
		id, err := Identity(san)
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

// under is the first role that gives the right; nil when none does.
func (c *Caller) under(r right) *standing {
	if c == nil {
		return nil
	}
	for i := range c.roles {
		s := &c.roles[i]
		for j := range s.role.Grants {
			if s.role.Grants[j].allows(r) {
				return s
			}
		}
	}
	return nil
}

// can reports whether the caller has the operation on the key, whatever the profile that it is for.
func (c *Caller) can(op Operation, n KeyName) bool {
	return c.under(right{op: op, key: n, anyProfile: true}) != nil
}

// Roles are the caller's roles in the order in which they are looked at. They are not to be changed.
func (c *Caller) Roles() []*Role {
	var list []*Role
	if c != nil {
		for _, s := range c.roles {
			list = append(list, s.role)
		}
	}
	return list
}

// Under names the role under which a call of the operation is made, with the key and the profile, or with any where they are
// empty; "" when none grants it. To ask counts as no call.
func (c *Caller) Under(op Operation, n KeyName, profile string) string {
	if s := c.under(right{op: op, key: n, profile: profile, anyProfile: profile == ""}); s != nil {
		return s.role.Name
	}
	return ""
}

// Has reports whether the caller has the operation on any key, or at all where it concerns none.
func (c *Caller) Has(op Operation) bool { return c.under(right{op: op, anyProfile: true}) != nil }

// authorize decides by the names alone, before anybody looks for the key: who may not use it does not learn whether it exists.
func (c *Caller) authorize(r right) (*standing, error) {
	if s := c.under(r); s != nil {
		return s, nil
	}
	if c != nil {
		c.denied.Add(1)
	}
	if r.key == (KeyName{}) {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "%s is not granted", r.op)
	}
	if whole := (right{op: r.op, key: r.key, anyProfile: true}); c.under(whole) != nil {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "%s with %s is not granted for profile %s", r.op, r.key,
			printable(r.profile))
	}
	return nil, report.Errorf(report.AccessDenied, report.Place{}, "%s with %s is not granted", r.op, r.key)
}

// Knows reports whether the caller may know of the key: it may do something with it, or monitor.
func (c *Caller) Knows(n KeyName) bool {
	if c == nil {
		return false
	}
	for _, s := range c.roles {
		for _, g := range s.role.Grants {
			if g.Covers(n) || slices.Contains(g.Operations, OpMonitor) {
				return true
			}
		}
	}
	return false
}
