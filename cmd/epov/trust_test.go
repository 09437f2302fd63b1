package main

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// TestFetching: a list of authorities and CRLs by HTTP.
func TestFetching(t *testing.T) {
	var mutex sync.Mutex
	files := map[string][]byte{}
	put := func(path string, data []byte) {
		mutex.Lock()
		defer mutex.Unlock()
		files[path] = data
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mutex.Lock()
		defer mutex.Unlock()
		if data, ok := files[r.URL.Path]; ok {
			_, _ = w.Write(data)
		} else {
			http.NotFound(w, r)
		}
	}))
	defer site.Close()
	root := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	ca := root.NewIntermediate(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	key, c := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A",
		testpki.Template{Extensions: []gost.Extension{testpki.DistributionPoints(site.URL + "/absent.crl")}})
	sign := func(doc []byte) []byte {
		p, err := xmldsig.Enveloped.Prepare(xmldsig.Input{Document: doc, Certificate: c})
		if err != nil {
			t.Fatal(err)
		}
		value, err := key.Sign(rand.Reader, p.Digest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := p.Complete(value)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	// The CRL's address is in the list of authorities, the certificate's own leads nowhere.
	put("/tsl.xml", sign(testpki.NewTSL(time.Now(),
		testpki.Authority{Name: "Root", Certificates: []*gost.Certificate{root.Certificate}, CRLs: []string{site.URL + "/root.crl"}},
		testpki.Authority{Name: "CA", Certificates: []*gost.Certificate{ca.Certificate}, CRLs: []string{site.URL + "/ca.crl"}})))
	put("/root.crl", root.NewCRL(t, testpki.CRL{}))
	put("/ca.crl", ca.NewCRL(t, testpki.CRL{}))

	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	epov := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(args, &console{strings.NewReader(""), &out, &errs}); code != want {
			t.Fatalf("%v: exit code %d, want %d: %s%s", args, code, want, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	directory := filepath.Join(dir, "trust")
	epov(0, "trust", "import", "--directory", directory, "--signer", write("signer.pem", c.PEM()), site.URL+"/tsl.xml")
	epov(1, "trust", "import", "--directory", directory, "--name", "x", site.URL+"/absent")
	if out := epov(0, "trust", "update", "--directory", directory); !strings.Contains(out, "unchanged") {
		t.Error(out)
	}

	doc := write("doc.xml", sign([]byte("<a>b</a>")))
	verify := []string{"verify", "--local", "--trust-directory", directory, "--revocation", "required", "--fetch", doc}
	if out := epov(1, verify...); !strings.Contains(out, "certificate.revocation") {
		t.Errorf("private addresses are reached unasked: %s", out)
	}
	verify = append(verify, "--private-addresses")
	if out := epov(0, verify...); !strings.Contains(out, "VALID") {
		t.Error(out)
	}
	put("/ca.crl", ca.NewCRL(t, testpki.CRL{Revoked: []testpki.Revocation{{Serial: c.Serial, Reason: 4}}}))
	if out := epov(1, verify...); !strings.Contains(out, "certificate.revoked") || !strings.Contains(out, "superseded") {
		t.Error(out)
	}
}
