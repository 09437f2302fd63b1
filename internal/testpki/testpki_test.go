package testpki_test

import (
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/trust"
)

// TestOpenSSL: OpenSSL accepts, strictly, what is issued here, and so do we.
func TestOpenSSL(t *testing.T) {
	for _, tc := range []struct {
		name                string
		root, ca, leaf      *gost.Algorithm
		rootSet, caSet, set string
	}{
		{"256", gost.GOST2012_256, gost.GOST2012_256, gost.GOST2012_256, "CryptoPro-A", "tc26-256-A", "CryptoPro-XchA"},
		{"512", gost.GOST2012_512, gost.GOST2012_512, gost.GOST2012_512, "tc26-512-A", "tc26-512-B", "tc26-512-C"},
		{"mixed", gost.GOST2012_512, gost.GOST2012_256, gost.GOST2012_512, "tc26-512-A", "CryptoPro-B", "tc26-512-A"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := testpki.NewCA(t, tc.root, tc.rootSet)
			ca := root.NewIntermediate(t, tc.ca, tc.caSet, testpki.Template{NotAfter: time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)})
			_, leaf := ca.NewSigner(t, tc.leaf, tc.set, testpki.Template{Subject: `CN=Портал,OGRN=1047702026701,C=RU`})
			file := func(c *gost.Certificate) string { return oracle.File(t, c.PEM()) }
			_, err := oracle.OpenSSL(t, nil, "verify", "-x509_strict", "-purpose", "smimesign",
				"-CAfile", file(root.Certificate), "-untrusted", file(ca.Certificate), file(leaf))
			if err != nil {
				t.Error(err)
			}
			store := trust.New([]*gost.Certificate{root.Certificate}, []*gost.Certificate{ca.Certificate})
			if j := store.Check(leaf, nil, time.Now()); len(j.Path) != 3 {
				t.Errorf("%+v", j.Checks)
			}
		})
	}
}
