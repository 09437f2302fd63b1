package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/epov-signer/epov/internal/daemon"
	"github.com/epov-signer/epov/signer"
)

type policyCmd struct {
	Check policyCheckCmd `cmd:"" help:"Say what is wrong with a policy, and where."`
	Show  policyShowCmd  `cmd:"" help:"Say what a client may do, and by which role."`
}

type policyCheckCmd struct {
	File string `arg:"" help:"Policy, or a configuration of epovd that has one."`
}

func (c *policyCheckCmd) Run(con *console) error {
	p, err := daemon.LoadPolicy(c.File)
	if wrong, ok := errors.AsType[*daemon.ConfigError](err); ok {
		for line := range strings.SplitSeq(wrong.Error(), "\n") {
			fmt.Fprintln(con.err, printable(line))
		}
		return usageError{errors.New(plural(len(wrong.Findings), "finding"))}
	} else if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintf(con.out, "OK: %s, %s\n", plural(len(p.Roles), "role"), plural(len(p.Clients), "client"))
	return err
}

type policyShowCmd struct {
	Config    string `default:"/etc/epovd/epovd.yaml" placeholder:"FILE" help:"Policy, or configuration of epovd that has one (default ${default})."`
	Client    string `required:"" placeholder:"SAN" help:"DNS name or URI of the client's certificate, or the client's name in the policy."`
	Operation string `placeholder:"NAME" help:"Say only whether this is granted: exit code 0 or 1."`
	Key       string `placeholder:"NAME" help:"With --operation: the key."`
	Profile   string `placeholder:"NAME" help:"With --operation: the profile."`
}

func (c *policyShowCmd) Run(con *console) error {
	p, err := daemon.LoadPolicy(c.Config)
	if err != nil {
		return usageError{err}
	}
	caller, err := p.Access.Caller([]string{c.Client})
	if i := slices.IndexFunc(p.Clients, func(k signer.Client) bool { return k.Name == c.Client }); err != nil && i >= 0 {
		if caller, err = p.Access.Caller(p.Clients[i].SANs); p.Clients[i].Anyone {
			caller, err = p.Access.Anyone()
		}
	}
	if err != nil {
		return fmt.Errorf("no client of the policy has the name or the san %s", printable(c.Client))
	}
	if c.Operation != "" {
		var key signer.KeyName
		if c.Key != "" {
			if key, err = signer.ParseKeyName(c.Key); err != nil {
				return usageError{err}
			}
		}
		role := caller.Under(signer.Operation(c.Operation), key, c.Profile)
		if role == "" {
			return fmt.Errorf("client %s: no role grants %s", caller.Name(),
				printable(strings.TrimSpace(c.Operation+" "+c.Key+" "+c.Profile)))
		}
		_, err = fmt.Fprintf(con.out, "client %s: granted by role %s\n", caller.Name(), role)
		return err
	}
	fmt.Fprintf(con.out, "client %s; a call is made under the first of these roles that grants it\n\n", caller.Name())
	t := newTable(con.out, "ROLE", "OPERATIONS", "KEYS", "PROFILES", "LIMITS")
	for _, r := range caller.Roles() {
		for i, g := range r.Grants {
			limits := ""
			if i == 0 {
				limits = limitsOf(r.Quota)
			}
			var ops []string
			for _, op := range g.Operations {
				ops = append(ops, string(op))
			}
			t.row(r.Name, strings.Join(ops, ", "), strings.Join(g.Keys, ", "), strings.Join(g.Profiles, ", "), limits)
		}
	}
	return t.flush()
}

func limitsOf(q signer.Quota) string {
	var parts []string
	if q.Rate > 0 {
		parts = append(parts, strconv.FormatFloat(q.Rate, 'g', 4, 64)+" a second")
	}
	if q.Burst > 0 {
		parts = append(parts, fmt.Sprintf("burst %d", q.Burst))
	}
	if q.Concurrent > 0 {
		parts = append(parts, fmt.Sprintf("%d at once", q.Concurrent))
	}
	if q.MessageBytes > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes", q.MessageBytes))
	}
	return strings.Join(parts, ", ")
}
