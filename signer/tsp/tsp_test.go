package tsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

var testPolicy = asn1.ObjectIdentifier{1, 2, 643, 100, 111, 1}

func newAuthority(tb testing.TB, a *gost.Algorithm, params string) (*Authority, *testpki.CA) {
	tb.Helper()
	ca := testpki.NewCA(tb, a, params)
	key, certificate := ca.NewSigner(tb, a, params, testpki.Template{
		CommonName: "Test TSA", KeyUsage: gost.UsageDigitalSignature, Extensions: []gost.Extension{testpki.TimeStamping},
	})
	return &Authority{Certificate: certificate, Key: key, Policy: testPolicy, Accuracy: 1500 * time.Millisecond}, ca
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func newClient(t *testing.T, c Config) *Client {
	t.Helper()
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestClientAndAuthority(t *testing.T) {
	for _, algorithm := range []struct {
		a      *gost.Algorithm
		params string
	}{{gost.GOST2012_256, "CryptoPro-A"}, {gost.GOST2012_512, "tc26-512-A"}} {
		authority, ca := newAuthority(t, algorithm.a, algorithm.params)
		address := serve(t, authority)
		for _, digest := range []string{"", "streebog512", "sha256"} {
			store := trust.New([]*gost.Certificate{ca.Certificate}, nil)
			token, err := newClient(t, Config{URLs: []string{address}, Digest: digest, Policy: testPolicy, Trust: store}).
				TimeStamp(t.Context(), []byte("signature"))
			if err != nil {
				t.Fatal(err)
			}
			ts, checks := cms.VerifyTimeStamp(token, []byte("signature"), cms.Policy{Trust: store})
			if !ts.Trusted || ts.Accuracy != 1500*time.Millisecond || ts.Policy != testPolicy.String() ||
				time.Since(ts.Time).Abs() > time.Hour {
				t.Errorf("%s: %+v, %+v", digest, ts, checks)
			}
			if ts, _ := cms.VerifyTimeStamp(token, []byte("another"), cms.Policy{Trust: store}); ts.Trusted {
				t.Error("the token is taken for another signature's")
			}
		}
	}
}

// answers is an authority that falsifies what it answers.
func answers(t *testing.T, a *Authority, change func(query, reply []byte) []byte) string {
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := new(bytes.Buffer)
		_, _ = query.ReadFrom(r.Body)
		reply, err := a.Answer(query.Bytes())
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(change(query.Bytes(), reply))
	}))
}

// An authority that answers badly is passed over, and what it did is told when none is left.
func TestBadAnswers(t *testing.T) {
	good, ca := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	other, _ := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	store := trust.New([]*gost.Certificate{ca.Certificate}, nil)
	replay, err := good.Answer(mustMarshal(t,
		&Request{Digest: gost.Streebog256.OID, Imprint: make([]byte, 32), Nonce: big.NewInt(1), Certificates: true}))
	if err != nil {
		t.Fatal(err)
	}
	reject := func(f Failure, text string) []byte {
		out, err := (&Response{Status: Rejection, Failure: f, Text: text}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	alive := serve(t, good)
	for name, c := range map[string]struct {
		url, want string
	}{
		"replay":           {answers(t, good, func(_, _ []byte) []byte { return replay }), "its nonce differs"},
		"another imprint":  {answers(t, good, func(q, _ []byte) []byte { return reissue(t, good, q, true) }), "another imprint"},
		"no nonce":         {answers(t, good, func(q, _ []byte) []byte { return reissue(t, good, q, false) }), "its nonce differs"},
		"untrusted":        {serve(t, other), "timestamp.trust"},
		"signature broken": {answers(t, good, func(_, r []byte) []byte { r[len(r)-1] ^= 1; return r }), "timestamp.signature"},
		"cut":              {answers(t, good, func(_, r []byte) []byte { return r[:len(r)-1] }), "not a TimeStampResp"},
		"longer":           {answers(t, good, func(_, r []byte) []byte { return append(r, 0) }), "not a TimeStampResp"},
		"endless":          {answers(t, good, func(_, _ []byte) []byte { return make([]byte, maxResponse+1) }), "longer than"},
		"refuses": {answers(t, good, func(_, _ []byte) []byte { return reject(UnacceptedPolicy, "no\x1b[31m") }),
			"rejection, unacceptedPolicy: no [31m"},
		"no time": {answers(t, good, func(_, _ []byte) []byte { return reject(TimeNotAvailable, "") }), "timeNotAvailable"},
		"granted nothing": {answers(t, good, func(_, _ []byte) []byte { return []byte{0x30, 5, 0x30, 3, 2, 1, 0} }),
			"ContentInfo is missing"},
		"redirects":    {serve(t, http.RedirectHandler(alive, http.StatusTemporaryRedirect)), "HTTP status 307"},
		"is not there": {"http://user:secret@127.0.0.1:1/", "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, Config{URLs: []string{c.url}, Trust: store, Rounds: 1}).TimeStamp(t.Context(), []byte("x"))
			var e *report.Error
			if !errors.As(err, &e) || e.Code != report.TimeStampUnavailable || !strings.Contains(err.Error(), c.want) ||
				strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := newClient(t, Config{URLs: []string{c.url, alive}, Trust: store}).TimeStamp(t.Context(), []byte("x")); err != nil {
				t.Errorf("with another authority: %v", err)
			}
		})
	}
}

func mustMarshal(t *testing.T, r *Request) []byte {
	t.Helper()
	out, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// reissue answers a changed request: about another imprint, or without the nonce.
func reissue(t *testing.T, a *Authority, query []byte, imprint bool) []byte {
	r, err := ParseRequest(query)
	if err != nil {
		t.Error(err)
		return nil
	}
	if imprint {
		r.Imprint[0] ^= 1
	} else {
		r.Nonce = nil
	}
	out, err := a.Answer(mustMarshal(t, r))
	if err != nil {
		t.Error(err)
	}
	return out
}

// Attempts are made again where that may help, and not where it does not.
func TestRounds(t *testing.T) {
	authority, _ := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	calls := 0
	address := answers(t, authority, func(_, reply []byte) []byte {
		if calls++; calls < 3 {
			return nil
		}
		return reply
	})
	if _, err := newClient(t, Config{URLs: []string{address}, Rounds: 3}).TimeStamp(t.Context(), []byte("x")); err != nil || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
	calls = 0
	address = answers(t, authority, func(_, _ []byte) []byte {
		calls++
		out, _ := (&Response{Status: Rejection, Failure: BadAlg}).Marshal()
		return out
	})
	if _, err := newClient(t, Config{URLs: []string{address}, Rounds: 3}).TimeStamp(t.Context(), []byte("x")); err == nil || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, Config{URLs: []string{address}}).TimeStamp(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who gave up gets %v", err)
	}
}

func TestAuthorityRefuses(t *testing.T) {
	authority, _ := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	good := Request{Digest: gost.Streebog256.OID, Imprint: make([]byte, 32)}
	for name, c := range map[string]struct {
		change func(r *Request)
		want   Failure
	}{
		"digest": {func(r *Request) { r.Digest = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26} }, BadAlg},
		"length": {func(r *Request) { r.Imprint = r.Imprint[1:] }, BadDataFormat},
		"policy": {func(r *Request) { r.Policy = asn1.ObjectIdentifier{1, 2, 3} }, UnacceptedPolicy},
	} {
		r := good
		c.change(&r)
		reply, err := authority.Answer(mustMarshal(t, &r))
		if err != nil {
			t.Fatal(err)
		}
		response, err := ParseResponse(reply)
		if err != nil || response.Status != Rejection || response.Failure != c.want || response.Token != nil {
			t.Errorf("%s: %+v, %v", name, response, err)
		}
	}
	if _, err := ParseRequest([]byte{0x30, 0}); err == nil {
		t.Error("an empty request is read")
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"no address": {}, "ftp": {URLs: []string{"ftp://tsa.example.ru/"}}, "no host": {URLs: []string{"http:///x"}},
		"digest":  {URLs: []string{"http://tsa.example.ru/"}, Digest: "sha1"},
		"many":    {URLs: make([]string, maxURLs+1)},
		"timeout": {URLs: []string{"http://tsa.example.ru/"}, Timeout: -1},
	} {
		if _, err := NewClient(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// What OpenSSL asked and answered.
func TestVectors(t *testing.T) {
	var index struct {
		Responses []struct {
			Query    string `json:"query"`
			Response string `json:"response"`
			Data     string `json:"data"`
		} `json:"responses"`
	}
	vectors.JSON(t, "gost/ts/index.json", &index)
	for _, v := range index.Responses {
		data := vectors.Read(t, "gost/ts/"+v.Data)
		request, err := ParseRequest(vectors.Read(t, "gost/ts/"+v.Query))
		if err != nil {
			t.Fatal(err)
		}
		response, err := ParseResponse(vectors.Read(t, "gost/ts/"+v.Response))
		if err != nil || response.Status != Granted {
			t.Fatalf("%+v, %v", response, err)
		}
		client := newClient(t, Config{URLs: []string{"http://tsa.example.ru"}, Now: func() time.Time { return time.Unix(vectors.Time, 0) }})
		if request.Nonce == nil {
			t.Fatalf("%s has no nonce", v.Query)
		}
		if err := client.check(request, response.Token, data); err != nil {
			t.Errorf("%s: %v", v.Response, err)
		}
		if err := client.check(request, response.Token, append(data, 0)); err == nil {
			t.Errorf("%s: other data pass", v.Response)
		}
	}
	if len(index.Responses) == 0 {
		t.Error("no vectors")
	}
}

// OpenSSL asks, our authority answers, OpenSSL verifies.
func TestOpenSSLAsks(t *testing.T) {
	authority, ca := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	data, root := oracle.File(t, []byte("some data")), oracle.File(t, testpki.PEM(ca.Certificate))
	for _, options := range [][]string{{"-md_gost12_256", "-cert"}, {"-sha256", "-cert", "-no_nonce"}} {
		query, err := oracle.OpenSSL(t, nil, append([]string{"ts", "-query", "-data", data}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := authority.Answer(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oracle.OpenSSL(t, nil, "ts", "-verify", "-queryfile", oracle.File(t, query),
			"-in", oracle.File(t, reply), "-CAfile", root); err != nil {
			t.Errorf("%v: %v", options, err)
		}
	}
}

const opensslTSA = `[tsa]
default_tsa = t
[t]
serial = %[1]s/serial
default_policy = 1.2.3.4
digests = sha256, md_gost12_256, md_gost12_512
accuracy = secs:1, millisecs:500
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
signer_digest = %[2]s
`

// Our client asks, OpenSSL answers: with a GOST key and with an RSA key.
func TestOpenSSLAnswers(t *testing.T) {
	authority, ca := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	gostKey := authority.Key.MarshalPKCS8()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key crypto.Signer) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	rsaCertificate, rsaAnchor := newForeign(t, rsaKey)
	ecCertificate, ecAnchor := newForeign(t, ecKey)
	for name, c := range map[string]struct {
		key, certificate []byte
		digest, use      string
		anchor           *gost.Certificate
	}{
		"gost":  {gostKey, authority.Certificate.Raw, "md_gost12_256", "streebog256", ca.Certificate},
		"rsa":   {pkcs8(rsaKey), rsaCertificate.Raw, "sha512", "sha256", rsaAnchor},
		"ecdsa": {pkcs8(ecKey), ecCertificate.Raw, "sha256", "streebog512", ecAnchor},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			config := oracle.File(t, fmt.Appendf(nil, opensslTSA, dir, c.digest))
			if err := os.WriteFile(filepath.Join(dir, "serial"), []byte("01\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			key := oracle.File(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: c.key}))
			certificate := oracle.File(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate}))
			address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				query := new(bytes.Buffer)
				_, _ = query.ReadFrom(r.Body)
				reply, err := oracle.OpenSSL(t, nil, "ts", "-reply", "-config", config, "-section", "t",
					"-queryfile", oracle.File(t, query.Bytes()), "-signer", certificate, "-inkey", key)
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(reply)
			}))
			store := trust.New([]*gost.Certificate{c.anchor}, nil)
			token, err := newClient(t, Config{URLs: []string{address}, Digest: c.use, Trust: store, Rounds: 1}).TimeStamp(t.Context(),
				[]byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			ts, checks := cms.VerifyTimeStamp(token, []byte("x"), cms.Policy{Trust: store})
			if !ts.Trusted || !strings.HasPrefix(ts.Algorithm, name) {
				t.Errorf("%+v, %+v", ts, checks)
			}
		})
	}
}

// newForeign issues a certificate for time-stamping below an RSA CA, and returns that CA's too.
func newForeign(t *testing.T, key crypto.Signer) (authority, anchor *gost.Certificate) {
	t.Helper()
	caKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "RSA CA", Country: []string{"RU"}}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(8), Subject: pkix.Name{CommonName: "TSA", Country: []string{"RU"}}, NotBefore: from, NotAfter: to,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: testpki.TimeStamping.OID, Critical: true, Value: testpki.TimeStamping.Value}},
	}
	issue := func(template *x509.Certificate, public any) *gost.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, ca, public, caKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := gost.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return issue(leaf, key.Public()), issue(ca, caKey.Public())
}

func FuzzParseResponse(f *testing.F) {
	f.Add(vectors.Read(f, "gost/ts/openssl-2012-256-cpA.tsr"))
	f.Add([]byte{0x30, 9, 0x30, 7, 2, 1, 2, 3, 2, 7, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ParseResponse(der)
		if err != nil {
			return
		}
		again, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseResponse(again); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add(vectors.Read(f, "gost/ts/openssl-2012-256-cpA.tsq"))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := ParseRequest(der)
		if err != nil {
			return
		}
		if out, err := r.Marshal(); err == nil {
			if _, err := ParseRequest(out); err != nil {
				t.Fatalf("what was read cannot be read again: %v", err)
			}
		}
	})
}
