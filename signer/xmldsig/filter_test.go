package xmldsig

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

const (
	transformEnveloped = `<ds:Transform Algorithm="` + canon.EnvelopedURI + `"/>`
	transformXPath     = `<ds:Transform Algorithm="` + canon.XPathURI +
		`"><ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>`
)

// subtract is the transform of XPath Filter 2.0 with the attributes and content of its XPath.
func subtract(attributes, expression string) string {
	return `<ds:Transform Algorithm="` + canon.Filter2URI + `"><f:XPath xmlns:f="` + nsXF + `" ` + attributes + `>` + expression +
		`</f:XPath></ds:Transform>`
}

// resign makes SignatureValue anew, which is all that has to change when SignedInfo was rewritten and the digest still holds.
func (p *pair) resign(t *testing.T, doc string) string {
	t.Helper()
	h := gost.Streebog256.New()
	node := canon.Node{Element: strings.Index(doc, "<ds:SignedInfo>")}
	if err := canon.Apply(h, []byte(doc), node, []canon.Transform{{URI: canon.ExclusiveURI}}, xmltext.Limits{}); err != nil {
		t.Fatal(err)
	}
	value, err := p.key.Sign(rand.Reader, h.Sum(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(doc, cut(doc, "<ds:SignatureValue>", "</ds:SignatureValue>"),
		"<ds:SignatureValue>"+base64Of(value)+"</ds:SignatureValue>", 1)
}

// TestFilters: both filters leave out what enveloped-signature does, and further signatures too.
func TestFilters(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	const content = `<doc xmlns:u="urn:unused"><a Id="x">1</a></doc>`
	plain := string(p.sign(t, Enveloped, Input{Document: []byte(content)}))
	inner := string(p.sign(t, Enveloped, Input{Document: []byte(content), Target: "x"}))
	bes := string(p.sign(t, XAdESBES, Input{Document: []byte(content)}))
	for name, filter := range map[string]string{
		"XPath": transformXPath,
		"XPath with blanks": strings.Replace(transformXPath, "not(ancestor-or-self::ds:Signature)",
			"\n not ( ancestor-or-self :: ds:Signature )\n", 1),
		"XPath Filter 2.0":        subtract(`Filter="subtract"`, "//ds:Signature"),
		"XPath Filter 2.0, blank": subtract(`Filter="subtract"`, "\n  // ds:Signature\n"),
	} {
		t.Run(name, func(t *testing.T) {
			one := p.resign(t, strings.Replace(plain, transformEnveloped, filter, 1))
			signature := cut(one, "<ds:Signature ", "</ds:Signature>")
			const evil = `<ds:Object><order/></ds:Object></ds:Signature>`
			for _, c := range []struct {
				name    string
				doc     string
				policy  Policy
				verdict report.Verdict
			}{
				{"root", one, Policy{Profile: Enveloped}, report.Valid},
				{"root, no profile", one, Policy{}, report.Valid},
				{"element", p.resign(t, strings.Replace(inner, transformEnveloped, filter, 1)),
					Policy{Profile: Enveloped, Target: "x"}, report.Valid},
				{"XAdES", p.resign(t, strings.Replace(bes, transformEnveloped, filter, 1)), Policy{Profile: XAdESBES}, report.Valid},
				{"two signatures", strings.Replace(one, signature, signature+signature, 1), Policy{Profile: Enveloped}, report.Valid},
				{"content changed", strings.Replace(one, ">1<", ">2<", 1), Policy{Profile: Enveloped}, report.Invalid},
				{"an element added", strings.Replace(one, "<a ", "<b/><a ", 1), Policy{Profile: Enveloped}, report.Invalid},
				{"the root instead of the element", one, Policy{Profile: Enveloped, Target: "x"}, report.Invalid},
				{"no signature of a signature's namespace",
					strings.Replace(one, "<a ", `<x:Signature xmlns:x="urn:x"/><a `, 1), Policy{Profile: Enveloped}, report.Invalid},
				{"something in a broken signature",
					strings.Replace(one, "<a ", `<ds:Signature xmlns:ds="`+nsDS+`"><order/></ds:Signature><a `, 1),
					Policy{Profile: Enveloped}, report.Invalid},
				{"something in an Object of its own", strings.Replace(one, "</ds:Signature>", evil, 1),
					Policy{Profile: Enveloped}, report.Invalid},
				{"something in an Object of another",
					strings.Replace(one, signature, signature+strings.Replace(signature, "</ds:Signature>", evil, 1), 1),
					Policy{Profile: Enveloped}, report.Invalid},
				{"something in an Object of another, no profile",
					strings.Replace(one, signature, signature+strings.Replace(signature, "</ds:Signature>", evil, 1), 1),
					Policy{}, report.Indeterminate},
			} {
				c.policy.Trust = p.store
				r, err := Verify([]byte(c.doc), c.policy)
				if err != nil || r.Verdict() != c.verdict {
					t.Errorf("%s: %v, want %s, got%s", c.name, err, c.verdict, messages(r))
				}
			}
		})
	}
}

// TestFilterCoverage: each signature answers for what its filter has left out, whoever covers it besides; and nothing that is
// left out counts as covered.
func TestFilterCoverage(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	filter := subtract(`Filter="subtract"`, "//ds:Signature")
	one := p.resign(t, strings.Replace(string(p.sign(t, Enveloped, Input{Document: []byte(`<doc><a>1</a></doc>`)})),
		transformEnveloped, filter, 1))
	enveloping := string(p.sign(t, Enveloping, Input{Document: []byte(`<order/>`)}))
	doc := strings.Replace(one, "</doc>", enveloping+"</doc>", 1)
	for profile, want := range map[*Profile]report.Verdict{Enveloped: report.Invalid, nil: report.Indeterminate} {
		r, err := Verify([]byte(doc), Policy{Trust: p.store, Profile: profile})
		if err != nil || r.Verdict() != want || !slices.ContainsFunc(r.Signatures[0].Checks, func(c report.Check) bool {
			return c.Code == report.CoverageWrong && strings.Contains(c.Message, "a filter leaves out an Object")
		}) {
			t.Errorf("content in a signature that covers it: %v, want %s, got%s", err, want, messages(r))
		}
	}

	// What is in a signature cannot be covered through a filter.
	object := p.resign(t, strings.Replace(enveloping, "<ds:Transforms>", "<ds:Transforms>"+filter, 1))
	refused(t, "an Object of the signature", object, "removes the signed element itself")

	// SMEV's own profiles take no filter.
	smev := string(p.sign(t, SMEV3, Input{Document: []byte(messagesToSign()[1].doc)}))
	smev = p.resign(t, strings.Replace(smev, "<ds:Transforms>", "<ds:Transforms>"+filter, 1))
	r, err := Verify([]byte(smev), Policy{Trust: p.store})
	if err != nil || r.Verdict() != report.Invalid || len(r.Failures()) != 1 || r.Failures()[0].Code != report.ProfileForm {
		t.Errorf("SMEV 3 with a filter: %v%s", err, messages(r))
	}
}

func TestOtherFiltersAreRefused(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	plain := string(p.sign(t, Enveloped, Input{Document: []byte(`<doc><a Id="x">1</a></doc>`)}))
	const expressions, parameters = "XPath is refused, except", "parameters that are not understood"
	good := subtract(`Filter="subtract"`, "//ds:Signature")
	for _, c := range []struct{ name, transform, message string }{
		{"intersect", subtract(`Filter="intersect"`, "//ds:Signature"), expressions},
		{"union", subtract(`Filter="union"`, "//ds:Signature"), expressions},
		{"no Filter", subtract("", "//ds:Signature"), expressions},
		{"Filter of a namespace", subtract(`f:Filter="subtract"`, "//ds:Signature"), expressions},
		{"another element", subtract(`Filter="subtract"`, "//a"), expressions},
		{"a Signature of another namespace", subtract(`xmlns:ds="urn:x" Filter="subtract"`, "//ds:Signature"), expressions},
		{"an unbound prefix", subtract(`Filter="subtract"`, "//q:Signature"), expressions},
		{"no prefix", subtract(`xmlns="`+nsDS+`" Filter="subtract"`, "//Signature"), expressions},
		{"here()", subtract(`Filter="subtract"`, "here()/ancestor::ds:Signature[1]"), expressions},
		{"more than signatures", subtract(`Filter="subtract"`, "//ds:Signature | //a"), expressions},
		{"the other's expression", subtract(`Filter="subtract"`, "not(ancestor-or-self::ds:Signature)"), expressions},
		{"empty", subtract(`Filter="subtract"`, ""), expressions},
		{"nothing", `<ds:Transform Algorithm="` + canon.Filter2URI + `"/>`, expressions},
		{"XPath of another element", strings.Replace(transformXPath, "ds:Signature", "a", 1), expressions},
		{"XPath that is longer", strings.Replace(transformXPath, "Signature)", "Signature) and not(self::a)", 1), expressions},
		{"two expressions", strings.Replace(good, "</ds:Transform>", cut(good, "<f:XPath", "</f:XPath>")+"</ds:Transform>", 1), parameters},
		{"an element in the expression", subtract(`Filter="subtract"`, "//ds:Signature<a/>"), parameters},
		{"text beside the expression", strings.Replace(good, "</ds:Transform>", "x</ds:Transform>", 1), parameters},
		{"XPath of XMLDSig in a filter", strings.NewReplacer("f:XPath", "ds:XPath").Replace(good), parameters},
		{"XPath of a filter in XMLDSig", strings.Replace(good, canon.Filter2URI, canon.XPathURI, 1), parameters},
		{"a filter on canonicalization", strings.Replace(good, canon.Filter2URI, canon.ExclusiveURI, 1), parameters},
	} {
		refused(t, c.name, p.resign(t, strings.Replace(plain, transformEnveloped, c.transform, 1)), c.message)
	}
}

// refused wants one failure about the transforms, that says so.
func refused(t *testing.T, name, doc, message string) {
	t.Helper()
	var digested bytes.Buffer
	r, err := Verify([]byte(doc), Policy{Trace: func(name string, octets []byte) {
		if strings.Contains(name, "reference") {
			digested.Write(octets)
		}
	}})
	if err != nil || r.Verdict() != report.Invalid || len(r.Signatures[0].Coverage) > 0 || digested.Len() > 0 ||
		!slices.ContainsFunc(r.Failures(), func(c report.Check) bool {
			return c.Code == report.ReferenceTransform && strings.Contains(c.Message, message) &&
				strings.HasSuffix(c.Place.Path, "/ds:Transform")
		}) {
		t.Errorf("%s: %v, want %q, got%s", name, err, message, messages(r))
	}
}
