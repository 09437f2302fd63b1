package tsl_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/tsl"
	"github.com/epov-signer/epov/signer/xmldsig"
)

const params = "CryptoPro-A"

func date(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// sign puts the enveloped signature of a publisher at the end of a list.
func sign(tb testing.TB, doc []byte, key *gost.PrivateKey, c *gost.Certificate) []byte {
	tb.Helper()
	p, err := xmldsig.Enveloped.Prepare(xmldsig.Input{Document: doc, Certificate: c})
	if err != nil {
		tb.Fatal(err)
	}
	value, err := key.Sign(rand.Reader, p.Digest(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := p.Complete(value)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

func TestParse(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	ca := root.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{})
	again := root.Issue(t, ca.Certificate.PublicKey, testpki.Template{CommonName: "again", CA: true})
	doc := testpki.NewTSL(date(2026, 1, 15),
		testpki.Authority{Name: "Головной <УЦ>", Certificates: []*gost.Certificate{root.Certificate}},
		testpki.Authority{Name: "УЦ", Status: "Прекращена", Since: date(2025, 1, 1),
			CRLs: []string{"http://ca.example.ru/1.crl", "ldap://x"},
			History: [][2]string{{"Действует", "2015-05-01T00:00:00"}, {"Приостановлена", "2020-01-01T00:00:00"},
				{"Действует", "2020-02-01T00:00:00"}},
			Certificates: []*gost.Certificate{ca.Certificate, again}},
	)
	l, err := tsl.Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Authorities) != 2 || l.Authorities[0].Name != "Головной <УЦ>" || !l.Date.Equal(date(2026, 1, 15)) || l.Version != "1.0" {
		t.Fatalf("%+v", l)
	}
	a := &l.Authorities[1]
	k := &a.Keys[0]
	if a.OGRN != "1000000000001" || a.INN != "000000000001" || a.Number != "2" || len(a.Keys) != 1 ||
		k.Class != "KC2" || k.Complex != "ПАК 2" ||
		!slices.Equal(k.CRLs, []string{"http://ca.example.ru/1.crl", "ldap://x"}) || len(k.Certificates) != 2 || k.Unreadable != 0 ||
		k.ID != fmt.Sprintf("%X", ca.Certificate.SubjectKeyID) {
		t.Errorf("%+v", a)
	}
	for at, want := range map[time.Time]bool{
		date(2015, 4, 1): false, date(2016, 1, 1): true, date(2020, 1, 15): false, date(2021, 1, 1): true, date(2025, 1, 2): false,
	} {
		have := slices.ContainsFunc(a.Accredited(),
			func(p trust.Period) bool { return !at.Before(p.From) && (p.To.IsZero() || !at.After(p.To)) })
		if have != want {
			t.Errorf("accredited at %v: %v; %v", at, have, a.Accredited())
		}
	}
	if c := l.Certificates(); len(c.Anchors) != 1 || len(c.Intermediates) != 2 || len(c.Accredited) != 3 {
		t.Errorf("%d anchors, %d intermediates, %d accredited", len(c.Anchors), len(c.Intermediates), len(c.Accredited))
	}
}

func TestParseRefuses(t *testing.T) {
	good := string(testpki.NewTSL(date(2026, 1, 15), testpki.Authority{Name: "УЦ"}))
	for name, doc := range map[string]string{
		"no list": "<a/>",
		"namespace": strings.Replace(good, "<АккредитованныеУдостоверяющиеЦентры ",
			`<АккредитованныеУдостоверяющиеЦентры xmlns="urn:x" `, 1),
		"no authority":     string(testpki.NewTSL(date(2026, 1, 15))),
		"date":             strings.Replace(good, "2026-01-15T00:00:00Z", "вчера", 1),
		"not well-formed":  good[:len(good)-5],
		"document type":    "<!DOCTYPE a>" + good,
		"another encoding": strings.Replace(good, `encoding="utf-8"`, `encoding="windows-1251"`, 1),
	} {
		if _, err := tsl.Parse([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	l, err := tsl.Parse([]byte(strings.Replace(good, "<Сертификаты>",
		"<Сертификаты><ДанныеСертификата><Данные>AAAA</Данные></ДанныеСертификата>", 1)))
	if err != nil || l.Authorities[0].Keys[0].Unreadable != 1 {
		t.Errorf("an unreadable certificate: %v", err)
	}
}

func TestVerify(t *testing.T) {
	ministry, other := testpki.NewCA(t, gost.GOST2012_256, params), testpki.NewCA(t, gost.GOST2012_256, params)
	key, c := ministry.NewSigner(t, gost.GOST2012_256, params, testpki.Template{CommonName: "ministry"})
	doc := testpki.NewTSL(date(2026, 1, 15), testpki.Authority{Name: "УЦ", Certificates: []*gost.Certificate{ministry.Certificate}})
	signed := sign(t, doc, key, c)
	pinned := trust.New([]*gost.Certificate{c}, nil)
	now := time.Now()
	for name, store := range map[string]*trust.Store{"pinned": pinned,
		"its issuer": trust.New([]*gost.Certificate{ministry.Certificate}, nil), "nobody": nil} {
		if got, err := tsl.Verify(signed, store, now); err != nil || !bytes.Equal(got.Raw, c.Raw) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tsl.Verify(signed, trust.New([]*gost.Certificate{other.Certificate}, nil), now); err == nil {
		t.Error("signed by somebody else: accepted")
	}
	if _, err := tsl.Verify(doc, pinned, now); !errors.Is(err, tsl.ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	changed := bytes.Replace(signed, []byte("<КлассСредствЭП>KC2"), []byte("<КлассСредствЭП>KC3"), 1)
	for _, store := range []*trust.Store{pinned, nil} {
		if _, err := tsl.Verify(changed, store, now); err == nil {
			t.Error("changed: accepted")
		}
	}
	// The signature of another, smaller document around which a list was put covers not the list.
	inner := sign(t, []byte(`<x Id="x"/>`), key, c)
	wrapped := bytes.Replace(doc, []byte("</АккредитованныеУдостоверяющиеЦентры>"),
		append(inner, "</АккредитованныеУдостоверяющиеЦентры>"...), 1)
	if _, err := tsl.Verify(wrapped, pinned, now); err == nil {
		t.Error("a signature of something else: accepted")
	}
}

// TestAccreditation: what a CA issued counts only while it was accredited, whatever way its certificate comes.
func TestAccreditation(t *testing.T) {
	old := testpki.Template{NotBefore: date(2016, 1, 1), NotAfter: date(2035, 1, 1)}
	top := testpki.NewCA(t, gost.GOST2012_256, params)
	root := top.NewIntermediate(t, gost.GOST2012_256, params, old)
	ca := root.NewIntermediate(t, gost.GOST2012_256, params,
		testpki.Template{CommonName: "listed", NotBefore: old.NotBefore, NotAfter: old.NotAfter})
	stray := root.NewIntermediate(t, gost.GOST2012_256, params,
		testpki.Template{CommonName: "not listed", NotBefore: old.NotBefore, NotAfter: old.NotAfter})
	_, leaf := ca.NewSigner(t, gost.GOST2012_256, params, old)
	_, astray := stray.NewSigner(t, gost.GOST2012_256, params, old)
	l, err := tsl.Parse(testpki.NewTSL(date(2026, 1, 15), testpki.Authority{
		Name: "УЦ", Status: "Прекращена", Since: date(2025, 1, 1), History: [][2]string{{"Действует", "2017-01-01T00:00:00"}},
		Certificates: []*gost.Certificate{ca.Certificate},
	}))
	if err != nil {
		t.Fatal(err)
	}
	certificates := l.Certificates()
	certificates.Anchors = append(certificates.Anchors, root.Certificate)
	path := func(policy trust.Policy, c *gost.Certificate, at time.Time) report.Check {
		j := trust.NewStore(trust.Config{Certificates: certificates, Policy: policy}).Check(c,
			[]*gost.Certificate{ca.Certificate, stray.Certificate}, at)
		for _, check := range j.Checks {
			if check.Code == report.CertPath {
				return check
			}
		}
		t.Fatal("no check of the path")
		return report.Check{}
	}
	for at, want := range map[time.Time]report.Status{date(2020, 1, 1): report.Passed, date(2016, 6, 1): report.Failed,
		date(2026, 1, 1): report.Failed} {
		if c := path(trust.Policy{}, leaf, at); c.Status != want || want == report.Failed && !strings.Contains(c.Message, "accredited") {
			t.Errorf("%v: %+v", at, c)
		}
	}
	if c := path(trust.Policy{}, astray, date(2020, 1, 1)); c.Status != report.Passed {
		t.Errorf("not listed: %+v", c)
	}
	if c := path(trust.Policy{Accredited: true}, astray, date(2020, 1, 1)); c.Status != report.Failed ||
		!strings.Contains(c.Message, "no list") {
		t.Errorf("not listed, demanded: %+v", c)
	}
	if c := path(trust.Policy{Accredited: true}, leaf, date(2020, 1, 1)); c.Status != report.Passed {
		t.Errorf("listed, demanded: %+v", c)
	}
}

// large is a list of the size that is published.
func large(tb testing.TB) []byte {
	tb.Helper()
	ca := testpki.NewCA(tb, gost.GOST2012_256, params)
	var list []*gost.Certificate
	for i := range 8 {
		list = append(list, ca.NewIntermediate(tb, gost.GOST2012_256, params,
			testpki.Template{CommonName: fmt.Sprint("УЦ ", i)}).Certificate)
	}
	var authorities []testpki.Authority
	for i := range 1200 {
		authorities = append(authorities,
			testpki.Authority{Name: fmt.Sprintf("Удостоверяющий центр № %d", i),
				CRLs: []string{"http://ca.example.ru/1.crl", "http://ca.example.ru/2.crl"}, Certificates: list})
	}
	return testpki.NewTSL(date(2026, 1, 15), authorities...)
}

func TestLarge(t *testing.T) {
	key, c := testpki.NewCA(t, gost.GOST2012_256, params).NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	doc := sign(t, large(t), key, c)
	if len(doc) < 10<<20 {
		t.Fatalf("only %d octets", len(doc))
	}
	if _, err := tsl.Verify(doc, trust.New([]*gost.Certificate{c}, nil), time.Now()); err != nil {
		t.Error(err)
	}
	if l, err := tsl.Parse(doc); err != nil || len(l.Authorities) != 1200 {
		t.Error(err)
	}
}

func BenchmarkParse(b *testing.B) {
	doc := large(b)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tsl.Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	ca := testpki.NewCA(f, gost.GOST2012_256, params)
	f.Add(testpki.NewTSL(date(2026, 1, 15),
		testpki.Authority{Name: "УЦ", Certificates: []*gost.Certificate{ca.Certificate},
			History: [][2]string{{"Действует", "2015-05-01"}}}))
	f.Add([]byte("<АккредитованныеУдостоверяющиеЦентры><УдостоверяющийЦентр><Ключ/></УдостоверяющийЦентр></АккредитованныеУдостоверяющиеЦентры>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		l, err := tsl.Parse(doc)
		if err != nil {
			return
		}
		l.Certificates()
	})
}
