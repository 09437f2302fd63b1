package lint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/trust/lint"
)

func parse(tb testing.TB, data []byte) *gost.Certificate {
	tb.Helper()
	list, err := gost.ParseCertificates(data, gost.AllowTestParams())
	if err != nil || len(list) != 1 {
		tb.Fatalf("%d certificates, %v", len(list), err)
	}
	return list[0]
}

// TestCorpus: certificates that the head authority issued to accredited ones meet the form; those of test suites do not.
func TestCorpus(t *testing.T) {
	real, count := 0, map[lint.Severity]int{}
	for _, row := range vectors.TSV(t, vectors.ReadOthers, "corpus/index.tsv") {
		if row["kind"] != "x509-cert" {
			continue
		}
		for _, name := range strings.Fields(row["files"]) {
			findings := lint.Check(parse(t, vectors.ReadOthers(t, "corpus/"+name)))
			errors := 0
			for _, f := range findings {
				count[f.Severity]++
				if f.Clause == "" || f.Message == "" {
					t.Errorf("%s: %+v", name, f)
				}
				if f.Severity == lint.Error {
					errors++
				}
			}
			if qualified := strings.Contains(row["repository"], "gost-russian-ca") || row["id"] == "x5-054"; qualified != (errors == 0) {
				t.Errorf("%s (%s): %+v", name, row["path"], findings)
			} else if qualified {
				real++
			}
		}
	}
	if real < 30 || count[lint.Error] < 100 {
		t.Errorf("%d qualified ones, findings %v", real, count)
	}
	t.Logf("%d qualified certificates without an error; in all, %d errors, %d warnings, %d notes", real,
		count[lint.Error], count[lint.Warning], count[lint.Note])
}

// Qualified certificates of the three kinds of holders.
const (
	entity       = `C=RU,ST=77 г. Москва,L=г. Москва,STREET="ул. Примерная, д. 1",O=Ведомство,CN=Ведомство,OGRN=1047702026701,INNLE=7710474375`
	person       = `C=RU,ST=77 г. Москва,L=г. Москва,SN=Иванов,GN=Иван Иванович,CN=Иванов Иван Иванович,SNILS=11223344595,INN=500100732259`
	entrepreneur = person + ",OGRNIP=304500116000157"
)

func text(s string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	return b.BytesOrPanic()
}

// good are the extensions of a qualified certificate, besides those that testpki writes.
func good() []gost.Extension {
	var policies, tools cryptobyte.Builder
	policies.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for class := range 2 {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier([]int{1, 2, 643, 100, 113, class + 1}) })
		}
	})
	tools.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for range 4 {
			b.AddBytes(text("Средство"))
		}
	})
	return []gost.Extension{
		{OID: []int{2, 5, 29, 32}, Value: policies.BytesOrPanic()},
		{OID: gost.OIDSubjectSignTool, Value: text("Средство ЭП")},
		{OID: gost.OIDIssuerSignTool, Value: tools.BytesOrPanic()},
		{OID: gost.OIDIdentificationKind, Value: []byte{2, 1, 0}},
		testpki.DistributionPoints("http://ca.example.ru/1.crl"),
	}
}

func TestCheck(t *testing.T) {
	top := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	ca := top.NewIntermediate(t, gost.GOST2012_256, "CryptoPro-A",
		testpki.Template{Subject: strings.Replace(entity, "CN=Ведомство", "CN=УЦ", 1)})
	without := func(oid ...int) func([]gost.Extension) []gost.Extension {
		return func(list []gost.Extension) []gost.Extension {
			return slices.DeleteFunc(list, func(e gost.Extension) bool { return slices.Equal(e.OID, oid) })
		}
	}
	with := func(e gost.Extension) func([]gost.Extension) []gost.Extension {
		return func(list []gost.Extension) []gost.Extension { return append(without(e.OID...)(list), e) }
	}
	lacking := func(of, attribute string) string {
		return strings.Join(slices.DeleteFunc(strings.Split(of, ","),
			func(s string) bool { return strings.HasPrefix(s, attribute+"=") }), ",")
	}
	for _, tc := range []struct {
		name    string
		subject string
		change  func([]gost.Extension) []gost.Extension
		usage   gost.KeyUsage
		before  time.Time
		want    []string // codes of errors and warnings
	}{
		{name: "entity", subject: entity},
		{name: "person", subject: person},
		{name: "entrepreneur", subject: entrepreneur},
		{name: "no OGRN", subject: lacking(entity, "OGRN"), want: []string{"subject.ogrn.missing"}},
		{name: "no organization", subject: lacking(entity, "O"), want: []string{"subject.o.missing"}},
		{name: "no INNLE", subject: lacking(entity, "INNLE"), want: []string{"subject.innle.missing"}},
		{name: "INN as before 2021", subject: lacking(entity, "INNLE") + ",INN=007710474375", want: []string{"subject.innle.missing"}},
		{name: "INN as before 2021, then", subject: lacking(entity, "INNLE") + ",INN=007710474375",
			before: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
		{name: "no SNILS", subject: lacking(person, "SNILS"), want: []string{"subject.snils.missing"}},
		{name: "no given name", subject: lacking(person, "GN"), want: []string{"subject.gn.missing"}},
		{name: "wrong digits", subject: strings.NewReplacer("11223344595", "11223344596", "500100732259", "500100732250").Replace(person),
			want: []string{"subject.inn.check", "subject.snils.check"}},
		{name: "wrong OGRN and INNLE",
			subject: strings.NewReplacer("1047702026701", "1047702026702", "7710474375", "7710474376").Replace(entity),
			want:    []string{"subject.innle.check", "subject.ogrn.check"}},
		{name: "OGRN of another type",
			subject: strings.Replace(entity, "OGRN=1047702026701", "OGRN=#130D31303437373032303236373031", 1),
			want:    []string{"subject.ogrn.type"}},
		{name: "another country", subject: strings.Replace(entity, "C=RU", "C=US", 1), want: []string{"subject.c.form"}},
		{name: "no policies", subject: entity, change: without(2, 5, 29, 32), want: []string{"policies.class.missing"}},
		{name: "lower class", subject: entity, want: []string{"policies.class.lower"},
			change: with(gost.Extension{OID: []int{2, 5, 29, 32}, Value: []byte{0x30, 10, 0x30, 8, 6, 6, 0x2A, 0x85, 3, 0x64, 0x71, 2}})},
		{name: "no subjectSignTool", subject: entity, change: without(gost.OIDSubjectSignTool...),
			want: []string{"subjectSignTool.missing"}},
		{name: "long subjectSignTool", subject: entity,
			change: with(gost.Extension{OID: gost.OIDSubjectSignTool, Value: text(strings.Repeat("я", 201))}),
			want:   []string{"subjectSignTool.form"}},
		{name: "critical subjectSignTool", subject: entity,
			change: with(gost.Extension{OID: gost.OIDSubjectSignTool, Critical: true, Value: text("x")}),
			want:   []string{"extension.critical", "subjectSignTool.critical"}},
		{name: "no issuerSignTool", subject: entity, change: without(gost.OIDIssuerSignTool...), want: []string{"issuerSignTool.missing"}},
		{name: "issuerSignTool", subject: entity,
			change: with(gost.Extension{OID: gost.OIDIssuerSignTool, Value: []byte{0x30, 0}}), want: []string{"issuerSignTool.form"}},
		{name: "no identificationKind", subject: person, change: without(gost.OIDIdentificationKind...),
			want: []string{"identificationKind.missing"}},
		{name: "no identificationKind, before 2021", subject: person, change: without(gost.OIDIdentificationKind...),
			before: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
		{name: "identificationKind", subject: person,
			change: with(gost.Extension{OID: gost.OIDIdentificationKind, Value: []byte{2, 1, 4}}),
			want:   []string{"identificationKind.form"}},
		{name: "signs nothing", subject: entity, usage: gost.UsageKeyAgreement, want: []string{"key-usage.sign"}},
		{name: "one of two", subject: entity, usage: gost.UsageDigitalSignature, want: []string{"key-usage.both"}},
		{name: "signs certificates", subject: entity, usage: gost.UsageCertSign,
			want: []string{"key-usage.end-entity", "basic-constraints"}},
		{name: "no CRL", subject: entity, change: without(2, 5, 29, 31), want: []string{"crl.missing"}},
		{name: "CRL by LDAP", subject: entity, change: with(testpki.DistributionPoints("ldap://ca.example.ru/1")),
			want: []string{"crl.address"}},
	} {
		extensions := good()
		if tc.change != nil {
			extensions = tc.change(extensions)
		}
		_, c := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A",
			testpki.Template{Subject: tc.subject, Extensions: extensions, KeyUsage: tc.usage, NotBefore: tc.before})
		var have []string
		for _, f := range lint.Check(c) {
			if f.Severity != lint.Note {
				have = append(have, f.Code)
			}
		}
		if !slices.Equal(have, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, have, tc.want)
		}
	}
	for holder, subject := range map[lint.Holder]string{lint.Entity: entity, lint.Person: person, lint.Entrepreneur: entrepreneur} {
		_, c := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{Subject: subject})
		if h := lint.HolderOf(c); h != holder {
			t.Errorf("%s: %s", subject, h)
		}
	}
}
