package daemon

import (
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/signer"
)

// Policy says who may do what: clients, and the roles that they have. It stands in a file of its own or in the configuration,
// and is checked as a whole.
type Policy struct {
	File    string // in which it stands
	Roles   []signer.Role
	Clients []signer.Client
	Access  *signer.Access

	granted []grantPlace
}

// grantPlace is a grant with its place.
type grantPlace struct {
	signer.Grant
	role  string
	place value
}

// LoadPolicy reads the policy in a file: its own, or a configuration with one in it or to which one belongs. The error is a
// *ConfigError with everything that is wrong with the policy, and nothing else of a configuration is looked at.
func LoadPolicy(file string) (*Policy, error) {
	c, root, err := openConfig(file)
	if err != nil {
		return nil, err
	}
	doc := root.doc
	if at := root.sections(); at("policy").present() || at("listen").present() {
		c.insecure = at("insecure").flag()
		c.readPolicy(root, at)
	} else {
		doc = &document{}
		c.policy = readPolicyFile(value{doc: doc}, file, true)
	}
	if len(doc.findings) > 0 {
		return nil, c.errors(doc)
	}
	return c.policy, nil
}

// readPolicy reads the policy from the file that the configuration names, or from the configuration.
func (c *Config) readPolicy(root value, at func(string) value) {
	file := at("policy")
	switch {
	case !file.present():
		c.policy = &Policy{File: c.file}
		if at("roles").present() || at("clients").present() {
			if err := guarded(c.file); err != nil {
				root.fail("%s", err)
			}
		}
		c.policy.read(root, at, c.insecure)
	case at("roles").present() || at("clients").present():
		file.fail("contradicts roles and clients: a policy stands in one place")
	default:
		if name := file.text(); name != "" {
			c.policy = readPolicyFile(file, c.path(name), c.insecure)
		}
	}
}

// readPolicyFile reads a policy of its own. What is wrong with the file as such is noted at v, and what is in it at its place.
func readPolicyFile(v value, file string, insecure bool) *Policy {
	p := &Policy{File: file}
	data, err := readFile(file)
	if err == nil {
		err = guarded(file)
	}
	if err != nil {
		v.fail("%s", err)
		return p
	}
	doc := &document{file: file}
	if root := doc.parse(data); root.present() {
		p.read(root, root.mapping("roles", "clients"), insecure)
	}
	v.doc.findings = append(v.doc.findings, doc.findings...)
	return p
}

// guarded says why not only root and this process's user can change a file: whoever writes the policy may sign.
func guarded(file string) error {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return &os.PathError{Op: "stat", Path: file, Err: err}
	}
	switch {
	case st.Mode&0o022 != 0:
		return &os.PathError{Op: "policy", Path: file, Err: errWritable(st.Mode & 0o777)}
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return &os.PathError{Op: "policy", Path: file, Err: errOwner(st.Uid)}
	}
	return nil
}

type (
	errWritable uint32
	errOwner    uint32
)

func (e errWritable) Error() string {
	return "mode 0" + strconv.FormatUint(uint64(e), 8) + " lets others write it, and so sign; chmod go-w"
}

func (e errOwner) Error() string {
	return "belongs to user " + strconv.FormatUint(uint64(e), 10) + ", who could let anybody sign; root or the service's user should own it"
}

// priorities are the weights of the classes, before a client's share of its class.
var priorities = map[string]int{"high": 64, "normal": 8, "low": 1}

func (p *Policy) read(root value, at func(string) value, insecure bool) {
	for _, name := range []string{"roles", "clients"} {
		if !at(name).present() {
			missing(at(name), root)
		}
	}
	before := len(root.doc.findings)
	known := map[string]bool{}
	for _, item := range at("roles").list() {
		p.readRole(item, known)
	}
	names, sans := map[string]bool{}, map[string]string{}
	for _, item := range at("clients").list() {
		p.readClient(item, insecure, known, names, sans)
	}
	if len(root.doc.findings) > before {
		return
	}
	var err error
	if p.Access, err = signer.NewAccess(p.Roles, p.Clients); err != nil {
		at("clients").fail("%s", err)
	}
}

func (p *Policy) readRole(item value, known map[string]bool) {
	at := item.mapping("name", "allow", "limits", "priority")
	r := signer.Role{Name: name(item, at("name"), known), Weight: priorities[at("priority").choice("normal", "high", "low")]}
	allow := at("allow")
	if !allow.present() {
		missing(allow, item)
	}
	for _, grant := range allow.list() {
		g := grant.mapping("keys", "operations", "profiles")
		out := signer.Grant{Keys: g("keys").texts(), Profiles: g("profiles").texts()}
		if g("profiles").present() && out.Profiles == nil {
			g("profiles").fail("is empty; left out, it means all profiles")
			continue
		}
		for _, op := range g("operations").texts() {
			out.Operations = append(out.Operations, signer.Operation(op))
		}
		if err := out.Check(); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				grant.fail("%s", line)
			}
			continue
		}
		r.Grants = append(r.Grants, out)
		p.granted = append(p.granted, grantPlace{out, r.Name, grant})
	}
	limits := at("limits").mapping("rate", "burst", "concurrent", "message_bytes", "stream_bytes")
	r.Quota = signer.Quota{
		Rate: limits("rate").rate(), Burst: limits("burst").number(1, 1_000_000),
		Concurrent: limits("concurrent").number(1, 1<<16), MessageBytes: limits("message_bytes").number(1, 1<<30),
		StreamBytes: int64(limits("stream_bytes").number(1, 1<<46)),
	}
	if limits("burst").present() && !limits("rate").present() {
		limits("burst").fail("goes with rate")
	}
	p.Roles = append(p.Roles, r)
}

func (p *Policy) readClient(item value, insecure bool, roles, names map[string]bool, sans map[string]string) {
	at := item.mapping("name", "san", "anyone", "roles", "share")
	c := signer.Client{
		Name: name(item, at("name"), names), SANs: readSANs(at("san")), Anyone: at("anyone").flag(), Share: at("share").number(1, 64),
	}
	switch {
	case c.Anyone && !insecure:
		at("anyone").fail("is only for insecure: true")
	case c.Anyone && at("san").present():
		at("san").fail("contradicts anyone: true")
	case !c.Anyone && !at("san").present():
		missing(at("san"), item)
	}
	for i, san := range c.SANs {
		id, err := signer.Identity(san)
		if err != nil {
			at("san").list()[i].fail("%s", err)
		} else if other, taken := sans[id]; taken {
			at("san").list()[i].fail("%q belongs to client %q already", printable(san), other)
		}
		sans[id] = c.Name
	}
	if !at("roles").present() {
		missing(at("roles"), item)
	}
	for _, role := range at("roles").list() {
		switch s := role.text(); {
		case s == "":
		case !roles[s]:
			role.fail("there is no role %q", printable(s))
		case slices.Contains(c.Roles, s):
			role.fail("is named twice")
		default:
			c.Roles = append(c.Roles, s)
		}
	}
	p.Clients = append(p.Clients, c)
}

// name reads the name of a role or client, which goes into logs, answers and metrics.
func name(owner, v value, known map[string]bool) string {
	s := v.required(owner)
	switch {
	case s == "":
	case len(s) > 64 || s[0] == '.' || strings.ContainsFunc(s, notInHost):
		v.fail("must be up to 64 letters, digits, dots, hyphens and underscores")
	case known[s]:
		v.fail("there is a %q already", s)
	}
	known[s] = true
	return s
}

// rate reads calls a second: a number, or calls in a time, such as 30/minute; absent is 0.
func (v value) rate() float64 {
	if !v.is(yaml.ScalarNode, "a number") {
		return 0
	}
	n, unit, per := strings.Cut(v.node.Value, "/")
	seconds, ok := map[string]float64{"": 1, "second": 1, "minute": 60, "hour": 3600}[unit]
	calls, err := strconv.ParseUint(n, 10, 32)
	if err != nil || !ok || per == (unit == "") || calls == 0 || calls > 1_000_000 {
		v.fail("must be a number of calls from 1 to 1000000 in a second, or such as 30/minute or 100/hour")
		return 0
	}
	return float64(calls) / seconds
}

// readSANs reads the DNS names and URIs of a client. What no certificate can carry would never match, and nobody would say so.
func readSANs(v value) []string {
	items := v.list()
	if v.present() && v.node.Kind == yaml.SequenceNode && len(items) == 0 {
		v.fail("is empty; the client could not be told")
	}
	var out []string
	for _, item := range items {
		s := item.text()
		u, err := url.Parse(s)
		switch {
		case s == "":
		case err == nil && strings.EqualFold(u.Scheme, "spiffe") && !isSPIFFE(s, u):
			item.fail("%q is not a SPIFFE ID: spiffe://, a trust domain in lower case, and a path", printable(s))
		case strings.Contains(s, "://") && err == nil && u.Host != "", strings.HasPrefix(s, "urn:") && err == nil:
		case net.ParseIP(s) == nil && !strings.ContainsFunc(s, notInHost) && !strings.Contains("."+s+".", ".."):
		case strings.Contains(s, "*"): // refused in its own words
		default:
			item.fail("%q is neither a DNS name nor a URI", printable(s))
		}
		out = append(out, s)
	}
	return out
}

// isSPIFFE is by the standard SPIFFE-ID, section 2: one spelling for each identity, so that comparing octets is enough.
func isSPIFFE(s string, u *url.URL) bool {
	return len(s) <= 2048 && strings.HasPrefix(s, "spiffe://") && u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.Port() == "" &&
		u.Host == strings.ToLower(u.Host) &&
		!strings.ContainsFunc(u.Host+strings.ReplaceAll(u.Path, "/", ""), notInHost) && len(u.Path) > 1 &&
		!strings.HasSuffix(u.Path, "/") && !strings.Contains(u.Path, "//") &&
		!strings.Contains(u.Path+"/", "/./") && !strings.Contains(u.Path+"/", "/../") && !strings.Contains(s, "%")
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
}

// warnings are what may be meant for later or be misspelt: roles that nobody has, and grants on systems or keys that are not
// among those of the configuration.
func (p *Policy) warnings(keys []keyConfig, warn func(message string, attributes ...any)) {
	for _, r := range p.Roles {
		if !slices.ContainsFunc(p.Clients, func(c signer.Client) bool { return slices.Contains(c.Roles, r.Name) }) {
			warn("no client has the role", "role", r.Name)
		}
	}
	for _, g := range p.granted {
		for _, pattern := range g.Keys {
			one := signer.Grant{Keys: []string{pattern}}
			if keys != nil && !slices.ContainsFunc(keys, func(k keyConfig) bool { return one.Covers(k.name) }) {
				warn("a grant covers no configured key", "role", g.role, "keys", pattern, "line", g.place.node.Line)
			}
		}
	}
}
