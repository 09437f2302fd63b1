package daemon

import (
	"encoding/asn1"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/trust/directory"
	"github.com/epov-signer/epov/signer/trust/revocation"
)

// trustConfig is what stays of the section trust besides the stores.
type trustConfig struct {
	fixed  trust.Certificates  // from files
	smev   []*gost.Certificate // from files too
	policy trust.Policy
	path   string            // of the directory; empty: none
	lists  revocation.Config // of revocation lists, if they are looked at
	looks  bool
	place  value // of the directory
	about  value // of revocation

	// What was made of that.
	listed    trust.Certificates   // from the directory
	directory *directory.Directory // nil: none
	stamp     string               // of the directory when it was read
	crls      map[string][]string  // addresses in the directory
	library   *revocation.Library  // nil: revocation is not looked at
	log       *logger              // the library's
}

// logger is the daemon's log, which the library is made before.
type logger struct{ slog.Handler }

// classes are the classes of means of signing, in rising order, as certificate policies (order 795 of the FSB).
var classes = []string{"KC1", "KC2", "KC3", "KB1", "KB2", "KA1"}

func classPolicies(least int) []asn1.ObjectIdentifier {
	var out []asn1.ObjectIdentifier
	for i := least; i < len(classes); i++ {
		out = append(out, asn1.ObjectIdentifier{1, 2, 643, 100, 113, i + 1})
	}
	return out
}

func (c *Config) readTrust(v value) {
	at := v.mapping("anchors", "intermediates", "smev", "directory", "accredited", "policies", "purposes", "revocation")
	c.trust, c.smev, c.trusted = nil, nil, trustConfig{place: at("directory"), about: at("revocation")}
	t := &c.trusted
	t.fixed = trust.Certificates{Anchors: c.certificates(at("anchors")), Intermediates: c.certificates(at("intermediates"))}
	if at("intermediates").present() && !at("anchors").present() && !at("directory").present() {
		v.fail("intermediates without anchors lead nowhere")
	}
	t.policy = trust.Policy{Accredited: at("accredited").flag(), Policies: policies(at("policies")), Purposes: identifiers(at("purposes"))}
	if t.policy.Accredited && !at("directory").present() {
		at("accredited").fail("who is accredited says a list in trust.directory, and none is named")
	}
	c.readRevocation(at("revocation"), &t.policy)
	t.path = c.path(at("directory").text())
	t.smev = c.certificates(at("smev"))
	if !c.running {
		if at, err := c.makeStores(nil); err != nil {
			at.fail("%s", err)
		}
	}
}

// makeStores makes the stores of what was read, and says where there is an error. The library of revocation lists is that of now, if it
// is not nil and of the same settings: it has fetched much already.
func (c *Config) makeStores(now *trustConfig) (at value, err error) {
	t := &c.trusted
	switch {
	case now != nil && sameNode(t.about.node, now.about.node):
		t.library, t.log = now.library, now.log
	case t.looks:
		t.log = &logger{slog.DiscardHandler}
		t.lists.Logger = slog.New(t.log)
		if t.library, err = revocation.Open(t.lists); err != nil {
			return t.about, err
		}
	}
	known := t.fixed
	if t.path != "" {
		t.directory = directory.At(t.path)
		contents, err := t.read()
		if err == nil && len(contents.Manifest.Sources) == 0 {
			err = errors.New("nothing was imported there yet; see `epov trust import`")
		}
		if err != nil {
			return t.place, err
		}
		known = merge(t.fixed, contents.Certificates)
	}
	config := trust.Config{Certificates: known, Policy: t.policy}
	if t.library != nil {
		config.Revocations = t.library
	}
	if len(known.Anchors) > 0 || t.directory != nil {
		c.trust = trust.NewStore(config)
	}
	if len(t.smev) > 0 {
		// Who may sign as SMEV is named here, which says more than accreditation and policies could.
		config.Certificates = trust.Certificates{Anchors: t.smev, Intermediates: t.fixed.Intermediates}
		config.Policy.Accredited, config.Policy.Policies, config.Policy.Purposes = false, nil, nil
		c.smev = trust.NewStore(config)
	}
	return value{}, nil
}

// read loads the directory and notes its state.
func (t *trustConfig) read() (*directory.Contents, error) {
	stamp := t.directory.Stamp() // before, so that a change while it is read is seen the next time
	contents, err := t.directory.Load()
	if err == nil {
		t.stamp, t.crls, t.listed = stamp, contents.CRLs, contents.Certificates
	}
	return contents, err
}

func merge(a, b trust.Certificates) trust.Certificates {
	return trust.Certificates{
		Anchors: slices.Concat(a.Anchors, b.Anchors), Intermediates: slices.Concat(a.Intermediates, b.Intermediates),
		Accredited: b.Accredited,
	}
}

// policies reads certificate policies: object identifiers, and classes, each of which stands for itself and those above.
func policies(v value) []asn1.ObjectIdentifier {
	var out []asn1.ObjectIdentifier
	for _, item := range v.list() {
		s := item.text()
		if i := slices.Index(classes, strings.ToUpper(s)); i >= 0 {
			out = append(out, classPolicies(i)...)
		} else if oid := identifier(item, s); oid != nil {
			out = append(out, oid)
		}
	}
	return out
}

func identifiers(v value) []asn1.ObjectIdentifier {
	var out []asn1.ObjectIdentifier
	for _, item := range v.list() {
		if oid := identifier(item, item.text()); oid != nil {
			out = append(out, oid)
		}
	}
	return out
}

func identifier(v value, s string) asn1.ObjectIdentifier {
	if s == "" {
		return nil // noted already
	}
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(arc, 10, 31)
		if err != nil {
			oid = nil
			break
		}
		oid = append(oid, int(n))
	}
	if len(oid) < 2 {
		v.fail("must be an object identifier such as 1.2.643.100.113.1")
		return nil
	}
	return oid
}

func (c *Config) readRevocation(v value, policy *trust.Policy) {
	if !v.present() {
		return
	}
	at := v.mapping("mode", "freshness_hours", "grace_hours", "files", "folders", "fetch", "ocsp", "addresses", "cache",
		"private_addresses", "every_minutes", "timeout_seconds", "wait_milliseconds")
	switch at("mode").choice("if-available", "required", "off") {
	case "if-available":
		policy.Revocation = trust.RevocationIfAvailable
	case "required":
		policy.Revocation = trust.RevocationRequired
	}
	hours := func(name string) time.Duration { return time.Duration(at(name).number(1, 10*365*24)) * time.Hour }
	policy.Freshness, policy.Grace = hours("freshness_hours"), hours("grace_hours")
	config := revocation.Config{
		Fetch: at("fetch").flag(), OCSP: at("ocsp").flag(), Addresses: at("addresses").texts(), Cache: c.path(at("cache").text()),
		PrivateAddresses: at("private_addresses").flag(),
		Every:            time.Duration(at("every_minutes").number(5, 7*24*60)) * time.Minute,
		Timeout:          seconds(at("timeout_seconds"), 3600, 0),
		Wait:             time.Duration(at("wait_milliseconds").number(1, 10_000)) * time.Millisecond,
	}
	for _, list := range []struct {
		name string
		to   *[]string
	}{{"files", &config.Files}, {"folders", &config.Folders}} {
		for _, s := range at(list.name).texts() {
			*list.to = append(*list.to, c.path(s))
		}
	}
	if policy.Freshness > 0 && config.Every == 0 {
		config.Every = min(policy.Freshness/2, 12*time.Hour) // lists younger than the budget must be had in time
	}
	c.sandbox.connects(config.Addresses...)
	c.sandbox.writes(config.Cache)
	c.trusted.lists, c.trusted.looks = config, policy.Revocation != trust.RevocationOff
}
