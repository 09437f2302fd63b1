package cms

import (
	"bytes"
	"crypto/sha1"
	"encoding/asn1"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// signToken signs any octets as the content of a token, with the attributes of a profile.
func signToken(tb testing.TB, ca *testpki.CA, p *Profile, info []byte) []byte {
	tb.Helper()
	key, certificate := ca.NewSigner(tb, gost.GOST2012_256, "CryptoPro-A", testpki.Template{
		KeyUsage: gost.UsageDigitalSignature, Extensions: []gost.Extension{testpki.TimeStamping},
	})
	return person{key, certificate}.sign(tb, p, Input{Content: info})
}

// TestTimeStampAttacks: tokens that must not count, one rule broken each. The first is as it should be.
func TestTimeStampAttacks(t *testing.T) {
	ca, rogue := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A"), testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	signer := person{key, certificate}
	content := []byte("content")
	message := signer.sign(t, ProfileByName("cades-bes-attached"), Input{Content: content})
	value, err := SignatureValue(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil)}
	token := func(change func(ts *TimeStamp, in *Input, t *testpki.Template)) []byte {
		return newToken(t, ca, value, change)
	}
	timeStamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	usage := func(critical bool, oids ...asn1.ObjectIdentifier) []gost.Extension {
		var list []byte
		for _, oid := range oids {
			list = append(list, encodeOID(oid)...)
		}
		return []gost.Extension{{OID: testpki.TimeStamping.OID, Critical: critical, Value: tlv(tagSequence, list)}}
	}
	info := func(version int64, extensions []byte) []byte {
		return tlv(tagSequence, der(func(b *cryptobyte.Builder) { b.AddASN1Int64(version) }), encodeOID(asn1.ObjectIdentifier{1, 2, 3}),
			tlv(tagSequence, encodeAlgorithm(gost.Streebog256.OID), tlv(tagOctetString, sum(gost.Streebog256.New(), value))),
			[]byte{2, 1, 9}, tlv(0x18, []byte(formatGeneralizedTime(time.Now()))), extensions)
	}
	critical := tlv(tagContext1, tlv(tagSequence, encodeOID(asn1.ObjectIdentifier{1, 2, 3}), []byte{1, 1, 0xFF}, tlv(tagOctetString)))
	sha1sum := sha1.Sum(value)
	for _, c := range []struct {
		name   string
		token  []byte
		status report.Status
		code   report.Code // "": all is well
	}{
		{"as it should be", token(nil), report.Passed, ""},
		{"built by hand", signToken(t, ca, timeStampToken, info(1, nil)), report.Passed, ""},
		{"of another signature", newToken(t, ca, []byte("other"), nil), report.Failed, report.TimeStampImprint},
		{"of the content", newToken(t, ca, content, nil), report.Failed, report.TimeStampImprint},
		{"of the message", newToken(t, ca, message, nil), report.Failed, report.TimeStampImprint},
		{"of the first half", newToken(t, ca, value[:32], nil), report.Failed, report.TimeStampImprint},
		{"imprint in SHA-1", token(func(ts *TimeStamp, _ *Input, _ *testpki.Template) {
			ts.Digest, ts.Imprint = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, sha1sum[:]
		}), report.NotChecked, report.TimeStampImprint},
		{"imprint in an unknown digest",
			token(func(ts *TimeStamp, _ *Input, _ *testpki.Template) { ts.Digest = asn1.ObjectIdentifier{1, 2, 3} }),
			report.NotChecked, report.TimeStampImprint},
		{"imprint named another digest",
			token(func(ts *TimeStamp, _ *Input, _ *testpki.Template) { ts.Digest = oidSHA256 }), report.Failed, report.TimeStampImprint},
		{"not critical", token(func(_ *TimeStamp, _ *Input, t *testpki.Template) { t.Extensions = usage(false, timeStamping) }),
			report.Failed, report.TimeStampUsage},
		{"for more than time", token(func(_ *TimeStamp, _ *Input, t *testpki.Template) {
			t.Extensions = usage(true, timeStamping, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2})
		}), report.Failed, report.TimeStampUsage},
		{"for any purpose", token(func(_ *TimeStamp, _ *Input, t *testpki.Template) {
			t.Extensions = usage(true, asn1.ObjectIdentifier{2, 5, 29, 37, 0})
		}), report.Failed, report.TimeStampUsage},
		{"by a signer of documents", token(func(_ *TimeStamp, _ *Input, t *testpki.Template) { t.Extensions = nil }),
			report.Failed, report.TimeStampUsage},
		{"by the signer himself", signer.sign(t, timeStampToken, Input{Content: info(1, nil)}), report.Failed, report.TimeStampUsage},
		{"without a name of its signer", signToken(t, ca, &Profile{contentType: oidTSTInfo}, info(1, nil)), report.Failed,
			report.TimeStampCertificate},
		{"by nobody we trust", newToken(t, rogue, value, nil), report.Failed, report.TimeStampTrust},
		{"from the future", token(func(ts *TimeStamp, _ *Input, _ *testpki.Template) { ts.Time = ts.Time.Add(ClockSkew + time.Minute) }),
			report.Failed, report.TimeStampTime},
		{"older than the claim", token(func(ts *TimeStamp, _ *Input,
			_ *testpki.Template) {
			ts.Time = ts.Time.Add(-ClockSkew - time.Minute)
		}), report.Failed, report.TimeStampTime},
		{"version 2", signToken(t, ca, timeStampToken, info(2, nil)), report.NotChecked, report.TimeStampToken},
		{"critical extension", signToken(t, ca, timeStampToken, info(1, critical)), report.NotChecked, report.TimeStampToken},
		{"TSTInfo with more at its end", signToken(t, ca, timeStampToken, append(info(1, nil), 0)), report.Failed, report.TimeStampToken},
		{"content of another type", signToken(t, ca, &Profile{CAdES: true}, info(1, nil)), report.Failed, report.TimeStampToken},
		{"two signers", merged(t, token(nil), token(nil)), report.Failed, report.TimeStampToken},
		{"the message itself", message, report.Failed, report.TimeStampToken},
		{"NULL", []byte{5, 0}, report.Failed, report.TimeStampToken},
	} {
		stamped := mustParse(t, message).addUnsigned([]int{0}, tlv(tagSequence, encodeOID(oidSignatureTimeStamp), tlv(tagSet, c.token)))
		r := mustVerify(t, stamped, policy)
		s := r.Signatures[0]
		if c.code == "" {
			if r.Verdict() != report.Valid || !s.TimeStamps[0].Trusted {
				t.Errorf("%s: %+v", c.name, s.Checks)
			}
			continue
		}
		found := false
		for _, check := range s.Checks {
			found = found || check.Code == c.code && check.Status == c.status && check.Place.End <= len(stamped)
			if check.Status != report.Passed && check.Code != c.code && !(c.name == "by the signer himself") {
				t.Errorf("%s: %+v too", c.name, check)
			}
		}
		want := map[report.Status]report.Verdict{report.Failed: report.Invalid, report.NotChecked: report.Indeterminate}[c.status]
		if !found || r.Verdict() != want || len(s.TimeStamps) != 1 || s.TimeStamps[0].Trusted {
			t.Errorf("%s: %s, want %s %s: %+v", c.name, r.Verdict(), c.code, want, s.Checks)
		}
		if c.code == report.TimeStampTrust && r.Integrity() != report.Valid {
			t.Errorf("%s: trust counts as integrity", c.name)
		}
	}
	stamped, err := AddTimeStamp(message, token(nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"no token": {5, 0}, "of another signature": newToken(t, ca, []byte("other"), nil)} {
		if _, err := AddTimeStamp(stamped, bad); err == nil {
			t.Errorf("%s: added", name)
		}
	}
	r := mustVerify(t, stamped, Policy{})
	if r.Verdict() != report.Indeterminate || r.Integrity() != report.Valid {
		t.Errorf("without trust: %s", r.Verdict())
	}
}

func merged(t *testing.T, messages ...[]byte) []byte {
	t.Helper()
	// Two tokens differ in content; only their signers are joined.
	a, b := mustParse(t, messages[0]).assembly(), mustParse(t, messages[1]).assembly()
	a.signers = append(a.signers, b.signers...)
	return a.message(nil)
}

// A time-stamp cannot be lent from one signer to another, and of several that count the earliest decides.
func TestTimeStampsOfSeveral(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	content := []byte("content")
	policy := Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Detached: true, Content: content}
	var list []person
	for range 2 {
		key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
		list = append(list, person{key, certificate})
	}
	message, err := Merge(list[0].sign(t, ProfileByName("cades-bes-detached"), Input{Content: content}),
		list[1].sign(t, ProfileByName("cades-bes-detached"), Input{Content: content}))
	if err != nil {
		t.Fatal(err)
	}
	value, err := SignatureValue(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	early, late := now.Add(-2*time.Minute), now
	at := func(moment time.Time) []byte {
		return newToken(t, ca, value, func(ts *TimeStamp, _ *Input, _ *testpki.Template) { ts.Time = moment })
	}
	lent := mustParse(t, message).addUnsigned([]int{1}, tlv(tagSequence, encodeOID(oidSignatureTimeStamp), tlv(tagSet, at(late))))
	bad := 0
	for _, s := range mustVerify(t, lent, policy).Signatures {
		if failed(s.Checks, report.TimeStampImprint) {
			bad++
		} else if s.Verdict() != report.Valid {
			t.Errorf("lent: %+v", s.Checks)
		}
	}
	if bad != 1 {
		t.Errorf("lent: %d signatures are refused", bad)
	}
	for _, token := range [][]byte{at(late), at(early), at(late)} {
		if message, err = AddTimeStamp(message, token); err != nil {
			t.Fatal(err)
		}
	}
	r := mustVerify(t, message, policy)
	stamped := func(r *report.Report) report.Signature {
		if len(r.Signatures[0].TimeStamps) > 0 {
			return r.Signatures[0]
		}
		return r.Signatures[1]
	}
	s := stamped(r)
	judged := early.Add(s.TimeStamps[1].Accuracy)
	if r.Verdict() != report.Valid || len(s.TimeStamps) != 3 || !s.StampedTime(now).Equal(judged) || !s.Evidence.Time.Equal(judged) {
		t.Errorf("%s, judged at %s: %+v", r.Verdict(), s.Evidence.Time, r.Failures())
	}
	for range maxTimeStamps {
		if message, err = AddTimeStamp(message, at(late)); err != nil {
			t.Fatal(err)
		}
	}
	if r := mustVerify(t, message, policy); r.Verdict() != report.Indeterminate || len(stamped(r).TimeStamps) != maxTimeStamps {
		t.Errorf("more than the limit: %s", r.Verdict())
	}
}

// Whoever holds an expired key cannot give it life: no time-stamp that he can make counts.
func TestTimeStampRevivesNobody(t *testing.T) {
	ca, rogue := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A"), testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	until := time.Now().Add(time.Hour)
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{NotAfter: until})
	message := person{key, certificate}.sign(t, ProfileByName("cades-bes-attached"), Input{Content: []byte("x")})
	value, err := SignatureValue(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Time: until.Add(time.Hour)}
	for name, c := range map[string]struct {
		token []byte
		want  report.Verdict
	}{
		"trusted":       {newToken(t, ca, value, nil), report.Valid},
		"own authority": {newToken(t, rogue, value, nil), report.Invalid},
		"expired authority": {newToken(t, ca, value, func(_ *TimeStamp, _ *Input, t *testpki.Template) { t.NotAfter = until }),
			report.Invalid},
		"own certificate": {person{key, certificate}.sign(t, timeStampToken,
			Input{Content: mustParse(t, newToken(t, ca, value, nil)).content}), report.Invalid},
		"another's, earlier": {newToken(t, ca, []byte("y"), nil), report.Invalid},
	} {
		stamped := mustParse(t, message).addUnsigned([]int{0}, tlv(tagSequence, encodeOID(oidSignatureTimeStamp), tlv(tagSet, c.token)))
		r := mustVerify(t, stamped, policy)
		if r.Verdict() != c.want || failed(r.Failures(), report.CertTime) != (c.want == report.Invalid) {
			t.Errorf("%s: %s, %+v", name, r.Verdict(), r.Failures())
		}
	}
}

func FuzzParseTimeStamp(f *testing.F) {
	for _, v := range readTimeStampVectors(f).Tokens {
		f.Add(vectors.Read(f, "gost/ts/"+v.File))
	}
	policy := Policy{Time: time.Unix(vectors.Time, 0), Trust: trust.New(readCertificates(f, "2012-256-cpA/root.pem"), nil)}
	content := vectors.Read(f, "gost/cms/content.bin")
	f.Fuzz(func(t *testing.T, token []byte) {
		ts, err := ParseTimeStamp(token)
		if err != nil {
			var e *report.Error
			if ts != nil || !errors.As(err, &e) {
				t.Fatalf("%v with %v", ts, err)
			}
			return
		}
		if got, checks := ts.Verify(content, policy); got.Trusted {
			for _, c := range checks {
				if c.Status != report.Passed {
					t.Fatalf("trusted with %+v", c)
				}
			}
			if other, _ := ts.Verify(append(bytes.Clone(content), 'x'), policy); other.Trusted {
				t.Fatal("trusted for other content too")
			}
		}
	})
}

func TestGeneralizedTime(t *testing.T) {
	for text, want := range map[string]string{
		"20261015100000Z": "2026-10-15T10:00:00Z", "20261015100000.5Z": "2026-10-15T10:00:00.5Z",
		"20261015100000.123456789Z": "2026-10-15T10:00:00.123456789Z", "20261015100000.50Z": "2026-10-15T10:00:00.5Z",
		"20261015100000": "", "20261015100000.Z": "", "202610151000Z": "", "20261015100000+0300": "", "20261315100000Z": "",
		"20261015100000.1234567890Z": "", "20261015100000,5Z": "", "2026101510000 Z": "", "20261015100000.-5Z": "",
	} {
		got, ok := parseGeneralizedTime(text)
		if ok != (want != "") || ok && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %s, %v", text, got.Format(time.RFC3339Nano), ok)
		}
	}
}
