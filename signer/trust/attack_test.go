package trust_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// resign is c with other octets in what is signed, signed by ca whoever the issuer is said to be.
func resign(t *testing.T, c *gost.Certificate, ca *testpki.CA, old, new []byte) (*gost.Certificate, error) {
	t.Helper()
	if len(old) != len(new) || bytes.Count(c.RawTBS, old) != 1 {
		t.Fatalf("%x occurs %d times", old, bytes.Count(c.RawTBS, old))
	}
	tbs := bytes.Replace(c.RawTBS, old, new, 1)
	h := gost.Streebog256.New()
	h.Write(tbs)
	value, err := ca.Key.Sign(rand.Reader, h.Sum(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(c.SignatureOID) })
		b.AddASN1BitString(value)
	})
	return gost.ParseCertificate(b.BytesOrPanic())
}

// TestImpostors: certificates that look like the anchor, or like its child, but for the signature or the right to sign.
func TestImpostors(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	_, honest := root.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	impostor := testpki.NewCA(t, gost.GOST2012_256, params) // the same name, another key, self-signed
	_, below := impostor.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	if !root.Certificate.Subject.Equal(impostor.Certificate.Subject) {
		t.Fatal("the names differ")
	}
	anchors := trust.New(certs(root.Certificate), nil)
	for name, c := range map[string]struct {
		leaf  *gost.Certificate
		extra []*gost.Certificate
		ok    bool
	}{
		"honest":                        {honest, nil, true},
		"honest, with impostors beside": {honest, certs(impostor.Certificate, below), true},
		"impostor alone":                {impostor.Certificate, nil, false},
		"impostor as issuer":            {below, certs(impostor.Certificate), false},
		"impostor below the anchor":     {below, certs(impostor.Certificate, root.Certificate), false},
	} {
		path, checks := apart(anchors.Check(c.leaf, c.extra, time.Now()))
		message, status := pathMessage(t, checks)
		if (status == report.Passed) != c.ok || (path != nil) != c.ok {
			t.Errorf("%s: %s", name, message)
		}
	}
}

// TestCircles: CAs that certify each other, and a hall of mirrors of one name; the search ends.
func TestCircles(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	a := testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	b := a.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{CommonName: "B"})
	crossed := (&testpki.CA{Certificate: b.Certificate, Key: b.Key}).Issue(t, a.Certificate.PublicKey, testpki.Template{
		CA: true, Subject: a.Certificate.Subject.String()})
	_, leaf := b.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	_, checks := apart(trust.New(certs(root.Certificate), nil).Check(leaf, certs(crossed, b.Certificate, a.Certificate), time.Now()))
	if message, status := pathMessage(t, checks); status != report.Failed {
		t.Errorf("circle: %s", message)
	}

	// Every certificate is certified by every other of its name: paths without number, and none leads to the anchor.
	var mirrors []*gost.Certificate
	hall := testpki.NewCA(t, gost.GOST2012_256, params)
	for i := range 8 {
		key := hall.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{Subject: hall.Certificate.Subject.String()})
		mirrors = append(mirrors, key.Certificate)
		for range 8 {
			mirrors = append(mirrors, hall.Issue(t, key.Certificate.PublicKey, testpki.Template{CA: true,
				Subject: hall.Certificate.Subject.String(), NotAfter: time.Now().AddDate(1, i, 0)}))
		}
	}
	_, leaf = hall.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	_, checks = apart(trust.New(certs(root.Certificate), nil).Check(leaf, mirrors, time.Now()))
	if message, status := pathMessage(t, checks); status != report.Failed || len(message) > 4096 {
		t.Errorf("mirrors: %s", message)
	}
	// An honest path is found beside them: what is configured comes first.
	_, checks = apart(trust.New(certs(hall.Certificate), nil).Check(leaf, mirrors, time.Now()))
	if message, status := pathMessage(t, checks); status != report.Passed {
		t.Errorf("beside mirrors: %s", message)
	}
}

// TestOddExtensions: extensions that say CA, or signer, in ways that must not count.
func TestOddExtensions(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	sub := root.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{})
	_, leaf := sub.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	isCA := []byte{0x30, 3, 1, 1, 0xFF}
	for name, c := range map[string]struct {
		constraints []byte
		parses      bool
		why         string
	}{
		"as it was":                {isCA, true, ""},
		"a path length, not a CA":  {[]byte{0x30, 3, 2, 1, 0}, true, "is no CA"},
		"FALSE written out":        {[]byte{0x30, 3, 1, 1, 0}, true, "is no CA"},
		"TRUE as BER has it":       {[]byte{0x30, 3, 1, 1, 1}, false, ""},
		"a negative path length":   {[]byte{0x30, 3, 2, 1, 0xFF}, false, ""},
		"something else behind it": {[]byte{0x30, 1, 1, 1, 0xFF}, false, ""},
		"NULL":                     {[]byte{0x30, 3, 5, 1, 0}, false, ""},
	} {
		ca, err := resign(t, sub.Certificate, root, isCA, c.constraints)
		if (err == nil) != c.parses {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		_, checks := apart(trust.New(certs(root.Certificate), nil).Check(leaf, certs(ca), time.Now()))
		if message, status := pathMessage(t, checks); (status == report.Passed) != (c.why == "") || !strings.Contains(message, c.why) {
			t.Errorf("%s: %s", name, message)
		}
	}
	usage := []byte{3, 2, 6, 0xC0} // digitalSignature, contentCommitment
	for name, c := range map[string]struct {
		usage  []byte
		parses bool
		ok     bool
	}{
		"as it was":                       {usage, true, true},
		"digitalSignature alone":          {[]byte{3, 2, 7, 0x80}, true, true},
		"contentCommitment alone":         {[]byte{3, 2, 6, 0x40}, true, true},
		"a zero bit at the end":           {[]byte{3, 2, 5, 0xC0}, true, true},
		"no bit":                          {[]byte{3, 2, 0, 0}, true, false},
		"keyEncipherment":                 {[]byte{3, 2, 5, 0x20}, true, false},
		"unused bits that are set":        {[]byte{3, 2, 7, 0xC0}, false, false},
		"more unused bits than there are": {[]byte{3, 2, 9, 0x80}, false, false},
		"OCTET STRING":                    {[]byte{4, 2, 6, 0xC0}, false, false},
	} {
		odd, err := resign(t, leaf, sub, usage, c.usage)
		if (err == nil) != c.parses {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		_, checks := apart(trust.New(certs(root.Certificate), certs(sub.Certificate)).Check(odd, nil, time.Now()))
		if ok := len(failed(t, checks)) == 0; ok != c.ok {
			t.Errorf("%s: %v", name, failed(t, checks))
		}
	}
}

// TestUnknownCritical: wherever on the path it stands.
func TestUnknownCritical(t *testing.T) {
	odd := []gost.Extension{{OID: []int{1, 2, 3, 4}, Critical: true, Value: []byte{0x30, 0}}}
	for i := range 3 {
		at := func(n int) testpki.Template {
			c := testpki.Template{CommonName: fmt.Sprint("level ", n), CA: n < 2}
			if n == i {
				c.Extensions = odd
			}
			return c
		}
		top := testpki.NewCA(t, gost.GOST2012_256, params)
		root := top.NewIntermediate(t, gost.GOST2012_256, params, at(0))
		sub := root.NewIntermediate(t, gost.GOST2012_256, params, at(1))
		_, leaf := sub.NewSigner(t, gost.GOST2012_256, params, at(2))
		_, checks := apart(trust.New(certs(root.Certificate), certs(sub.Certificate)).Check(leaf, nil, time.Now()))
		if len(failed(t, checks)) == 0 {
			t.Errorf("level %d: passed", i)
		}
	}
}

// TestMoments: both ends of a period belong to it, and periods may reach as far as they can be written.
func TestMoments(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	from, to := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	anchor := root.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{NotBefore: from, NotAfter: to})
	_, leaf := anchor.NewSigner(t, gost.GOST2012_256, params, testpki.Template{NotBefore: from, NotAfter: to})
	_, backwards := anchor.NewSigner(t, gost.GOST2012_256, params, testpki.Template{NotBefore: to, NotAfter: from})
	store := trust.New(certs(anchor.Certificate), nil)
	for at, ok := range map[time.Time]bool{
		from: true, to: true, from.Add(-1): false, to.Add(1): false, {}: false, time.Unix(1<<60, 0): false, time.Now(): true,
	} {
		if _, checks := apart(store.Check(leaf, nil, at)); (len(failed(t, checks)) == 0) != ok {
			t.Errorf("%v: %v", at, failed(t, checks))
		}
		if _, checks := apart(store.Check(backwards, nil, at)); len(failed(t, checks)) == 0 {
			t.Errorf("%v: a period that ends before it begins", at)
		}
	}
}

// TestKeyPeriodLongAgo: a period that ended long ago is not taken for none.
func TestKeyPeriodLongAgo(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	period := append([]byte{0x30, 17, 0x81, 15}, "29990101000000Z"...)
	_, leaf := root.NewSigner(t, gost.GOST2012_256, params,
		testpki.Template{Extensions: []gost.Extension{{OID: []int{2, 5, 29, 16}, Value: period}}})
	for end, ok := range map[string]bool{"29990101000000Z": true, "00010101000000Z": false, "00000101000000Z": false,
		"20200101000000Z": false} {
		odd, err := resign(t, leaf, root, []byte("29990101000000Z"), []byte(end))
		if err != nil {
			if ok {
				t.Error(err)
			}
			continue
		}
		_, checks := apart(trust.New(certs(root.Certificate), nil).Check(odd, nil, time.Now()))
		if (len(failed(t, checks)) == 0) != ok {
			t.Errorf("%s: %v", end, failed(t, checks))
		}
	}
}

// TestExcludedSpellings: another spelling of an excluded name is no way around the constraint.
func TestExcludedSpellings(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	for _, tc := range []struct {
		excluded, subject, name string
		ok                      bool
	}{
		{"name:O=ООО «Йод»,C=RU", "CN=x,O=ООО «Мёд»,C=RU", "", true},
		{"name:O=ООО «Йод»,C=RU", "CN=x,O=ооо  «йод»,C=RU", "", false},
		{"name:O=ООО «Йод»,C=RU", "CN=x,O=ООО «И\u0306од»,C=RU", "", false},     // decomposed
		{"name:O=ООО «Йод»,C=RU", "CN=x,O=ООО «Й\u00ADод»,C=RU", "", false},     // a soft hyphen
		{"name:O=ООО «Йод»,C=RU", "CN=x,O=ООО «Й\u200Bод»,C=RU", "", false},     // a space of no width
		{"name:O=ООО «Йод»,C=RU", "CN=x,O=#1407CECECE20C9CEC4,C=RU", "", false}, // TeletexString of who knows what
		{"name:O=Example,C=RU", "CN=x,O=Ｅxample,C=RU", "", false},               // full width
		{"email:bad.ru", "", "email:a@good.ru", true},
		{"email:bad.ru", "", "email:a@bad.ru", false},
		{"email:bad.ru", "", "email:a@bad.ru.", false},
		{"email:bad.ru", "", "email:a@bad.ru ", false},
		{"email:xn--d1abbgf6aiiy.xn--p1ai", "", "email:a@президент.рф", false},
		{"email:bad.ru", "CN=x,1.2.840.113549.1.9.1=#040861406261642E7275,C=RU", "", false},
		{"DNS:bad.ru", "", "DNS:bad.ru.", false},
		{"DNS:bad.ru", "", "DNS:bad\x00.ru", false},
		{"URI:bad.ru", "", "URI:http://bad.ru./", false},
		{"URI:bad.ru", "", "URI:http://b%61d.ru/", false},
		{"URI:bad.ru", "", "URI:http://good.ru/", true},
		{"IP:\x0a\x00\x00\x00\xff\x00\x00\x00", "", "IP:\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x01\x02\x03", false},
	} {
		ca := root.NewIntermediate(t, gost.GOST2012_256, params,
			testpki.Template{Extensions: []gost.Extension{constraints(t, nil, []string{tc.excluded})}})
		template := testpki.Template{Subject: tc.subject}
		if tc.name != "" {
			template.Extensions = []gost.Extension{alternatives(t, tc.name)}
		}
		_, leaf := ca.NewSigner(t, gost.GOST2012_256, params, template)
		j := trust.New(certs(root.Certificate), nil).Check(leaf, certs(ca.Certificate), time.Now())
		if message, status := pathMessage(t, j.Checks); (status == report.Passed) != tc.ok {
			t.Errorf("excluded %q, %q %q: %s", tc.excluded, tc.subject, tc.name, message)
		}
	}
}
