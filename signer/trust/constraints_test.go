package trust_test

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// TestFreshness: a list without nextUpdate (case 60) counts as long as the policy says.
func TestFreshness(t *testing.T) {
	var index index
	vectors.JSON(t, "gost/certs/index.json", &index)
	tc := index.Cases[59]
	if tc.ID != 60 {
		t.Fatal(tc.Name)
	}
	lists := readLists(t, tc.CRLs...)
	made := lists.lists[0].ThisUpdate
	for _, l := range lists.lists {
		if l.ThisUpdate.Before(made) {
			made = l.ThisUpdate
		}
	}
	for freshness, want := range map[time.Duration]report.Status{
		now.Sub(made) - time.Second: report.Failed, now.Sub(made): report.Passed,
	} {
		store := trust.NewStore(trust.Config{
			Certificates: trust.Certificates{Anchors: certs(mustRead(t, tc.TrustAnchor))}, Revocations: lists,
			Policy: trust.Policy{Revocation: trust.RevocationRequired, Freshness: freshness}, Now: func() time.Time { return now },
		})
		checks := store.Check(mustRead(t, tc.Leaf), certs(mustRead(t, tc.Intermediates[0])), now).Checks
		if c := checks[len(checks)-1]; c.Code != report.CertRevocation || c.Status != want {
			t.Errorf("freshness %v: %+v", freshness, c)
		}
	}
}

func context(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific() }

func name(tb testing.TB, s string) gost.Name {
	tb.Helper()
	n, err := gost.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// generalName writes "DNS:…", "email:…", "URI:…", "IP:…" (raw octets) or "name:…".
func generalName(tb testing.TB, b *cryptobyte.Builder, s string) {
	kind, value, _ := strings.Cut(s, ":")
	switch kind {
	case "name":
		b.AddASN1(context(4).Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(name(tb, value)) })
		return
	case "other":
		b.AddASN1(context(0).Constructed(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
		return
	}
	tag := map[string]uint8{"email": 1, "DNS": 2, "URI": 6, "IP": 7}[kind]
	b.AddASN1(context(tag), func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
}

func constraints(tb testing.TB, permitted, excluded []string) gost.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for tag, list := range [][]string{permitted, excluded} {
			if len(list) > 0 {
				b.AddASN1(context(uint8(tag)).Constructed(), func(b *cryptobyte.Builder) {
					for _, s := range list {
						b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { generalName(tb, b, s) })
					}
				})
			}
		}
	})
	return gost.Extension{OID: []int{2, 5, 29, 30}, Critical: true, Value: b.BytesOrPanic()}
}

func alternatives(tb testing.TB, names ...string) gost.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, s := range names {
			generalName(tb, b, s)
		}
	})
	return gost.Extension{OID: []int{2, 5, 29, 17}, Value: b.BytesOrPanic()}
}

func TestNameConstraints(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	const subject = `CN=Signer,O=Example,C=RU`
	for _, tc := range []struct {
		permitted, excluded []string
		subject             string
		names               []string
		message             string // "": permitted
	}{
		{permitted: []string{"name:O=Example,C=RU"}},
		{permitted: []string{"name:o=EXAMPLE,c=RU"}}, // letter case does not count
		{permitted: []string{"name:O=Other,C=RU"}, message: "not among those permitted"},
		{permitted: []string{"name:O=Other,C=RU", "name:C=RU"}},
		{excluded: []string{"name:O=Example,C=RU"}, message: "is excluded"},
		{excluded: []string{"name:O=Other,C=RU"}},
		{permitted: []string{"name:C=RU"}, excluded: []string{"name:O=Example,C=RU"}, message: "is excluded"},
		{permitted: []string{"DNS:example.ru"}, names: []string{"DNS:a.example.ru", "DNS:example.ru"}},
		{permitted: []string{"DNS:example.ru"}, names: []string{"DNS:badexample.ru"}, message: "not among"},
		{permitted: []string{"DNS:.example.ru"}, names: []string{"DNS:example.ru"}, message: "not among"},
		{excluded: []string{"DNS:example.ru"}, names: []string{"DNS:A.EXAMPLE.RU"}, message: "excluded"},
		{permitted: []string{"email:example.ru"}, names: []string{"email:a@example.ru"}},
		{permitted: []string{"email:example.ru"}, names: []string{"email:a@b.example.ru"}, message: "not among"},
		{permitted: []string{"email:.example.ru"}, names: []string{"email:a@b.example.ru"}},
		{permitted: []string{"email:a@example.ru"}, names: []string{"email:a@EXAMPLE.ru"}},
		{permitted: []string{"email:a@example.ru"}, names: []string{"email:b@example.ru"}, message: "not among"},
		{permitted: []string{"email:example.ru"}, subject: subject + ",emailAddress=a@other.ru", message: "not among"},
		{permitted: []string{"URI:example.ru"}, names: []string{"URI:https://example.ru/x"}},
		{permitted: []string{"URI:example.ru"}, names: []string{"URI:https://a.example.ru/x"}, message: "not among"},
		{permitted: []string{"URI:.example.ru"}, names: []string{"URI:urn:x"}, message: "no host"},
		{permitted: []string{"IP:\x0a\x00\x00\x00\xff\x00\x00\x00"}, names: []string{"IP:\x0a\x01\x02\x03"}},
		{permitted: []string{"IP:\x0a\x00\x00\x00\xff\x00\x00\x00"}, names: []string{"IP:\x0b\x01\x02\x03"}, message: "not among"},
		{permitted: []string{"other:\x06\x01\x01"}, message: ""}, // there is no such name
		{permitted: []string{"other:\x06\x01\x01"}, names: []string{"other:\x06\x01\x01"}, message: "not understood"},
	} {
		ca := root.NewIntermediate(t, gost.GOST2012_256, params,
			testpki.Template{Extensions: []gost.Extension{constraints(t, tc.permitted, tc.excluded)}})
		template := testpki.Template{Subject: subject}
		if tc.subject != "" {
			template.Subject = tc.subject
		}
		if tc.names != nil {
			template.Extensions = []gost.Extension{alternatives(t, tc.names...)}
		}
		_, leaf := ca.NewSigner(t, gost.GOST2012_256, params, template)
		j := trust.New(certs(root.Certificate), nil).Check(leaf, certs(ca.Certificate), time.Now())
		message, status := pathMessage(t, j.Checks)
		if (status == report.Passed) != (tc.message == "") || !strings.Contains(message, tc.message) {
			t.Errorf("permitted %q, excluded %q, %q: %s", tc.permitted, tc.excluded, tc.names, message)
		}
	}
}

func certificatePolicies(oids ...asn1.ObjectIdentifier) gost.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, oid := range oids {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
		}
	})
	return gost.Extension{OID: []int{2, 5, 29, 32}, Value: b.BytesOrPanic()}
}

func TestPolicies(t *testing.T) {
	kc1, kc2, any := asn1.ObjectIdentifier{1, 2, 643, 100, 113, 1}, asn1.ObjectIdentifier{1, 2, 643, 100, 113, 2},
		asn1.ObjectIdentifier{2, 5, 29, 32, 0}
	explicit := func(n byte) gost.Extension {
		return gost.Extension{OID: []int{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, n}}
	}
	inhibit := func(n byte) gost.Extension {
		return gost.Extension{OID: []int{2, 5, 29, 54}, Critical: true, Value: []byte{2, 1, n}}
	}
	type list = []gost.Extension
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	for i, tc := range []struct {
		upper, lower, leaf list
		demanded           []asn1.ObjectIdentifier
		want               []report.Code
	}{
		{},
		{demanded: []asn1.ObjectIdentifier{kc1}, want: []report.Code{report.CertPolicy}},
		{list{certificatePolicies(kc1, kc2)}, list{certificatePolicies(kc1, kc2)}, list{certificatePolicies(kc1)},
			[]asn1.ObjectIdentifier{kc1}, nil},
		{list{certificatePolicies(kc1, kc2)}, list{certificatePolicies(kc1)}, list{certificatePolicies(kc1, kc2)},
			[]asn1.ObjectIdentifier{kc2}, []report.Code{report.CertPolicy}},
		{list{certificatePolicies(any)}, list{certificatePolicies(any)}, list{certificatePolicies(kc1)},
			[]asn1.ObjectIdentifier{kc2, kc1}, nil},
		{list{certificatePolicies(any)}, list{certificatePolicies(any)}, list{certificatePolicies(any)},
			[]asn1.ObjectIdentifier{kc1}, []report.Code{report.CertPolicy}},
		{nil, list{certificatePolicies(kc1)}, list{certificatePolicies(kc1)}, []asn1.ObjectIdentifier{kc1},
			[]report.Code{report.CertPolicy}},
		// anyPolicy is inhibited below the upper CA.
		{list{certificatePolicies(any), inhibit(0)}, list{certificatePolicies(any)}, list{certificatePolicies(kc1)},
			[]asn1.ObjectIdentifier{kc1}, []report.Code{report.CertPolicy}},
		{list{certificatePolicies(any), inhibit(1)}, list{certificatePolicies(any)}, list{certificatePolicies(kc1)},
			[]asn1.ObjectIdentifier{kc1}, nil},
		// A CA demands a policy of the path.
		{upper: list{explicit(0), certificatePolicies(kc1)}, want: []report.Code{report.CertPath}},
		{upper: list{explicit(0), certificatePolicies(kc1)}, lower: list{certificatePolicies(kc1)}, leaf: list{certificatePolicies(kc1)}},
		{upper: list{explicit(9), certificatePolicies(kc1)}},
		{leaf: list{explicit(0)}, want: []report.Code{report.CertPath}},
	} {
		upper := root.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{CommonName: "upper", Extensions: tc.upper})
		lower := upper.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{CommonName: "lower", Extensions: tc.lower})
		_, leaf := lower.NewSigner(t, gost.GOST2012_256, params, testpki.Template{Extensions: tc.leaf})
		j := trust.NewStore(trust.Config{
			Certificates: trust.Certificates{Anchors: certs(root.Certificate)}, Policy: trust.Policy{Policies: tc.demanded},
		}).Check(leaf, certs(upper.Certificate, lower.Certificate), time.Now())
		if codes, messages := bad(j); !slices.Equal(codes, tc.want) {
			t.Errorf("case %d: %v, want %v: %s", i, codes, tc.want, messages)
		}
	}
}

// TestReplace: judgements under way keep their set, later ones have the new one.
func TestReplace(t *testing.T) {
	a, b := testpki.NewCA(t, gost.GOST2012_256, params), testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	_, one := a.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	_, two := b.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	store := trust.New(certs(a.Certificate), nil)
	see := func() string {
		return fmt.Sprint(store.Check(one, nil, time.Now()).Path != nil, store.Check(two, nil, time.Now()).Path != nil)
	}
	if got := see(); got != "true false" {
		t.Error(got)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			store.Replace(trust.Certificates{Anchors: certs(b.Certificate)})
			store.Replace(trust.Certificates{Anchors: certs(a.Certificate, b.Certificate)})
		}
	}()
	for range 50 {
		if store.Check(two, nil, time.Now()).Evidence == nil {
			t.Error("no evidence")
		}
	}
	<-done
	if got := see(); got != "true true" {
		t.Error(got)
	}
}

// TestRemembered: a signature that is remembered vouches for these octets and this issuer only.
func TestRemembered(t *testing.T) {
	root, twin := testpki.NewCA(t, gost.GOST2012_256, params), testpki.NewCA(t, gost.GOST2012_256, params)
	_, leaf := root.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	_, foreign := twin.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	store := trust.New(certs(root.Certificate), nil)
	damaged, err := gost.ParseCertificate(append(slices.Clone(leaf.Raw[:len(leaf.Raw)-1]), leaf.Raw[len(leaf.Raw)-1]^1))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for c, want := range map[*gost.Certificate]bool{leaf: true, damaged: false, foreign: false} {
			if got := store.Check(c, nil, time.Now()).Path != nil; got != want {
				t.Errorf("%s: path %v", c.Subject, got)
			}
		}
		if store.Check(leaf, nil, leaf.NotAfter.Add(time.Hour*24*366)).Path != nil {
			t.Error("what is remembered outlives the issuer")
		}
	}
}
