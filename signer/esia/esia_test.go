package esia

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

var moscow = time.FixedZone("", 3*3600)

func request(g Generation) Request {
	r := Request{
		Generation: g, ClientID: "EXMP01", Scope: "openid fullname", Time: time.Date(2026, 1, 15, 9, 30, 0, 0, moscow),
		State: "8c1c0a10-f1ee-41f0-8a5e-0242ac120002",
	}
	if g == V2 {
		r.RedirectURI = "https://example.ru/back"
	}
	return r
}

func TestText(t *testing.T) {
	v1, v2, token := request(V1), request(V2), request(V2)
	token.ScopeOrg, token.Code = "org_shortname?org_oid=1", "eyJ2ZXIi"
	for _, c := range []struct {
		r    Request
		want string
	}{
		{v1, "openid fullname2026.01.15 09:30:00 +0300EXMP018c1c0a10-f1ee-41f0-8a5e-0242ac120002"},
		{v2, "EXMP01openid fullname2026.01.15 09:30:00 +03008c1c0a10-f1ee-41f0-8a5e-0242ac120002https://example.ru/back"},
		{token, "EXMP01openid fullnameorg_shortname?org_oid=12026.01.15 09:30:00 +03008c1c0a10-f1ee-41f0-8a5e-0242ac120002https://example.ru/backeyJ2ZXIi"},
	} {
		if got := string(c.r.Text()); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
	if s := NewState(); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(s) ||
		s == NewState() {
		t.Errorf("state %q", s)
	}
}

// The message of a client of the first generation, as other programs make it.
func TestV1Vector(t *testing.T) {
	text := vectors.Read(t, "smev-messages/made/esia-legacy.txt")
	m := regexp.MustCompile(`^(.*?)(\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d [+-]\d{4})(.*?)([0-9a-f]{8}-[0-9a-f-]{27})$`).FindSubmatch(bytes.TrimSpace(text))
	if m == nil {
		t.Fatalf("%q is no string of the first generation", text)
	}
	at, err := time.Parse(TimeLayout, string(m[2]))
	if err != nil {
		t.Fatal(err)
	}
	r := Request{Generation: V1, Scope: string(m[1]), Time: at, ClientID: string(m[3]), State: string(m[4])}
	if !bytes.Equal(r.Text(), text) {
		t.Fatalf("got %q", r.Text())
	}
	secret := base64.URLEncoding.EncodeToString(vectors.Read(t, "smev-messages/made/esia-legacy.p7s"))
	for _, s := range []string{secret, strings.TrimRight(secret, "=")} {
		got, err := r.VerifyV1(s, cms.Policy{Time: time.Unix(vectors.Time, 0)})
		if err != nil || got.Integrity() != report.Valid {
			t.Errorf("%v, %+v", err, got)
		}
	}
	r.State = NewState()
	if got, err := r.VerifyV1(secret, cms.Policy{Time: time.Unix(vectors.Time, 0)}); err != nil || got.Integrity() != report.Invalid {
		t.Errorf("another state: %v", err)
	}
}

func TestV1(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	r := request(V1)
	prepared, err := cms.ProfileByName("pkcs7-detached").Prepare(cms.Input{Content: r.Text(), Certificate: certificate, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	value, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	message, err := prepared.Complete(value)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Parameters(message, certificate)
	if err != nil || p.CertificateHash != "" || p.Timestamp != "2026.01.15 09:30:00 +0300" {
		t.Fatalf("%+v, %v", p, err)
	}
	got, err := r.VerifyV1(p.ClientSecret, cms.Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil)})
	if err != nil || got.Verdict() != report.Valid {
		t.Errorf("%v, %+v", err, got)
	}
	if url.QueryEscape(p.ClientSecret) != strings.ReplaceAll(p.ClientSecret, "=", "%3D") {
		t.Error("the secret is not base64url")
	}
}

// OpenSSL verifies the signature of the second generation and hashes the certificate to the same value.
func TestV2(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	_, other := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	r := request(V2)
	value, err := key.Sign(rand.Reader, r.Digest(gost.GOST2012_256), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Parameters(value, certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.VerifyV2(p.ClientSecret, p.CertificateHash, certificate); err != nil {
		t.Error(err)
	}
	if err := r.VerifyV2(strings.TrimRight(p.ClientSecret, "="), strings.ToLower(p.CertificateHash), certificate); err != nil {
		t.Error(err)
	}
	sum, err := oracle.OpenSSL(t, certificate.Raw, "dgst", "-md_gost12_256", "-binary")
	if err != nil || !strings.EqualFold(hex.EncodeToString(sum), p.CertificateHash) {
		t.Errorf("OpenSSL hashes the certificate to %x, %v", sum, err)
	}
	reversed := bytes.Clone(value)
	for i := range reversed {
		reversed[i] = value[len(value)-1-i]
	}
	for name, wrong := range map[string]struct {
		secret, hash string
		c            *gost.Certificate
		change       func(r *Request)
	}{
		"another state":        {p.ClientSecret, p.CertificateHash, certificate, func(r *Request) { r.State = NewState() }},
		"the string of V1":     {p.ClientSecret, p.CertificateHash, certificate, func(r *Request) { r.Generation, r.RedirectURI = V1, "" }},
		"a code":               {p.ClientSecret, p.CertificateHash, certificate, func(r *Request) { r.Code = "x" }},
		"another certificate":  {p.ClientSecret, CertificateHash(other), other, nil},
		"hash of another":      {p.ClientSecret, CertificateHash(other), certificate, nil},
		"reversed, as CSPs do": {base64.URLEncoding.EncodeToString(reversed), p.CertificateHash, certificate, nil},
		"short":                {base64.URLEncoding.EncodeToString(value[1:]), p.CertificateHash, certificate, nil},
		"base64":               {"++++", p.CertificateHash, certificate, nil},
	} {
		changed := r
		if wrong.change != nil {
			wrong.change(&changed)
		}
		if err := changed.VerifyV2(wrong.secret, wrong.hash, wrong.c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := r.Parameters(reversed, certificate); err == nil {
		t.Error("a reversed signature is sent")
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(r *Request){
		"no client":      func(r *Request) { r.ClientID = "" },
		"no scope":       func(r *Request) { r.Scope = "" },
		"no state":       func(r *Request) { r.State = "" },
		"no redirect":    func(r *Request) { r.RedirectURI = "" },
		"no time":        func(r *Request) { r.Time = time.Time{} },
		"line break":     func(r *Request) { r.Scope = "a\nb" },
		"too long":       func(r *Request) { r.Code = strings.Repeat("x", maxField+1) },
		"generation":     func(r *Request) { r.Generation = 3 },
		"redirect in V1": func(r *Request) { r.Generation = V1 },
	} {
		r := request(V2)
		change(&r)
		if r.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
