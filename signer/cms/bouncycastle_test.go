package cms

import (
	"bytes"
	"crypto/rand"
	"math/big"
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

// newToken makes a time-stamp of octets; change may spoil it.
func newToken(tb testing.TB, ca *testpki.CA, octets []byte, change func(ts *TimeStamp, in *Input, t *testpki.Template)) []byte {
	tb.Helper()
	oid, imprint, _ := Imprint("streebog256", octets)
	ts := &TimeStamp{
		Time: time.Now(), Policy: []int{1, 2, 643, 1}, Serial: big.NewInt(77), Nonce: big.NewInt(5), Digest: oid, Imprint: imprint,
		Accuracy: time.Second,
	}
	in := Input{Chain: []*gost.Certificate{}}
	template := testpki.Template{CommonName: "TSA", KeyUsage: gost.UsageDigitalSignature,
		Extensions: []gost.Extension{testpki.TimeStamping}}
	if change != nil {
		change(ts, &in, &template)
	}
	key, certificate := ca.NewSigner(tb, gost.GOST2012_256, "CryptoPro-A", template)
	in.Certificate = certificate
	prepared, err := ts.Prepare(in)
	if err != nil {
		tb.Fatal(err)
	}
	value, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := prepared.Complete(value)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// What we make, Bouncy Castle takes: all profiles, several signers, countersignatures, time-stamps, BER.
func TestBouncyCastle(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	var signers []person
	for range 3 {
		key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
		signers = append(signers, person{key, certificate})
	}
	content := []byte("текст")
	judge := func(name, want string, message, content []byte) {
		t.Helper()
		if got := oracle.BouncyCastle(t, oracle.BouncyCastleMessage, message, content); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", name, got)
		}
		outcome := vectors.Verdict(strings.HasPrefix(want, "valid"))
		vectors.Outcome(t, "bouncy castle", name, outcome, outcome)
	}
	const one = "valid signers=1 countersignatures=0 timestamps=0"
	for _, profile := range messageProfiles {
		message := signers[0].sign(t, profile, Input{Content: content})
		if profile.Detached {
			judge(profile.Name, one, message, content)
			judge(profile.Name+", other content", "invalid", message, []byte("x"))
			var ber bytes.Buffer
			if err := Attach(&ber, message, bytes.NewReader(content), UnknownSize); err != nil {
				t.Fatal(err)
			}
			judge(profile.Name+", attached in BER", one, ber.Bytes(), nil)
			continue
		}
		judge(profile.Name, one, message, nil)
	}
	first := signers[0].sign(t, ProfileByName("cades-bes-detached"), Input{Content: content})
	merged, err := Merge(first, signers[1].sign(t, ProfileByName("pkcs7-detached"), Input{Content: content}))
	if err != nil {
		t.Fatal(err)
	}
	judge("two signers", "valid signers=2", merged, content)
	judge("countersigned", "valid signers=1 countersignatures=1 timestamps=0",
		signers[2].sign(t, Countersignature, Input{Content: first}), content)

	value, err := SignatureValue(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	token := newToken(t, ca, value, nil)
	if got := oracle.BouncyCastle(t, oracle.BouncyCastleToken, token, value); !strings.HasPrefix(got, "valid time=20") {
		t.Errorf("token: %s", got)
	}
	if got := oracle.BouncyCastle(t, oracle.BouncyCastleToken, token, []byte("x")); !strings.HasPrefix(got, "invalid") {
		t.Errorf("token of something else: %s", got)
	}
	stamped, err := AddTimeStamp(first, token)
	if err != nil {
		t.Fatal(err)
	}
	judge("CAdES-T", "valid signers=1 countersignatures=0 timestamps=1", stamped, content)
	r := mustVerify(t, stamped, Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Detached: true, Content: content})
	if r.Verdict() != report.Valid || !r.Signatures[0].TimeStamps[0].Trusted {
		t.Errorf("%+v", r.Failures())
	}
}
