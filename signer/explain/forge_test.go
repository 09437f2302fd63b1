package explain

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// forge makes signatures by hand, right ones or wrong ones. What it is not told to do wrong is right. Canonical forms come
// from xmllint and not from package canon.
type forge struct {
	// doc holds "@SIG@" where the ds:Signature goes.
	doc        string
	uri        string
	transforms []string
	prefixList string // of the exclusive canonicalization among them
	// digested are the octets to digest.
	digested string

	digestURI string // as written, for the key's by default
	digest    func(octets []byte) []byte
	written   func(digest []byte) string // text of DigestValue
	methodURI string
	c14nURI   string
	// signed changes the canonical SignedInfo before it is digested for signing; info the text that is put into the document.
	signed func(info string) string
	info   func(info string) string
	hash   func(octets []byte) []byte // of what is signed
	value  func(value []byte) []byte
	text   func(value []byte) string // of SignatureValue
	named  *gost.Certificate         // in KeyInfo
	after  func(doc string) string   // done to the signed document
	signer *identity
}

type identity struct {
	key  *gost.PrivateKey
	cert *gost.Certificate
}

var (
	exclusiveOnly = []string{canon.ExclusiveURI}
	smev3         = []string{canon.ExclusiveURI, canon.SMEVURI}
	enveloped     = []string{canon.EnvelopedURI, canon.ExclusiveURI}
)

func newIdentity(t testing.TB, a *gost.Algorithm, params string) *identity {
	ca := testpki.NewCA(t, gost.GOST2012_256, "tc26-256-B")
	key, cert := ca.NewSigner(t, a, params, testpki.Template{})
	return &identity{key, cert}
}

func streebog(octets []byte) []byte { return sum(gost.Streebog256.New(), octets) }

// make returns the signed document.
func (f forge) make(t testing.TB) []byte {
	t.Helper()
	a := f.signer.cert.PublicKey.Algorithm
	digestURI, methodURI, c14nURI := a.Digest.URI, a.URI, canon.ExclusiveURI
	if f.digestURI != "" {
		digestURI = f.digestURI
	}
	if f.methodURI != "" {
		methodURI = f.methodURI
	}
	if f.c14nURI != "" {
		c14nURI = f.c14nURI
	}
	digest := sum(a.Digest.New(), []byte(f.digested))
	if f.digest != nil {
		digest = f.digest([]byte(f.digested))
	}
	text := base64.StdEncoding.EncodeToString(digest)
	if f.written != nil {
		text = f.written(digest)
	}
	var b strings.Builder
	b.WriteString(`<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="` + c14nURI +
		`"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="` + methodURI +
		`"></ds:SignatureMethod><ds:Reference URI="` + f.uri + `">`)
	if len(f.transforms) > 0 {
		b.WriteString("<ds:Transforms>")
		for _, uri := range f.transforms {
			b.WriteString(`<ds:Transform Algorithm="` + uri + `">`)
			if uri == canon.ExclusiveURI && f.prefixList != "" {
				b.WriteString(`<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="` + f.prefixList +
					`"></ec:InclusiveNamespaces>`)
			}
			b.WriteString("</ds:Transform>")
		}
		b.WriteString("</ds:Transforms>")
	}
	b.WriteString(`<ds:DigestMethod Algorithm="` + digestURI + `"></ds:DigestMethod><ds:DigestValue>` + text +
		`</ds:DigestValue></ds:Reference></ds:SignedInfo>`)
	info := b.String()
	signed := info
	if f.signed != nil {
		signed = f.signed(info)
	}
	hash := sum(a.Digest.New(), []byte(signed))
	if f.hash != nil {
		hash = f.hash([]byte(signed))
	}
	value, err := f.signer.key.Sign(rand.Reader, hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.value != nil {
		value = f.value(value)
	}
	valueText := base64.StdEncoding.EncodeToString(value)
	if f.text != nil {
		valueText = f.text(value)
	}
	if f.info != nil {
		info = f.info(info)
	}
	named := f.signer.cert
	if f.named != nil {
		named = f.named
	}
	signature := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + info + `<ds:SignatureValue>` + valueText +
		`</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(named.Raw) +
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
	doc := strings.Replace(f.doc, "@SIG@", signature, 1)
	if f.after != nil {
		doc = f.after(doc)
	}
	return []byte(doc)
}

// canonical has xmllint canonicalize a document.
func canonical(t testing.TB, doc, mode string) string {
	t.Helper()
	out, err := oracle.Xmllint(t, []byte(doc), mode)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func explainXML(t testing.TB, doc []byte, o Options) *Explanation {
	t.Helper()
	e, err := XML(t.Context(), doc, xmldsig.Policy{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// expectMistakes holds the only finding against what was done.
func expectMistakes(t testing.TB, e *Explanation, reference int, want ...Mistake) *Finding {
	t.Helper()
	if len(e.Findings) != 1 {
		t.Fatalf("%d findings: %+v", len(e.Findings), e.Findings)
	}
	f := &e.Findings[0]
	vectors.Outcome(t, "mistakes", t.Name(), "named", "named")
	got := slices.Clone(f.Mistakes)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || f.Reference != reference {
		t.Fatalf("%v %q about %d, want %v about %d", f.Mistakes, f.What, f.Reference, want, reference)
	}
	if e.Report.Integrity() == 0 || e.Report.Err() == nil {
		t.Errorf("a wrong signature is %v", e.Report.Verdict())
	}
	return f
}

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func swapHalves(b []byte) []byte { return slices.Concat(b[len(b)/2:], b[:len(b)/2]) }
