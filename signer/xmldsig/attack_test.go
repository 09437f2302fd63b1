package xmldsig

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
)

// These tests are the attacks of the literature, made systematically. Each asserts a refusal by name, or that the report does
// not claim more than what was signed: "evil" is never in what a valid document is said to be covered by.
//
//   - McIntosh, Austel: XML Signature Element Wrapping Attacks and Countermeasures (2005)
//   - Gajek, Jensen, Liao, Schwenk: Analysis of Signature Wrapping Attacks and Countermeasures (2009)
//   - Jensen, Liao, Schwenk: The Curse of Namespaces in the Domain of XML Signature (2009)
//   - Somorovsky, Mayer, Schwenk, Kampmann, Jensen: On Breaking SAML (2012)
//   - Hill: Attacking XML Security (2007); XML Signature Best Practices (W3C, 2013)
//   - what became known of implementations since: comments in text (2018), digests of nothing (2025)

// attack is a document and what must come of it.
type attack struct {
	name   string
	doc    string
	policy Policy
	codes  []report.Code // one of them must be a failure; none: the document may be anything but dishonest
}

func (a attack) run(t *testing.T, p *pair) {
	t.Helper()
	if a.policy.Trust == nil {
		a.policy.Trust = p.store
	}
	r, err := Verify([]byte(a.doc), a.policy)
	var got []report.Code
	switch {
	case err != nil:
		got = []report.Code{code(err)}
	default:
		got = codes(r.Failures())
		if r.Verdict() != report.Invalid {
			honest(t, a, r)
		}
	}
	if len(a.codes) > 0 && !slices.ContainsFunc(a.codes, func(c report.Code) bool { return slices.Contains(got, c) }) {
		t.Errorf("%s: want %v, got %v %v\n%s", a.name, a.codes, got, err, a.doc)
	}
}

// honest fails when a document that is not invalid has something evil in what it is said to be covered by.
func honest(t *testing.T, a attack, r *report.Report) {
	t.Helper()
	for _, s := range r.Signatures {
		if slices.ContainsFunc(s.Checks,
			func(c report.Check) bool { return c.Code == report.CoverageWrong && c.Status == report.NotChecked }) {
			continue // it says that something in it is not covered
		}
		for _, c := range s.Coverage {
			if covered := a.doc[c.Place.Offset:c.Place.End]; strings.Contains(covered, "evil") && c.Octets > 0 {
				t.Errorf("%s: %s, and covers something evil: %s", a.name, r.Verdict(), covered)
			}
		}
	}
}

// forge signs a document with a Signature whose text was changed before: by a signer who means harm, so that digests of
// SignedInfo and value hold.
func (p *pair) forge(t *testing.T, profile *Profile, in Input, edit func(signature string) string) string {
	t.Helper()
	in.Certificate = p.cert
	signed := string(p.sign(t, profile, in))
	old := cut(signed, "<ds:Signature ", "</ds:Signature>")
	doc := strings.Replace(signed, old, edit(old), 1)
	trace := map[string][]byte{}
	if _, err := Verify([]byte(doc), Policy{Trace: func(name string, octets []byte) { trace[name] = bytes.Clone(octets) }}); err != nil {
		return doc
	}
	info, ok := trace["signature-0/signed-info"]
	if !ok {
		return doc // not accepted so far
	}
	h := p.cert.PublicKey.Algorithm.Digest.New()
	h.Write(info)
	value, err := p.key.Sign(rand.Reader, h.Sum(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	was := cut(doc, "<ds:SignatureValue>", "</ds:SignatureValue>")
	return strings.Replace(doc, was, "<ds:SignatureValue>"+base64.StdEncoding.EncodeToString(value)+"</ds:SignatureValue>", 1)
}

// TestForgedSignedInfo: what a signer may try in SignedInfo, with a value that holds.
func TestForgedSignedInfo(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	const exclusive = `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`
	transform := func(uri, inner string) func(string) string {
		return func(s string) string {
			return strings.Replace(s, exclusive, `<ds:Transform Algorithm="`+uri+`">`+inner+`</ds:Transform>`+exclusive, 1)
		}
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %s", old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	uri := func(to string) func(string) string { return replace(`URI="#s"`, `URI="`+to+`"`) }
	method := func(to string) func(string) string {
		return replace(`SignatureMethod Algorithm="`+gost.GOST2012_256.URI+`"`, `SignatureMethod Algorithm="`+to+`"`)
	}
	digest := func(to string) func(string) string {
		return replace(`DigestMethod Algorithm="`+gost.Streebog256.URI+`"`, `DigestMethod Algorithm="`+to+`"`)
	}
	canonical := func(to string) func(string) string {
		return replace(`CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"`,
			`CanonicalizationMethod Algorithm="`+to+`"`)
	}
	empty := gost.Streebog256.New().Sum(nil)
	for name, c := range map[string]struct {
		edit func(string) string
		code report.Code
	}{
		// Transforms that compute, fetch, decode or choose.
		"XSLT": {transform("http://www.w3.org/TR/1999/REC-xslt-19991116",
			`<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"/>`), report.ReferenceTransform},
		"XPath": {transform("http://www.w3.org/TR/1999/REC-xpath-19991116",
			`<ds:XPath>count(//. | //@* | //namespace::*)</ds:XPath>`), report.ReferenceTransform},
		"XPath that selects less": {transform("http://www.w3.org/TR/1999/REC-xpath-19991116", `<ds:XPath>ancestor-or-self::v</ds:XPath>`),
			report.ReferenceTransform},
		"XPath Filter 2": {transform(nsXF, `<xf:XPath xmlns:xf="`+nsXF+`" Filter="intersect">//v</xf:XPath>`),
			report.ReferenceTransform},
		"base64":     {transform("http://www.w3.org/2000/09/xmldsig#base64", ""), report.ReferenceTransform},
		"decryption": {transform("http://www.w3.org/2002/07/decrypt#XML", ""), report.ReferenceTransform},
		"STR": {transform("http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#STR-Transform", ""),
			report.ReferenceTransform},
		"gzip": {transform("http://www.iana.org/assignments/media-types/application/gzip", ""),
			report.ReferenceTransform},
		"no Algorithm":   {transform("", ""), report.ReferenceTransform},
		"six transforms": {replace(exclusive, strings.Repeat(exclusive, 6)), report.ReferenceLimit},
		"something after SMEV's": {replace(exclusive,
			exclusive+`<ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"/>`+exclusive), report.ReferenceTransform},
		"parameters nobody knows": {replace(exclusive, strings.Replace(exclusive, "/>", "><x/></ds:Transform>", 1)),
			report.ReferenceTransform},
		"a long prefix list": {replace(exclusive,
			strings.Replace(exclusive, "/>",
				`><ec:InclusiveNamespaces xmlns:ec="`+nsEC+`" PrefixList="`+strings.Repeat("a ", 65)+`"/></ds:Transform>`, 1)),
			report.ReferenceTransform},
		"c14n with a parameter": {replace(`Method Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`,
			`Method Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><x/></ds:CanonicalizationMethod>`), report.SignatureC14N},
		"SMEV's transform as c14n": {canonical("urn://smev-gov-ru/xmldsig/transform"), report.SignatureC14N},
		"XSLT as c14n":             {canonical("http://www.w3.org/TR/1999/REC-xslt-19991116"), report.SignatureC14N},
		"base64 as c14n":           {canonical("http://www.w3.org/2000/09/xmldsig#base64"), report.SignatureC14N},

		// References elsewhere.
		"http":                  {uri("http://example.com/a"), report.ReferenceURI},
		"file":                  {uri("file:///etc/passwd"), report.ReferenceURI},
		"ftp":                   {uri("ftp://example.com/a"), report.ReferenceURI},
		"data":                  {uri("data:text/xml,&lt;a/>"), report.ReferenceURI},
		"cid":                   {uri("cid:a"), report.ReferenceURI},
		"jar":                   {uri("jar:file:a!/b"), report.ReferenceURI},
		"relative":              {uri("a.xml"), report.ReferenceURI},
		"relative with #":       {uri("a.xml#s"), report.ReferenceURI},
		"blank":                 {uri(" #s"), report.ReferenceURI},
		"#":                     {uri("#"), report.ReferenceTarget},
		"another #":             {uri("#S"), report.ReferenceTarget},
		"percent":               {uri("#%73"), report.ReferenceTarget},
		"xpointer(/)":           {uri("#xpointer(/)"), report.ReferenceURI},
		"xpointer(id)":          {uri("#xpointer(id('s'))"), report.ReferenceURI},
		"xpointer that chooses": {uri("#xpointer(//v)"), report.ReferenceURI},
		"no URI":                {replace(` URI="#s"`, ""), report.ReferenceURI},
		"21 references": {func(s string) string {
			r := cut(s, "<ds:Reference ", "</ds:Reference>")
			return strings.Replace(s, r, strings.Repeat(r, 21), 1)
		}, report.ReferenceLimit},
		"no reference": {func(s string) string { return strings.Replace(s, cut(s, "<ds:Reference ", "</ds:Reference>"), "", 1) },
			report.SignatureStructure},

		// Algorithms.
		"HMAC":      {method("urn:ietf:params:xml:ns:cpxmlsec:algorithms:hmac-gostr34112012-256"), report.SignatureMethod},
		"HMAC-SHA1": {method("http://www.w3.org/2000/09/xmldsig#hmac-sha1"), report.SignatureMethod},
		"HMAC truncated": {replace(`<ds:SignatureMethod Algorithm="`+gost.GOST2012_256.URI+`"/>`,
			`<ds:SignatureMethod Algorithm="`+gost.GOST2012_256.URI+`"><ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>`),
			report.SignatureMethod},
		"RSA":               {method("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"), report.SignatureMethod},
		"DSA":               {method("http://www.w3.org/2000/09/xmldsig#dsa-sha1"), report.SignatureMethod},
		"none":              {method("none"), report.SignatureMethod},
		"the key's name":    {method("urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-256"), report.SignatureMethod},
		"GOST 2001":         {method(gost.GOST2001.URI), report.SignatureMethod},
		"512 bit":           {method(gost.GOST2012_512.URI), report.SignatureMethod},
		"upper case":        {method(strings.ToUpper(gost.GOST2012_256.URI)), report.SignatureMethod},
		"digest SHA-1":      {digest("http://www.w3.org/2000/09/xmldsig#sha1"), report.ReferenceMethod},
		"digest MD5":        {digest("http://www.w3.org/2001/04/xmldsig-more#md5"), report.ReferenceMethod},
		"digest GOST 94":    {digest(gost.GOSTR341194.URI), report.ReferenceMethod},
		"digest of 512 bit": {digest(gost.Streebog512.URI), report.ReferenceDigest},
		"digest with a parameter": {replace(`DigestMethod Algorithm="`+gost.Streebog256.URI+`"/>`,
			`DigestMethod Algorithm="`+gost.Streebog256.URI+`"><x/></ds:DigestMethod>`), report.ReferenceMethod},

		// Digests.
		"digest of nothing": {func(s string) string {
			return strings.Replace(s, cut(s, "<ds:DigestValue>", "</ds:DigestValue>"),
				"<ds:DigestValue>"+base64Of(empty)+"</ds:DigestValue>", 1)
		}, report.ReferenceDigest},
		"empty digest": {func(s string) string {
			return strings.Replace(s, cut(s, "<ds:DigestValue>", "</ds:DigestValue>"), "<ds:DigestValue/>", 1)
		}, report.ReferenceDigest},
		"short digest": {replace("<ds:DigestValue>", "<ds:DigestValue>AA==</ds:DigestValue><ds:DigestValue>"),
			report.SignatureStructure},
		"digest in parts": {replace("<ds:DigestValue>", "<ds:DigestValue><x>evil</x>"), report.ReferenceDigest},
	} {
		doc := p.forge(t, Detached, Input{Document: []byte(`<r><a Id="s"><v>good</v></a></r>`), Target: "#s"}, c.edit)
		for _, policy := range []Policy{{}, {Profile: Detached}} {
			attack{name: name, doc: doc, policy: policy, codes: []report.Code{c.code}}.run(t, p)
		}
	}
}

// TestSignatureParts: every order, repetition and lack of the parts of a Signature but the one of the schema is refused, and so
// are parts in each other (SignedInfo wrapping).
func TestSignatureParts(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	doc := string(p.sign(t, Enveloped, Input{Document: []byte(`<r><v>good</v></r>`)}))
	signature := cut(doc, "<ds:Signature ", "</ds:Signature>")
	open := signature[:strings.Index(signature, ">")+1]
	info := cut(signature, "<ds:SignedInfo>", "</ds:SignedInfo>")
	value := cut(signature, "<ds:SignatureValue>", "</ds:SignatureValue>")
	key := cut(signature, "<ds:KeyInfo>", "</ds:KeyInfo>")
	evil := strings.Replace(info, cut(info, "<ds:DigestValue>", "</ds:DigestValue>"),
		"<ds:DigestValue>"+base64Of(make([]byte, 32))+"</ds:DigestValue>", 1)
	parts := map[string]string{"I": info, "V": value, "K": key, "E": evil, "O": "<ds:Object/>", "X": "<x/>", "T": "text"}
	names := []string{"I", "V", "K", "E", "O", "X", "T"}
	n := 0
	var walk func(order string)
	walk = func(order string) {
		if len(order) > 0 && order != "IVK" && order != "IVKO" {
			content := ""
			for _, c := range order {
				content += parts[string(c)]
			}
			n++
			// Without KeyInfo there is no signer; a structure that is right with another SignedInfo has a wrong value.
			attack{name: order, doc: strings.Replace(doc, signature, open+content+"</ds:Signature>", 1), policy: Policy{Profile: Enveloped},
				codes: []report.Code{report.SignatureStructure, report.KeyInfo, report.SignatureValue, report.CoverageWrong}}.run(t, p)
		}
		if len(order) < 4 {
			for _, name := range names {
				walk(order + name)
			}
		}
	}
	walk("")
	t.Logf("%d documents", n)
	for name, changed := range map[string]string{
		"SignedInfo in SignedInfo": strings.Replace(signature, info,
			strings.Replace(evil, "</ds:SignedInfo>", info+"</ds:SignedInfo>", 1), 1),
		"SignedInfo in an Object": strings.Replace(strings.Replace(signature, info, evil, 1), "</ds:KeyInfo>",
			"</ds:KeyInfo><ds:Object>"+info+"</ds:Object>", 1),
		"SignedInfo in KeyInfo": strings.Replace(strings.Replace(signature, info, evil, 1),
			"<ds:KeyInfo>", "<ds:KeyInfo>"+info, 1),
		"SignatureValue in SignatureValue": strings.Replace(signature, value,
			strings.Replace(value, "</ds:SignatureValue>", value+"</ds:SignatureValue>", 1), 1),
		"SignedInfo of another namespace": strings.Replace(signature, info,
			strings.NewReplacer("<ds:SignedInfo>", `<e:SignedInfo xmlns:e="urn:evil">`, "</ds:SignedInfo>",
				"</e:SignedInfo>").Replace(evil)+info, 1),
		"DigestValue twice":  strings.Replace(signature, "<ds:DigestValue>", "<ds:DigestValue>AAAA</ds:DigestValue><ds:DigestValue>", 1),
		"DigestMethod twice": strings.Replace(signature, "<ds:DigestMethod ", `<ds:DigestMethod Algorithm="x"/><ds:DigestMethod `, 1),
		"Transforms twice":   strings.Replace(signature, "<ds:Transforms>", "<ds:Transforms/><ds:Transforms>", 1),
		"SignatureMethod twice": strings.Replace(signature, "<ds:SignatureMethod ",
			`<ds:SignatureMethod Algorithm="x"/><ds:SignatureMethod `, 1),
	} {
		attack{name: name, doc: strings.Replace(doc, signature, changed, 1), policy: Policy{Profile: Enveloped},
			codes: []report.Code{report.SignatureStructure, report.SignatureValue}}.run(t, p)
	}
}

// TestKeySubstitution: another key, another certificate, or a hint to one never make a signature somebody else's.
func TestKeySubstitution(t *testing.T) {
	p, mallory := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_256, "CryptoPro-A")
	// A certificate of the attacker's own CA in the victim's name.
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	twin := ca.Issue(t, p.cert.PublicKey, testpki.Template{Subject: p.cert.Subject.String()})
	doc := string(p.sign(t, Enveloped, Input{Document: []byte(`<r><v>good</v></r>`)}))
	own := "<ds:X509Certificate>" + base64Of(p.cert.Raw) + "</ds:X509Certificate>"
	other := "<ds:X509Certificate>" + base64Of(mallory.cert.Raw) + "</ds:X509Certificate>"
	keyValue := `<ds:KeyValue><GOSTKeyValue xmlns="urn:x">` + base64Of(mallory.cert.RawSubjectPublicKeyInfo) +
		`</GOSTKeyValue></ds:KeyValue>`
	retrieval := `<ds:RetrievalMethod URI="http://evil/" Type="` + nsDS + `X509Data"/>`
	keyInfo := cut(doc, "<ds:KeyInfo>", "</ds:KeyInfo>")
	with := func(content string) string {
		return strings.Replace(doc, keyInfo, "<ds:KeyInfo>"+content+"</ds:KeyInfo>", 1)
	}
	data := func(certs string) string { return "<ds:X509Data>" + certs + "</ds:X509Data>" }
	for name, c := range map[string]struct {
		doc  string
		code report.Code // empty: valid, by the one who signed
	}{
		"another certificate":         {with(data(other)), report.SignatureValue},
		"another before":              {with(data(other + own)), ""},
		"another behind":              {with(data(own + other)), ""},
		"another in its own X509Data": {with(data(other) + data(own)), ""},
		"the same key, another CA": {with(data("<ds:X509Certificate>" + base64Of(twin.Raw) + "</ds:X509Certificate>")),
			report.CertPath},
		"the same key, another CA too": {with(data("<ds:X509Certificate>"+base64Of(twin.Raw)+"</ds:X509Certificate>") + data(own)),
			report.CertPath},
		"a key value alone":         {with(keyValue), report.KeyInfo},
		"a key value before":        {with(keyValue + data(own)), ""},
		"a retrieval method alone":  {with(retrieval), report.KeyInfo},
		"a retrieval method before": {with(retrieval + data(own)), ""},
		"a key name alone":          {with("<ds:KeyName>p</ds:KeyName>"), report.KeyInfo},
		"a subject name alone":      {with(data("<ds:X509SubjectName>CN=p</ds:X509SubjectName>")), report.KeyInfo},
		"a certificate elsewhere": {strings.Replace(with(""), "</ds:Signature>",
			"<ds:Object>"+data(own)+"</ds:Object></ds:Signature>", 1), report.KeyInfo},
		"17 certificates":               {with(data(strings.Repeat(own, 17))), report.KeyInfo},
		"KeyInfo in another KeyInfo":    {with("<ds:KeyInfo>" + data(own) + "</ds:KeyInfo>"), report.KeyInfo},
		"a certificate in parts":        {with(data(strings.Replace(own, "</ds:X509", "<x/></ds:X509", 1))), report.CertSyntax},
		"a certificate cut by comments": {with(data(own[:60] + "<!-- -->" + own[60:])), ""},
	} {
		r, err := Verify([]byte(c.doc), Policy{Profile: Enveloped, Trust: p.store})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s := r.Signatures[0].Signer; s != nil && bytes.Equal(s.Certificate, mallory.cert.Raw) && r.Integrity() == report.Valid {
			t.Errorf("%s: the attacker is named", name)
		}
		switch got := codes(r.Failures()); {
		case c.code == "" && (r.Verdict() != report.Valid || !bytes.Equal(r.Signatures[0].Signer.Certificate, p.cert.Raw)):
			t.Errorf("%s: %s%s", name, r.Verdict(), messages(r))
		case c.code != "" && !slices.Contains(got, c.code):
			t.Errorf("%s: want %s, got%s", name, c.code, messages(r))
		}
	}
	// A signature that covers nothing but its own KeyInfo.
	only := p.forge(t, Detached, Input{Document: []byte(`<r><a Id="s"/></r>`), Target: "#s"}, func(s string) string {
		return strings.NewReplacer("<ds:KeyInfo>", `<ds:KeyInfo Id="k">`, `URI="#s"`, `URI="#k"`).Replace(s)
	})
	attack{name: "a reference to KeyInfo", doc: only, policy: Policy{Profile: Detached, Target: "s"},
		codes: []report.Code{report.CoverageWrong}}.run(t, p)
}

// TestParserTricks: what makes parsers disagree, compute or fetch is refused before any signature is looked at; what is left
// out of canonical forms is not said to be covered.
func TestParserTricks(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	signed := string(p.sign(t, Enveloped, Input{Document: []byte(`<r><v>good</v></r>`)}))
	prolog := func(s string) string { return s + signed }
	in := func(old, new string) string { return strings.Replace(signed, old, new, 1) }
	billion := `<!DOCTYPE r [<!ENTITY a "evil">` + strings.Repeat(`<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">`, 9) + `]>`
	for name, c := range map[string]struct {
		doc   string
		codes []report.Code
	}{
		"a DTD":                       {prolog(`<!DOCTYPE r>`), []report.Code{report.XMLDoctype}},
		"an external DTD":             {prolog(`<!DOCTYPE r SYSTEM "http://evil/r.dtd">`), []report.Code{report.XMLDoctype}},
		"an entity":                   {prolog(`<!DOCTYPE r [<!ENTITY e "evil">]>`), []report.Code{report.XMLDoctype}},
		"an external entity":          {prolog(`<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>`), []report.Code{report.XMLDoctype}},
		"a parameter entity":          {prolog(`<!DOCTYPE r [<!ENTITY % e SYSTEM "http://evil/">%e;]>`), []report.Code{report.XMLDoctype}},
		"a default attribute":         {prolog(`<!DOCTYPE r [<!ATTLIST r Id ID "evil">]>`), []report.Code{report.XMLDoctype}},
		"a billion laughs":            {prolog(billion), []report.Code{report.XMLDoctype}},
		"a DTD in lower case":         {prolog(`<!doctype r>`), []report.Code{report.XMLSyntax, report.XMLDoctype}},
		"a DTD behind":                {signed + `<!DOCTYPE r>`, []report.Code{report.XMLSyntax, report.XMLDoctype}},
		"an unknown entity":           {in("good", "&evil;"), []report.Code{report.XMLSyntax}},
		"a DTD inside":                {in("good", `<!DOCTYPE r>`), []report.Code{report.XMLSyntax, report.XMLDoctype}},
		"UTF-16 declared":             {prolog(`<?xml version="1.0" encoding="UTF-16"?>`), []report.Code{report.XMLEncoding}},
		"UTF-7 declared":              {prolog(`<?xml version="1.0" encoding="UTF-7"?>`), []report.Code{report.XMLEncoding}},
		"XML 1.1":                     {prolog(`<?xml version="1.1"?>`), []report.Code{report.XMLSyntax, report.XMLEncoding}},
		"overlong UTF-8":              {in("good", "g\xC0\xAFod"), []report.Code{report.XMLEncoding}},
		"half a surrogate pair":       {in("good", "g\xED\xA0\x80od"), []report.Code{report.XMLEncoding}},
		"NUL":                         {in("good", "go\x00od"), []report.Code{report.XMLSyntax}},
		"NUL as a reference":          {in("good", "go&#0;od"), []report.Code{report.XMLSyntax}},
		"a reference beyond Unicode":  {in("good", "go&#x110000;od"), []report.Code{report.XMLSyntax}},
		"an attribute twice":          {in("<v>", `<v a="1" a="2">`), []report.Code{report.XMLSyntax}},
		"one attribute, two prefixes": {in("<v>", `<v xmlns:p="u" xmlns:q="u" p:a="1" q:a="2">`), []report.Code{report.XMLSyntax}},
		"an undeclared prefix":        {in("<v>", `<p:evil/><v>`), []report.Code{report.XMLSyntax}},
		"two roots":                   {signed + "<evil/>", []report.Code{report.XMLSyntax}},
		"text behind the root":        {signed + "evil", []report.Code{report.XMLSyntax}},
		"]]> in text":                 {in("good", "go]]>od"), []report.Code{report.XMLSyntax}},
		"too deep": {in("good", strings.Repeat("<a>", 1000)+strings.Repeat("</a>", 1000)),
			[]report.Code{report.XMLLimit}},
		"too many attributes":  {in("<v>", "<v"+attributes(5000)+">"), []report.Code{report.XMLLimit}},
		"gzip":                 {"\x1f\x8b\x08\x00" + signed, []report.Code{report.XMLSyntax, report.XMLEncoding}},
		"the content as CDATA": {in("good", "<![CDATA[good]]>"), nil}, // the same characters
		"an XInclude": {in("<v>", `<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="evil"/><v>`),
			[]report.Code{report.ReferenceDigest}},
		"a stylesheet": {prolog(`<?xml-stylesheet href="evil.xsl"?>`), []report.Code{report.ReferenceDigest}},
		"xml:id":       {in("<v>", `<v xml:id="evil">`), []report.Code{report.ReferenceDigest}},
		"no signature": {strings.Replace(signed, cut(signed, "<ds:Signature ", "</ds:Signature>"), "", 1),
			[]report.Code{report.SignatureNone}},
		"a signature of no namespace": {strings.ReplaceAll(signed, nsDS, nsDS+"evil"), []report.Code{report.SignatureNone}},
		"only a signature":            {cut(signed, "<ds:Signature ", "</ds:Signature>"), []report.Code{report.ReferenceTransform}},
	} {
		attack{name: name, doc: c.doc, policy: Policy{Profile: Enveloped}, codes: c.codes}.run(t, p)
	}

	// Comments are not in the octets: one that is put into text is not noticed, and text must be read whole.
	split := in("good", "go<!-- evil -->od")
	r, err := Verify([]byte(split), Policy{Profile: Enveloped, Trust: p.store})
	if err != nil || r.Verdict() != report.Valid || r.Signatures[0].Coverage[0].Octets != int64(len(`<r><v>good</v></r>`)) {
		t.Errorf("a comment in text: %v%s", err, messages(r))
	}
	octets := ""
	if _, err := Verify([]byte(split), Policy{Trace: func(name string, o []byte) {
		if name == "signature-0/reference-0" {
			octets = string(o)
		}
	}}); err != nil || octets != `<r><v>good</v></r>` {
		t.Errorf("what is covered is %q", octets)
	}
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

// TestMuchWork: documents that ask a verifier for much more work than their length are answered with a limit.
func TestMuchWork(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	content := strings.Repeat("<b>0123456789012345678901234567890123456789</b>", 20_000) // 1 MB
	signed := string(p.sign(t, Detached, Input{Document: []byte(`<r><a Id="s">` + content + `</a></r>`), Target: "#s"}))
	signature := cut(signed, "<ds:Signature ", "</ds:Signature>")
	reference := cut(signature, "<ds:Reference ", "</ds:Reference>")
	many := strings.Replace(signature, reference, strings.Repeat(reference, maxReferences), 1)
	chain := cut(signature, "<ds:Transforms>", "</ds:Transforms>")
	long := strings.Replace(many, chain,
		"<ds:Transforms>"+strings.Repeat(`<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>`,
			maxTransforms)+"</ds:Transforms>", -1)
	for name, doc := range map[string]string{
		"many references, many signatures": strings.Replace(signed, signature, strings.Repeat(many, 12), 1),
		"long chains":                      strings.Replace(signed, signature, strings.Repeat(long, 3), 1),
	} {
		r, err := Verify([]byte(doc), Policy{})
		if err != nil || !slices.Contains(codes(r.Failures()), report.ReferenceLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Verify([]byte(strings.Replace(signed, "<r>", "<r>"+strings.Repeat(`<ds:x xmlns:ds="`+nsDS+`"/>`, maxElements), 1)),
		Policy{}); code(err) != report.XMLLimit {
		t.Errorf("elements: %v", err)
	}
}
