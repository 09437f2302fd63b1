package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
)

// token finds a configured token.
func (c *Config) token(name string) *hsm.TokenConfig {
	for i := range c.tokens {
		if c.tokens[i].Name == name {
			return &c.tokens[i]
		}
	}
	return nil
}

func (c *Config) readTokens(root, v value) {
	if !v.present() {
		missing(v, root)
		return
	}
	for _, item := range v.list() {
		at := item.mapping("name", "module", "label", "serial", "pin", "sessions", "queue", "state_dir")
		t := hsm.TokenConfig{
			Name: at("name").required(item), Module: c.path(at("module").required(item)),
			Label: at("label").text(), Serial: at("serial").text(),
			Sessions: at("sessions").number(1, 1024), Queue: at("queue").number(1, 1<<16),
			StateDir: c.path(at("state_dir").required(item)),
		}
		if t.Label == "" && t.Serial == "" && !at("label").present() && !at("serial").present() {
			item.fail("label or serial is needed to tell the token from others")
		}
		if t.Name != "" && c.token(t.Name) != nil {
			at("name").fail("there is a token %q already", t.Name)
		}
		if t.Module != "" {
			if info, err := os.Stat(t.Module); err != nil {
				at("module").fail("%s", err)
			} else if !info.Mode().IsRegular() {
				at("module").fail("%s is not a regular file", t.Module)
			}
		}
		t.PIN = c.readPIN(item, at("pin"))
		c.tokens = append(c.tokens, t)
	}
	if len(c.tokens) == 0 && v.present() {
		v.fail("no token is configured")
	}
}

func (c *Config) readPIN(owner, v value) hsm.PINSource {
	if !v.present() {
		missing(v, owner)
		return hsm.PINSource{}
	}
	if v.node.Value != "" { // somebody wrote the PIN itself: say so without repeating it
		v.fail("a PIN does not belong into the configuration; name a file, credential, descriptor or sealed file")
		return hsm.PINSource{}
	}
	v.secret = true
	at := v.mapping("file", "credential", "descriptor", "tpm", "tpm_device")
	file, credential, descriptor, sealed, device := at("file"), at("credential"), at("descriptor"), at("tpm"), at("tpm_device")
	given := 0
	for _, s := range []value{file, credential, descriptor, sealed} {
		if s.present() {
			given++
		}
	}
	if given != 1 {
		v.fail("exactly one of file, credential, descriptor and tpm is needed")
		return hsm.PINSource{}
	}
	if device.present() && !sealed.present() {
		device.fail("goes with tpm")
	}
	switch {
	case file.present():
		name := c.path(file.text())
		if name == "" {
			return hsm.PINSource{}
		}
		readable(file, hsm.PINFile(name))
		return hsm.PINFile(name)
	case credential.present():
		name := credential.text()
		if name == "" {
			return hsm.PINSource{}
		}
		if os.Getenv("CREDENTIALS_DIRECTORY") != "" { // only the service has it, not every check
			readable(credential, hsm.PINCredential(name))
		}
		return hsm.PINCredential(name)
	case sealed.present():
		name := c.path(sealed.text())
		if name == "" {
			return hsm.PINSource{}
		}
		if _, err := hsm.ReadSealedPIN(name); err != nil { // opening it is left to epov pin unseal-test
			sealed.fail("%s", err)
		}
		return hsm.PINSealed(name, c.path(device.text()))
	}
	return hsm.PINDescriptor(descriptor.number(3, 1<<20))
}

// readable notes what is wrong with a source.
func readable(v value, source hsm.PINSource) {
	pin, err := source.Read()
	pin.Wipe()
	if err != nil {
		v.fail("%s", err)
	}
}

func (c *Config) readKeys(root, v value) {
	if !v.present() {
		missing(v, root)
		return
	}
	seen := map[string]bool{}
	for _, item := range v.list() {
		at := item.mapping("name", "primary", "versions")
		text := at("name").required(item)
		name, err := signer.ParseKeyName(text)
		switch {
		case text == "":
		case err != nil:
			at("name").fail("%s", err)
		case name.Version != 0:
			at("name").fail("the version does not belong here; see versions")
		case seen[text]:
			at("name").fail("there is a key %s already", text)
		}
		seen[text] = true
		versions := at("versions")
		if !versions.present() {
			missing(versions, item)
		}
		primary, found := at("primary").number(1, 999999999), false
		if !at("primary").present() {
			missing(at("primary"), item)
		}
		numbers := map[int]bool{}
		for _, version := range versions.list() {
			k := c.readVersion(name, version)
			if n := k.name.Version; n != 0 && numbers[n] {
				version.fail("there is a version %d already", n)
			}
			numbers[k.name.Version] = true
			k.primary = k.name.Version == primary
			found = found || k.primary
			c.keys = append(c.keys, k)
		}
		if primary != 0 && !found && versions.present() {
			at("primary").fail("there is no version %d", primary)
		}
	}
	if len(c.keys) == 0 && len(seen) == 0 {
		v.fail("no key is configured")
	}
}

func (c *Config) readVersion(name signer.KeyName, v value) keyConfig {
	at := v.mapping("version", "token", "id", "certificate", "chain")
	k := keyConfig{place: v, name: name.WithVersion(at("version").number(1, 999999999)), token: at("token").required(v)}
	if !at("version").present() {
		missing(at("version"), v)
	}
	if k.token != "" && c.token(k.token) == nil {
		at("token").fail("no token named %q", k.token)
	}
	k.id = k.name.ID()
	if at("id").present() {
		k.id = at("id").text()
	}
	if certificate := at("certificate"); certificate.present() {
		data := c.pem(certificate, v)
		list, err := gost.ParseCertificates(data)
		switch {
		case data == nil:
		case err != nil:
			certificate.fail("%s", err)
		case len(list) != 1:
			certificate.fail("%d certificates where one belongs; further ones go to chain", len(list))
		case list[0].PublicKey == nil:
			certificate.fail("its key cannot be used: %s", list[0].PublicKeyErr)
		default:
			k.certificate = list[0]
		}
	}
	k.chain = c.certificates(at("chain"))
	return k
}

func (c *Config) readClients(root, v value) {
	if !v.present() {
		missing(v, root)
		return
	}
	var clients []signer.Client
	for _, item := range v.list() {
		at := item.mapping("name", "san", "anyone", "allow")
		client := signer.Client{Name: at("name").required(item), SANs: names(at("san")), Anyone: at("anyone").flag()}
		switch {
		case client.Anyone && !c.insecure:
			at("anyone").fail("is only for insecure: true")
		case client.Anyone && at("san").present():
			at("san").fail("contradicts anyone: true")
		case !client.Anyone && !at("san").present():
			missing(at("san"), item)
		}
		allow := at("allow")
		if !allow.present() {
			missing(allow, item)
		}
		for _, grant := range allow.list() {
			g := grant.mapping("keys", "operations")
			out := signer.Grant{Keys: g("keys").texts()}
			for _, op := range g("operations").texts() {
				out.Operations = append(out.Operations, signer.Operation(op))
			}
			if err := out.Check(); err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					grant.fail("%s", line)
				}
				continue
			}
			client.Grants = append(client.Grants, out)
			c.granted = append(c.granted, grantPlace{out, client.Name, grant})
		}
		clients = append(clients, client)
	}
	access, err := signer.NewAccess(clients)
	if err != nil {
		v.fail("%s", err)
	}
	c.access, c.clients = access, len(clients)
}

// names reads the DNS names and URIs of a client. What no certificate can carry would never match, and nobody would say so.
func names(v value) []string {
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
			continue
		case strings.Contains(s, "://") && err == nil && u.Host != "", strings.HasPrefix(s, "urn:") && err == nil:
		case net.ParseIP(s) == nil && !strings.ContainsFunc(s, notInHost):
		case strings.Contains(s, "*"): // refused in its own words
		default:
			item.fail("%q is neither a DNS name nor a URI", printable(s))
		}
		out = append(out, s)
	}
	return out
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r)
}

// grantPlace is a grant with its place.
type grantPlace struct {
	signer.Grant
	client string
	place  value
}

// warnOfIdleGrants tells of patterns that cover no configured key: they may be meant for later, or be misspelt.
func (c *Config) warnOfIdleGrants(log *slog.Logger) {
	for _, g := range c.granted {
		for _, pattern := range g.Keys {
			one := signer.Grant{Keys: []string{pattern}}
			if !slices.ContainsFunc(c.keys, func(k keyConfig) bool { return one.Covers(k.name) }) {
				log.Warn("a grant covers no configured key", "client", g.client, "keys", pattern, "line", g.place.node.Line)
			}
		}
	}
}

// parseChain reads a PEM chain, leaf first.
func parseChain(data []byte) (tls.Certificate, error) {
	var out tls.Certificate
	for rest := bytes.TrimSpace(data); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out, errors.New("not PEM")
		}
		if block.Type == "CERTIFICATE" {
			out.Certificate = append(out.Certificate, block.Bytes)
		}
	}
	if len(out.Certificate) == 0 {
		return out, errors.New("no certificate in it")
	}
	var err error
	out.Leaf, err = x509.ParseCertificate(out.Certificate[0])
	return out, err
}
