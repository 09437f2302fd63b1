package trust_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// TestOpenSSLLists: OpenSSL comes to the same answer about CRLs, complete ones, deltas and partitioned ones.
func TestOpenSSLLists(t *testing.T) {
	const url = "http://ca.example.ru/1.crl"
	now := time.Now()
	for _, tc := range []struct {
		name   string
		points []gost.Extension
		lists  func(leaf *gost.Certificate) []testpki.CRL
	}{
		{name: "good", lists: func(*gost.Certificate) []testpki.CRL { return []testpki.CRL{{}} }},
		{name: "none", lists: func(*gost.Certificate) []testpki.CRL { return nil }},
		{name: "revoked", lists: func(c *gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{Revoked: []testpki.Revocation{{Serial: c.Serial, Reason: 1}}}}
		}},
		{name: "out of date", lists: func(*gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Hour)}}
		}},
		{name: "from the future", lists: func(*gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{ThisUpdate: now.Add(time.Hour), NextUpdate: now.Add(2 * time.Hour)}}
		}},
		{name: "of its point", points: []gost.Extension{testpki.DistributionPoints(url)}, lists: func(*gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{Extensions: []gost.Extension{testpki.IssuingPoint(url, 0)}}}
		}},
		{name: "of another point", points: []gost.Extension{testpki.DistributionPoints(url)}, lists: func(*gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{Extensions: []gost.Extension{testpki.IssuingPoint(url+"2", 0)}}}
		}},
		{name: "for CAs", lists: func(*gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{Extensions: []gost.Extension{testpki.IssuingPoint("", 2)}}}
		}},
		{name: "for users", lists: func(*gost.Certificate) []testpki.CRL {
			return []testpki.CRL{{Extensions: []gost.Extension{testpki.IssuingPoint("", 1)}}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
			_, leaf := root.NewSigner(t, gost.GOST2012_256, params, testpki.Template{Extensions: tc.points})
			d := &data{}
			args := []string{"verify", "-x509_strict", "-extended_crl", "-crl_check", "-CAfile",
				oracle.File(t, root.Certificate.PEM())}
			for i, template := range tc.lists(leaf) {
				der := root.NewCRL(t, template)
				d.lists = append(d.lists, list(t, "crl", der))
				pem, err := oracle.OpenSSL(t, der, "crl", "-inform", "DER")
				if err != nil {
					t.Fatalf("OpenSSL does not read list %d: %v", i, err)
				}
				args = append(args, "-CRLfile", oracle.File(t, pem))
			}
			_, theirs := oracle.OpenSSL(t, nil, append(args, oracle.File(t, leaf.PEM()))...)
			codes, messages := bad(trust.NewStore(trust.Config{
				Certificates: trust.Certificates{Anchors: certs(root.Certificate)},
				Policy:       trust.Policy{Revocation: trust.RevocationRequired}, Revocations: d,
			}).Check(leaf, nil, now))
			if (theirs == nil) != (codes == nil) {
				t.Errorf("OpenSSL: %v; we: %v: %s", theirs, codes, messages)
			}
		})
	}
}

// TestOpenSSLResponder: OpenSSL answers our requests, and we understand what it says.
func TestOpenSSLResponder(t *testing.T) {
	dir, at := t.TempDir(), time.Now()
	const chain = "gost/certs/2012-256-cpA/"
	ca, leaf, root := mustRead(t, "2012-256-cpA/int.pem"), mustRead(t, "2012-256-cpA/leaf.pem"), mustRead(t, "2012-256-cpA/root.pem")
	request, err := gost.NewOCSPRequest(leaf, ca, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	for entry, want := range map[string][]report.Code{
		"V\t400101000000Z\t\t1003\tunknown\t/CN=x\n":                            nil,
		"R\t400101000000Z\t260601000000Z,keyCompromise\t1003\tunknown\t/CN=x\n": {report.CertRevoked},
		"V\t400101000000Z\t\t1999\tunknown\t/CN=x\n":                            {report.CertRevocation}, // it does not know ours
	} {
		out := filepath.Join(dir, "response.der")
		_, err := oracle.OpenSSL(t, nil, "ocsp", "-index", oracle.File(t, []byte(entry)), "-CA", vectors.Path(chain+"int.pem"),
			"-rsigner", vectors.Path(chain+"int.pem"), "-rkey", vectors.Path(chain+"int.key"), "-reqin",
			oracle.File(t, request),
			"-respout", out, "-nmin", "60", "-rmd", "md_gost12_256")
		if err != nil {
			t.Fatal(err)
		}
		der, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		d := &data{responses: []trust.Response{response(t, "openssl", der)}}
		if nonce := string(d.responses[0].Nonce); nonce != "0123456789abcdef" {
			t.Errorf("nonce %q", nonce)
		}
		// The issuer's own CRL is not at hand: the path begins at the intermediate CA.
		j := trust.NewStore(trust.Config{
			Certificates: trust.Certificates{Anchors: certs(ca, root)},
			Policy:       trust.Policy{Revocation: trust.RevocationRequired}, Revocations: d,
		}).Check(leaf, nil, at)
		if codes, messages := bad(j); !slices.Equal(codes, want) {
			t.Errorf("%q: %v: %s", strings.TrimSpace(entry), codes, messages)
		}
	}
	// And the other way round.
	pki := testpki.NewCA(t, gost.GOST2012_256, params)
	_, signer := pki.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	answer := func(o testpki.OCSP) string {
		o.Serial = signer.Serial
		text, err := oracle.OpenSSL(t, nil, "ocsp", "-respin", oracle.File(t, pki.NewOCSP(t, o)), "-no_nonce",
			"-CAfile", oracle.File(t, pki.Certificate.PEM()), "-issuer", oracle.File(t, pki.Certificate.PEM()),
			"-cert", oracle.File(t, signer.PEM()))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if text := answer(testpki.OCSP{}); !strings.Contains(text, ": good") {
		t.Errorf("OpenSSL reads: %s", text)
	}
	if text := answer(testpki.OCSP{RevokedAt: at.Add(-time.Hour)}); !strings.Contains(text, ": revoked") {
		t.Errorf("OpenSSL reads: %s", text)
	}
}
