package cms

import (
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// TestMirrors: time-stamps of many authorities, each below the same crowd of CAs of one name, none of which signed it: what
// that costs is bounded for all that a message holds.
func TestMirrors(t *testing.T) {
	const params = "CryptoPro-A"
	ca, hall := testpki.NewCA(t, gost.GOST2012_256, params), testpki.NewCA(t, gost.GOST2012_256, params)
	key, c := ca.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	message := person{key, c}.sign(t, ProfileByName("cades-bes-attached"), Input{Content: []byte("x")})
	a := mustParse(t, message).assembly()
	for i := range 60 {
		a.certificates = append(a.certificates, ca.Issue(t, ca.Certificate.PublicKey, testpki.Template{
			CA: true, Subject: hall.Certificate.Subject.String(), NotAfter: time.Now().AddDate(1, i, 0)}).Raw)
	}
	message = a.message(nil)
	value, err := SignatureValue(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Work: new(trust.Work)}
	for range maxTimeStamps {
		if message, err = AddTimeStamp(message, newToken(t, hall, value, nil)); err != nil {
			t.Fatal(err)
		}
	}
	bounded := func() (n int) {
		for _, f := range mustVerify(t, message, policy).Failures() {
			if f.Code == report.TimeStampTrust && strings.Contains(f.Message, "not looked at") {
				n++
			}
		}
		return n
	}
	if n := bounded(); n != 0 {
		t.Errorf("%d of the time-stamps of one signature are too many already", n)
	}
	if n := bounded(); n != maxTimeStamps-1 { // the same once more, in the same message
		t.Errorf("%d time-stamps are not looked at", n)
	}
}
