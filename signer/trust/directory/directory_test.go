package directory_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/trust/directory"
	"github.com/epov-signer/epov/signer/xmldsig"
)

const params = "CryptoPro-A"

// publisher signs lists.
type publisher struct {
	*testing.T
	ca   *testpki.CA
	key  *gost.PrivateKey
	cert *gost.Certificate
}

func newPublisher(t *testing.T) *publisher {
	ca := testpki.NewCA(t, gost.GOST2012_256, params)
	key, c := ca.NewSigner(t, gost.GOST2012_256, params, testpki.Template{CommonName: "publisher"})
	return &publisher{t, ca, key, c}
}

func (p *publisher) list(day int, authorities ...testpki.Authority) []byte {
	p.Helper()
	prepared, err := xmldsig.Enveloped.Prepare(xmldsig.Input{
		Document: testpki.NewTSL(time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC), authorities...), Certificate: p.cert,
	})
	if err != nil {
		p.Fatal(err)
	}
	value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		p.Fatal(err)
	}
	signed, err := prepared.Complete(value)
	if err != nil {
		p.Fatal(err)
	}
	return signed
}

func TestImport(t *testing.T) {
	p := newPublisher(t)
	ca := testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	entry := testpki.Authority{Name: "УЦ", CRLs: []string{"http://ca.example.ru/1.crl"}, Certificates: []*gost.Certificate{ca.Certificate}}
	path := filepath.Join(t.TempDir(), "trust")
	d := directory.At(path)
	if c, err := d.Load(); err != nil || len(c.Manifest.Sources) != 0 || d.Stamp() != "" {
		t.Errorf("an absent folder: %v", err)
	}
	in := directory.Import{Name: "tsl", Kind: directory.TSL, Origin: "test", Data: p.list(2, entry)}
	var unpinned *directory.UnpinnedError
	if _, err := d.Import(in); !errors.As(err, &unpinned) || string(unpinned.Signer.Raw) != string(p.cert.Raw) {
		t.Fatalf("without a pin: %v", err)
	}
	in.Signer = newPublisher(t).cert
	if _, err := d.Import(in); err == nil {
		t.Fatal("another signer is accepted")
	}
	in.Signer = p.cert
	s, err := d.Import(in)
	if err != nil || s.Authorities != 1 || s.Certificates != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	stamp := d.Stamp()
	c, err := d.Load()
	if err != nil || len(c.Certificates.Anchors) != 1 || len(c.Certificates.Accredited) != 1 ||
		len(c.CRLs[string(ca.Certificate.Raw)]) != 1 || stamp == "" {
		t.Fatalf("%+v, %v", c, err)
	}
	in.Data = p.list(1, entry)
	if _, err := d.Import(in); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("an older list: %v", err)
	}
	in.Older = true
	if _, err := d.Import(in); err != nil || d.Stamp() == stamp {
		t.Errorf("an older list on purpose: %v", err)
	}
	if _, err := d.Import(directory.Import{Name: "roots", Kind: directory.Anchors,
		Data: testpki.PEM(p.ca.Certificate, ca.Certificate)}); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Load(); err != nil || len(c.Certificates.Anchors) != 3 {
		t.Errorf("%v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(path, "*")); len(files) != 4 { // lock, manifest, list, roots
		t.Errorf("%v", files)
	}
	if err := d.Remove("tsl"); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Load(); err != nil || len(c.Lists) != 0 || len(c.Certificates.Anchors) != 2 {
		t.Errorf("%v", err)
	}
	if err := d.Remove("tsl"); err == nil {
		t.Error("removed twice")
	}
}

func TestImportRefuses(t *testing.T) {
	p := newPublisher(t)
	d := directory.At(t.TempDir())
	unsigned := testpki.NewTSL(time.Now(), testpki.Authority{Name: "УЦ", Certificates: []*gost.Certificate{p.ca.Certificate}})
	for name, in := range map[string]directory.Import{
		"no name":         {Kind: directory.Anchors, Data: testpki.PEM(p.cert)},
		"no kind":         {Name: "x", Data: testpki.PEM(p.cert)},
		"no certificate":  {Name: "x", Kind: directory.Anchors, Data: []byte("-")},
		"not signed":      {Name: "x", Kind: directory.TSL, Data: unsigned},
		"not signed, pin": {Name: "x", Kind: directory.TSL, Data: unsigned, Signer: p.cert},
		"nothing listed": {Name: "x", Kind: directory.TSL, Unsigned: true,
			Data: testpki.NewTSL(time.Now(), testpki.Authority{Name: "УЦ"})},
	} {
		if _, err := d.Import(in); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if m, err := d.Manifest(); err != nil || len(m.Sources) != 0 {
		t.Errorf("something was left: %v", err)
	}
	if _, err := d.Import(directory.Import{Name: "x", Kind: directory.TSL, Unsigned: true, Data: unsigned}); err != nil {
		t.Errorf("not signed, on purpose: %v", err)
	}
}

// TestDamage: what is not what was imported is not used.
func TestDamage(t *testing.T) {
	p, path := newPublisher(t), t.TempDir()
	d := directory.At(path)
	s, err := d.Import(directory.Import{Name: "roots", Kind: directory.Anchors, Data: testpki.PEM(p.ca.Certificate)})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, s.Digest+".anchors")
	if err := os.WriteFile(file, testpki.PEM(p.cert), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); err == nil {
		t.Error("other octets are used")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); err == nil {
		t.Error("a missing file goes unnoticed")
	}
	for _, manifest := range []string{"{", `{"format":"other"}`,
		`{"format":"epov-trust/1","sources":[{"name":"x","kind":"anchors","streebog256":"../../etc/passwd"}]}`} {
		if err := os.WriteFile(filepath.Join(path, "manifest.json"), []byte(manifest), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Load(); err == nil {
			t.Errorf("%s: used", manifest)
		}
	}
}

// TestReadersAndWriters: whoever reads while others write finds everything.
func TestReadersAndWriters(t *testing.T) {
	p, d := newPublisher(t), directory.At(t.TempDir())
	roots := [][]byte{testpki.PEM(p.ca.Certificate), testpki.PEM(p.cert)}
	var writers sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		writers.Go(func() {
			for i := range 20 {
				if _, err := d.Import(directory.Import{Name: name, Kind: directory.Anchors, Data: roots[i%2]}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		if _, err := d.Load(); err != nil {
			t.Error(err)
		}
	}
	writers.Wait()
	if c, err := d.Load(); err != nil || len(c.Manifest.Sources) != 2 {
		t.Errorf("%v", err)
	}
}
