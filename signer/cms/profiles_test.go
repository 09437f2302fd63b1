package cms

import (
	"bytes"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// A profile is what a verifier may insist on: each message against each profile.
func TestExpectedProfile(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	signer := person{key, certificate}
	content := []byte("content")
	messages := make(map[string][]byte)
	for _, p := range messageProfiles {
		m := signer.sign(t, p, Input{Content: content})
		if p.TimeStamp {
			value, err := SignatureValue(m, 0)
			if err != nil {
				t.Fatal(err)
			}
			if m, err = AddTimeStamp(m, newToken(t, ca, value, nil)); err != nil {
				t.Fatal(err)
			}
		}
		messages[p.Name] = m
	}
	messages[Countersignature.Name] = signer.sign(t, Countersignature, Input{Content: messages["cades-t-detached"]})
	// What is more than a profile asks for also passes as that.
	also := map[string][]string{
		"cades-bes-detached": {"pkcs7-detached"}, "cades-bes-attached": {"pkcs7-attached"},
		"cades-t-detached": {"pkcs7-detached", "cades-bes-detached"}, "cades-t-attached": {"pkcs7-attached", "cades-bes-attached"},
		"countersignature": {"pkcs7-detached", "cades-bes-detached", "cades-t-detached"},
	}
	for name, message := range messages {
		for _, p := range Profiles {
			want := report.Invalid
			for _, as := range append(also[name], name) {
				if as == p.Name {
					want = report.Valid
				}
			}
			policy := Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Profile: p, Detached: true, Content: content}
			r := mustVerify(t, message, policy)
			if r.Verdict() != want || r.Signatures[0].Profile != p.Name ||
				failed(r.Failures(), report.ProfileForm) != (want == report.Invalid) {
				t.Errorf("%s as %s: %s, %+v", name, p.Name, r.Verdict(), r.Failures())
			}
			policy.Detached, policy.Reader, policy.Content = false, bytes.NewReader(content), nil
			if r, err := VerifyStream(bytes.NewReader(message), policy); err != nil || r.Verdict() != want {
				t.Errorf("%s as %s, streamed: %v", name, p.Name, err)
			}
		}
	}
	// A time-stamp that does not count is none.
	value, err := SignatureValue(messages["cades-bes-detached"], 0)
	if err != nil {
		t.Fatal(err)
	}
	rogue, err := AddTimeStamp(messages["cades-bes-detached"], newToken(t, testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A"), value, nil))
	if err != nil {
		t.Fatal(err)
	}
	r := mustVerify(t, rogue, Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil),
		Profile: ProfileByName("cades-t-detached"), Detached: true, Content: content})
	if !failed(r.Failures(), report.ProfileForm) {
		t.Errorf("%+v", r.Failures())
	}
}
