package daemon

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/trust/directory"
)

// trusting is the example with other lines about trust.
func trusting(t *testing.T, f folder, example, lines string) *Config {
	t.Helper()
	before, after, _ := strings.Cut(example, "\n  revocation:\n")
	_, after, _ = strings.Cut(after, "\nlimits:")
	c, err := Load(f.write(t, "epovd.yaml", []byte(before+"\n"+lines+"\nlimits:"+after)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func broken(s *trust.Store, c *gost.Certificate) []report.Code {
	var out []report.Code
	for _, check := range s.Check(c, nil, time.Now()).Checks {
		if check.Status != report.Passed {
			out = append(out, check.Code)
		}
	}
	return out
}

// TestTrustDirectory: a source that is imported while the daemon runs counts without a restart; one that is damaged changes
// nothing.
func TestTrustDirectory(t *testing.T) {
	f, example := furnish(t)
	path := filepath.Join(t.TempDir(), "trust")
	d := directory.At(path)
	first, second := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A"), testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	_, one := first.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	_, two := second.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	put := func(name string, in directory.Import) *directory.Source {
		in.Name = name
		s, err := d.Import(in)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	put("roots", directory.Import{Kind: directory.Anchors, Data: testpki.PEM(first.Certificate)})
	c := trusting(t, f, example, "  directory: "+path)
	renew := func() error {
		next := *c
		next.running = true
		next.readTrust(c.root.sections()("trust"))
		_, err := next.makeStores(&c.trusted)
		if err == nil {
			*c = next
		}
		return err
	}
	if broken(c.trust, one) != nil || broken(c.trust, two) == nil {
		t.Fatal("the first source does not count, or the second does already")
	}
	s := put("tsl", directory.Import{Kind: directory.TSL, Unsigned: true, Data: testpki.NewTSL(time.Now(), testpki.Authority{
		Name: "УЦ", Certificates: []*gost.Certificate{second.Certificate}})})
	if !c.trusted.changed() {
		t.Error("nobody notices")
	}
	if err := renew(); err != nil {
		t.Fatal(err)
	}
	if broken(c.trust, one) != nil || broken(c.trust, two) != nil {
		t.Error("the second source does not count")
	}
	if err := os.WriteFile(filepath.Join(path, s.Digest+".tsl"), []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := renew(); err == nil {
		t.Error("a damaged source is taken")
	}
	if broken(c.trust, one) != nil || broken(c.trust, two) != nil {
		t.Error("a damaged source takes away what was there")
	}
}

// TestTrustPolicy: what the configuration demands is demanded.
func TestTrustPolicy(t *testing.T) {
	f, example := furnish(t)
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	class := gost.Extension{OID: []int{2, 5, 29, 32}, Value: []byte{0x30, 10, 0x30, 8, 6, 6, 0x2A, 0x85, 3, 0x64, 0x71, 2}} // KC2
	_, plain := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	_, classed := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{Extensions: []gost.Extension{class}})
	f.write(t, "root-ca.pem", testpki.PEM(ca.Certificate))
	f.write(t, "ca.crl", ca.NewCRL(t, testpki.CRL{Revoked: []testpki.Revocation{{Serial: plain.Serial}}}))
	for lines, want := range map[string][2][]report.Code{
		"":                    {nil, nil},
		"  policies: [KC1]":   {{report.CertPolicy}, nil},
		"  policies: [KC3]":   {{report.CertPolicy}, {report.CertPolicy}},
		"  purposes: [1.2.3]": {{report.CertUsage}, {report.CertUsage}},
		"  revocation: {mode: off, files: [ca.crl]}":                       {nil, nil},
		"  revocation: {files: [ca.crl]}":                                  {{report.CertRevoked}, nil},
		"  revocation: {mode: required}":                                   {{report.CertRevocation}, {report.CertRevocation}},
		"  revocation: {mode: required, folders: [.], freshness_hours: 1}": {{report.CertRevoked}, nil},
		"  policies: [1.2.643.100.113.2]\n  revocation: {files: [ca.crl]}": {{report.CertPolicy, report.CertRevoked}, nil},
	} {
		c := trusting(t, f, example, lines)
		if a, b := broken(c.trust, plain), broken(c.trust, classed); !slices.Equal(a, want[0]) || !slices.Equal(b, want[1]) {
			t.Errorf("%q: %v and %v, want %v", lines, a, b, want)
		}
	}
}

// TestTrustFetch: the keeper fetches what verification has asked for.
func TestTrustFetch(t *testing.T) {
	f, example := furnish(t)
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	var crl []byte
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(crl) }))
	defer site.Close()
	_, leaf := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A",
		testpki.Template{Extensions: []gost.Extension{testpki.DistributionPoints(site.URL + "/ca.crl")}})
	crl = ca.NewCRL(t, testpki.CRL{Revoked: []testpki.Revocation{{Serial: leaf.Serial}}})
	f.write(t, "root-ca.pem", testpki.PEM(ca.Certificate))
	c := trusting(t, f, example, "  revocation: {mode: required, fetch: true, private_addresses: true, wait_milliseconds: 10000, cache: crl}")
	k, err := c.openTrust(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	go k.run(t.Context()) // ends with the test
	if got := broken(c.trust, leaf); !slices.Equal(got, []report.Code{report.CertRevoked}) {
		t.Errorf("%v", got)
	}
	if files, err := filepath.Glob(filepath.Join(string(f), "crl", "*.crl")); err != nil || len(files) != 1 {
		t.Errorf("cached: %v, %v", files, err)
	}
}
