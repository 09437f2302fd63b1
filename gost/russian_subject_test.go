package gost_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
)

// The numbers of the Ministry of Digital Development and of the tax service are public, 112-233-445 95 and 500100732259 are the
// usual examples for SNILS and INN; what shall be refused differs from them in a digit.
func TestCheckSubject(t *testing.T) {
	const place = ",C=RU,ST=77 г. Москва,L=г. Москва,STREET=Пресненская наб.\\, д. 10"
	for _, test := range []struct {
		name string
		kind gost.Subject
		want []string
	}{
		{"CN=Минцифры,O=Минцифры,OGRN=1047702026701,INNLE=7710474375" + place, gost.OfOrganisation, nil},
		{"CN=ФНС,O=ФНС,OGRN=1047707030513,INNLE=7707329152" + place, gost.OfOrganisation, nil},
		{"CN=X,O=X,OGRN=1047702026701,INN=007710474375" + place, gost.OfOrganisation, []string{"INNLE is missing; INN with 00"}},
		{"CN=X,O=X,OGRN=1047702026702,INNLE=7710474376" + place, gost.OfOrganisation,
			[]string{"OGRN 1047702026702 do not fit", "INNLE 7710474376 do not fit"}},
		{"CN=X,OGRN=1047702026701,SNILS=11223344595,C=RU", gost.OfOrganisation,
			[]string{"missing: O, INNLE, ST, L, STREET", "SNILS does not belong"}},
		{"CN=И И И,SN=И,GN=И И,T=Начальник,SNILS=11223344595,INN=500100732259,O=X,OGRN=1047702026701,INNLE=7710474375" + place,
			gost.OfOfficial, nil},
		{"CN=И И И,SN=И,GN=И И,T=Начальник,SNILS=11223344596,INN=500100732258,O=X,OGRN=1047702026701,INNLE=7710474375" + place,
			gost.OfOfficial, []string{"SNILS 11223344596 do not fit", "INN 500100732258 do not fit"}},
		{"CN=И И И,SN=И,GN=И И,T=Начальник,SNILS=00100199800,O=X,OGRN=1047702026701,INNLE=7710474375,OGRNIP=304500116000157" + place,
			gost.OfOfficial, []string{"OGRNIP does not belong"}},
		{"CN=И И И,SN=И,GN=И И,T=Начальник,SNILS=#0C0131,O=X,OGRN=1047702026701,INNLE=7710474375" + place,
			gost.OfOfficial, []string{"SNILS must have exactly 11 digits"}},
	} {
		name, err := gost.ParseName(test.name)
		if err != nil {
			t.Fatal(err)
		}
		got := name.CheckSubject(test.kind)
		if len(got) != len(test.want) || slices.ContainsFunc(test.want, func(want string) bool {
			return !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) })
		}) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := gost.Name("x").CheckSubject(gost.OfOfficial); len(got) != 1 {
		t.Error(got)
	}
}

func TestPurposes(t *testing.T) {
	e, err := gost.ExtKeyUsageExtension("clientAuth", "1.2.643.100.2.1")
	if err != nil || e.Critical || hex.EncodeToString(e.Value) != "301206082b0601050507030206062a8503640201" {
		t.Errorf("%x %v", e.Value, err)
	}
	for _, bad := range [][]string{nil, {"nothing"}, {"clientAuth", "1.3.6.1.5.5.7.3.2"}, {""}, {"1"}} {
		if _, err := gost.ExtKeyUsageExtension(bad...); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	u, err := gost.ParseKeyUsage("digitalSignature, nonRepudiation,keyAgreement")
	if err != nil || u != gost.UsageDigitalSignature|gost.UsageContentCommitment|gost.UsageKeyAgreement {
		t.Errorf("%v %v", u, err)
	}
	if back, err := gost.ParseKeyUsage(u.String()); err != nil || back != u {
		t.Errorf("%v %v", back, err)
	}
	for _, bad := range []string{"", "none", "digitalsignature"} {
		if _, err := gost.ParseKeyUsage(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
