package daemon

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"

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
	c.tokens = nil
	for _, item := range v.list() {
		at := item.mapping("name", "module", "label", "serial", "pin", "key_pin", "state_dir", "vendor", "isolation", "sandbox",
			"call_seconds", "sessions", "queue", "client_queue")
		t := hsm.TokenConfig{
			Name: at("name").required(item), Module: c.path(at("module").required(item)),
			Label: at("label").text(), Serial: at("serial").text(),
			Sessions: at("sessions").number(1, 1024), Queue: at("queue").number(1, 1<<16),
			FlowQueue: at("client_queue").number(1, 1<<16),
			StateDir:  c.path(at("state_dir").required(item)),
			CallTime:  seconds(at("call_seconds"), 600, 0),
		}
		if name := at("vendor").text(); name != "" {
			if t.Vendor = hsm.VendorNamed(name); t.Vendor == nil {
				at("vendor").fail("no vendor %q; known are %s", name, vendorNames())
			}
		}
		t.Sandbox = c.readSandbox(at("sandbox"))
		if at("isolation").choice("process", "none") == "none" {
			t.Isolation = hsm.InProcess
		}
		if t.Label == "" && t.Serial == "" && !at("label").present() && !at("serial").present() {
			item.fail("label or serial is needed to tell the token from others")
		}
		if t.Name != "" && c.token(t.Name) != nil {
			at("name").fail("there is a token %q already", t.Name)
		}
		source, place := c.readPIN(item, at("pin"))
		t.PIN = source
		var keyPlace value
		if at("key_pin").present() {
			t.KeyPIN, keyPlace = c.readPIN(item, at("key_pin"))
		}
		if !slices.ContainsFunc(c.opened, t.Equal) {
			checkModule(at("module"), t.Module)
			checkPIN(place, source)
			checkPIN(keyPlace, t.KeyPIN)
		}
		c.tokens = append(c.tokens, t)
	}
	if len(c.tokens) == 0 && v.present() {
		v.fail("no token is configured")
	}
}

func checkModule(v value, path string) {
	if path == "" {
		return
	}
	if info, err := os.Stat(path); err != nil {
		v.fail("%s", err)
	} else if !info.Mode().IsRegular() {
		v.fail("%s is not a regular file", path)
	}
}

// checkPIN notes what is wrong with where a PIN is. Opening a sealed one is left to epov pin unseal-test.
func checkPIN(v value, source hsm.PINSource) {
	var err error
	switch {
	case source.IsZero(), source.Descriptor != 0: // what is wrong was noted; a descriptor is read once
		return
	case source.Credential != "" && os.Getenv("CREDENTIALS_DIRECTORY") == "": // only the service has it, not every check
		return
	case source.TPM != "":
		_, err = hsm.ReadSealedPIN(source.TPM)
	default:
		var pin hsm.PIN
		pin, err = source.Read()
		pin.Wipe()
	}
	if err != nil {
		v.fail("%s", err)
	}
}

// readSandbox reads what a module's process may reach besides what its vendor's profile says.
func (c *Config) readSandbox(v value) hsm.Sandbox {
	at := v.mapping("off", "demand", "read", "write", "devices", "sockets", "families", "ports", "environment")
	paths := func(v value) []string {
		list := v.texts()
		for i := range list {
			list[i] = c.path(list[i])
		}
		return list
	}
	var ports []uint16
	for _, item := range at("ports").list() {
		ports = append(ports, uint16(item.number(1, 1<<16-1)))
	}
	var families []string
	for _, item := range at("families").list() {
		families = append(families, item.choice("unix", "inet", "inet6", "netlink"))
	}
	return hsm.Sandbox{
		Off: at("off").flag(), Demand: at("demand").flag(), Ports: ports, Read: paths(at("read")),
		Write: paths(at("write")), Devices: paths(at("devices")),
		Sockets: paths(at("sockets")), Families: families, Environment: at("environment").texts(),
	}
}

func vendorNames() string {
	var names []string
	for _, v := range hsm.Vendors() {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

// readPIN reads where a PIN is, and where that stands.
func (c *Config) readPIN(owner, v value) (hsm.PINSource, value) {
	if !v.present() {
		missing(v, owner)
		return hsm.PINSource{}, v
	}
	if v.node.Value != "" { // somebody wrote the PIN itself: say so without repeating it
		v.fail("a PIN does not belong into the configuration; name a file, credential, descriptor or sealed file")
		return hsm.PINSource{}, v
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
		return hsm.PINSource{}, v
	}
	if device.present() && !sealed.present() {
		device.fail("goes with tpm")
	}
	switch {
	case file.present():
		name := c.path(file.text())
		if name == "" {
			return hsm.PINSource{}, v
		}
		return hsm.PINFile(name), file
	case credential.present():
		name := credential.text()
		if name == "" {
			return hsm.PINSource{}, v
		}
		return hsm.PINCredential(name), credential
	case sealed.present():
		name := c.path(sealed.text())
		if name == "" {
			return hsm.PINSource{}, v
		}
		return hsm.PINSealed(name, c.path(device.text())), sealed
	}
	return hsm.PINDescriptor(descriptor.number(3, 1<<20)), descriptor
}

func (c *Config) readKeys(root, v value) {
	if !v.present() {
		missing(v, root)
		return
	}
	c.keys = nil
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
	at := v.mapping("version", "token", "id", "replicas", "certificate", "chain")
	k := keyConfig{place: v, name: name.WithVersion(at("version").number(1, 999999999))}
	if !at("version").present() {
		missing(at("version"), v)
	}
	k.replicas = c.readReplicas(k.name, v, at)
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

// readReplicas reads where a key is: on one token, by token and id, or on several, by a list of such.
func (c *Config) readReplicas(name signer.KeyName, v value, at func(string) value) []hsm.KeyRef {
	one := func(owner, token, id value) hsm.KeyRef {
		ref := hsm.KeyRef{Token: token.required(owner), ID: name.ID()}
		if ref.Token != "" && c.token(ref.Token) == nil {
			token.fail("no token named %q", ref.Token)
		}
		if id.present() {
			ref.ID = id.text()
		}
		return ref
	}
	several := at("replicas")
	if !several.present() {
		return []hsm.KeyRef{one(v, at("token"), at("id"))}
	}
	for _, single := range []value{at("token"), at("id")} {
		if single.present() {
			single.fail("contradicts replicas")
		}
	}
	var refs []hsm.KeyRef
	for _, item := range several.list() {
		of := item.mapping("token", "id")
		ref := one(item, of("token"), of("id"))
		if slices.ContainsFunc(refs, func(r hsm.KeyRef) bool { return r.Token == ref.Token }) {
			item.fail("token %q is named already", ref.Token)
		}
		refs = append(refs, ref)
	}
	if len(refs) == 0 || len(refs) > 16 {
		several.fail("names %d tokens; 1 to 16 are possible", len(refs))
	}
	return refs
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
