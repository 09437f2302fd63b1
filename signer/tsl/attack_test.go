package tsl_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/tsl"
)

// TestSmuggledInSignature: an enveloped signature does not cover itself, so that a list must not be read from within it,
// wherever it stands.
func TestSmuggledInSignature(t *testing.T) {
	ministry, evil := testpki.NewCA(t, gost.GOST2012_256, params), testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	key, c := ministry.NewSigner(t, gost.GOST2012_256, params, testpki.Template{CommonName: "ministry"})
	pinned := trust.New([]*gost.Certificate{c}, nil)
	signed := string(sign(t, testpki.NewTSL(date(2026, 1, 15), testpki.Authority{Name: "УЦ",
		Certificates: []*gost.Certificate{ministry.Certificate}}), key, c))
	start := strings.Index(signed, "<ds:Signature ")
	end := strings.Index(signed, "</ds:Signature>") + len("</ds:Signature>")
	if start < 0 || end < start {
		t.Fatal("no signature")
	}
	value := "<Данные>" + base64.StdEncoding.EncodeToString(evil.Certificate.Raw) + "</Данные>"
	hidden := `<Ключ><Сертификаты><ДанныеСертификата>` + value + `</ДанныеСертификата></Сертификаты></Ключ>`
	rest := signed[:start] + signed[end:]
	for name, before := range map[string]string{
		"at the end":      "</АккредитованныеУдостоверяющиеЦентры>",
		"in an authority": "</УдостоверяющийЦентр>",
		"in a key":        "</Ключ>",
		"in certificates": "</ДанныеСертификата>",
	} {
		for _, within := range []string{"<ds:Object>", "</ds:KeyInfo>", "</ds:X509Data>", "</ds:X509Certificate>", "</ds:SignatureValue>"} {
			into := hidden + within
			if within == "<ds:Object>" {
				within, into = "</ds:Signature>", "<ds:Object>"+hidden+"</ds:Object></ds:Signature>"
			}
			doc := []byte(strings.Replace(rest, before, strings.Replace(signed[start:end], within, into, 1)+before, 1))
			l, err := tsl.Parse(doc)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, a := range append(l.Certificates().Anchors, l.Certificates().Intermediates...) {
				found = found || string(a.Raw) == string(evil.Certificate.Raw)
			}
			_, refused := tsl.Verify(doc, pinned, time.Now())
			if found {
				t.Errorf("%s, %s: the list is read from its signature; Verify says %v", name, within, refused)
			}
		}
	}
}

// TestSplitBySignature: an enveloped signature within a value must not make another value of it.
func TestSplitBySignature(t *testing.T) {
	ministry := testpki.NewCA(t, gost.GOST2012_256, params)
	key, c := ministry.NewSigner(t, gost.GOST2012_256, params, testpki.Template{CommonName: "ministry"})
	signed := string(sign(t, testpki.NewTSL(date(2026, 1, 15),
		testpki.Authority{Name: "УЦ", Status: "Не действует", Since: date(2025, 1, 1),
			Certificates: []*gost.Certificate{ministry.Certificate}}), key, c))
	start, end := strings.Index(signed, "<ds:Signature "), strings.Index(signed, "</ds:Signature>")+len("</ds:Signature>")
	for _, split := range []string{signed[start:end], "<!-- -->", signed[start:end] + "<!-- -->"} {
		doc := []byte(strings.Replace(signed[:start]+signed[end:], "Не действует", "Не "+split+"действует", 1))
		l, err := tsl.Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		if status := l.Authorities[0].Status; status.Text != "Не действует" {
			t.Errorf("the status reads %+v", status)
		}
	}
}
