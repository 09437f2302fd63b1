package tsp_test

import (
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/tsp"
)

// CAdES-T: sign, have the signature stamped, add the time-stamp.
func TestExample(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	tsaKey, tsaCertificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{
		CommonName: "TSA", Extensions: []gost.Extension{testpki.TimeStamping},
	})
	server := httptest.NewServer(&tsp.Authority{Certificate: tsaCertificate, Key: tsaKey, Policy: []int{1, 2, 643, 1}})
	defer server.Close()
	store := trust.New([]*gost.Certificate{ca.Certificate}, nil)

	prepared, err := cms.ProfileByName("cades-t-attached").Prepare(cms.Input{Content: []byte("text"), Certificate: certificate, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	message, err := prepared.Complete(signature)
	if err != nil {
		t.Fatal(err)
	}
	client, err := tsp.NewClient(tsp.Config{URLs: []string{server.URL}, Trust: store})
	if err != nil {
		t.Fatal(err)
	}
	token, err := client.TimeStamp(t.Context(), signature)
	if err != nil {
		t.Fatal(err)
	}
	if message, err = cms.AddTimeStamp(message, token); err != nil {
		t.Fatal(err)
	}
	report, err := cms.Verify(message, cms.Policy{Trust: store})
	if err != nil {
		t.Fatal(err)
	}
	if s := report.Signatures[0]; fmt.Sprint(report.Verdict()) != "valid" || !s.TimeStamps[0].Trusted {
		t.Errorf("%s, %+v", report.Verdict(), report.Failures())
	}
}
