package cms

import (
	"bytes"
	"crypto/rand"
	"errors"
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

// person signs.
type person struct {
	key         *gost.PrivateKey
	certificate *gost.Certificate
}

// people are signers with keys of both lengths, each of its own CA.
func people(tb testing.TB) (list []person, anchors []*gost.Certificate) {
	tb.Helper()
	for _, id := range identities {
		ca := testpki.NewCA(tb, id.algorithm, id.params)
		key, certificate := ca.NewSigner(tb, id.algorithm, id.params, testpki.Template{CommonName: "Signer " + id.name})
		list, anchors = append(list, person{key, certificate}), append(anchors, ca.Certificate)
	}
	return list, anchors
}

func (p person) sign(tb testing.TB, profile *Profile, in Input) []byte {
	tb.Helper()
	in.Certificate, in.Time = p.certificate, time.Now()
	prepared, err := profile.Prepare(in)
	if err != nil {
		tb.Fatal(err)
	}
	value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	message, err := prepared.Complete(value)
	if err != nil {
		tb.Fatal(err)
	}
	return message
}

func mustParse(tb testing.TB, message []byte) *signedData {
	tb.Helper()
	sd, err := parse(message, Limits{}.withDefaults())
	if err != nil {
		tb.Fatal(err)
	}
	return sd
}

func mustVerify(tb testing.TB, message []byte, policy Policy) *report.Report {
	tb.Helper()
	r, err := Verify(message, policy)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// Signers who sign one after another: attached and detached, in any order, in DER, and with OpenSSL's agreement.
func TestMerge(t *testing.T) {
	signers, anchors := people(t)
	content := []byte("what all of them sign")
	roots, text := oracle.File(t, testpki.PEM(anchors...)), oracle.File(t, content)
	for _, name := range []string{"pkcs7-detached", "cades-bes-attached"} {
		profile := ProfileByName(name)
		var messages [][]byte
		for _, p := range signers {
			messages = append(messages, p.sign(t, profile, Input{Content: content}))
		}
		merged, err := Merge(messages...)
		if err != nil {
			t.Fatal(err)
		}
		policy := Policy{Trust: trust.New(anchors, nil)}
		args := []string{"cms", "-verify", "-binary", "-inform", "DER", "-in", oracle.File(t, merged), "-CAfile", roots}
		if profile.Detached {
			policy.Detached, policy.Content = true, content
			args = append(args, "-content", text)
		}
		r := mustVerify(t, merged, policy)
		if r.Verdict() != report.Valid || len(r.Signatures) != len(signers) {
			t.Errorf("%s: %s of %d: %+v", name, r.Verdict(), len(r.Signatures), r.Failures())
		}
		for i, s := range r.Signatures {
			if len(s.Coverage) != 1 || s.Coverage[0].Octets != int64(len(content)) {
				t.Errorf("%s: signature %d covers %+v", name, i+1, s.Coverage)
			}
		}
		for i, message := range messages {
			si := mustParse(t, message).signers[0]
			if !bytes.Contains(merged, si.raw) ||
				!slices.ContainsFunc(mustParse(t, merged).signers, func(s signerInfo) bool { return bytes.Equal(s.raw, si.raw) }) {
				t.Errorf("%s: signer %d has not kept its octets", name, i+1)
			}
		}
		if out, err := oracle.OpenSSL(t, nil, args...); err != nil || !bytes.Equal(out, content) {
			t.Errorf("%s: OpenSSL refuses: %v", name, err)
		}
		slices.Reverse(messages)
		again, err := Merge(append(messages, merged)...)
		if err != nil || !bytes.Equal(again, merged) {
			t.Errorf("%s: another order, or once more, gives another message: %v", name, err)
		}
		// A signer of something else is found out.
		for i, signer := range signers {
			other := signer.sign(t, ProfileByName("pkcs7-detached"), Input{Content: []byte("something else")})
			var e *report.Error
			if _, err := Merge(merged, other); !errors.As(err, &e) || e.Code != report.CMSMessageDigest {
				t.Errorf("%s: a signer of something else is taken: %v", name, err)
			}
			if err := AreAbout(other, bytes.NewReader(content)); !errors.As(err, &e) || e.Code != report.CMSMessageDigest {
				t.Errorf("signer %d of something else is about the content: %v", i+1, err)
			}
		}
		if err := AreAbout(merged, bytes.NewReader(content)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	attached, foreign := signers[0].sign(t, ProfileByName("pkcs7-attached"), Input{Content: content}),
		signers[0].sign(t, ProfileByName("pkcs7-attached"), Input{Content: []byte("x")})
	if _, err := Merge(attached, foreign); err == nil {
		t.Error("two contents are merged")
	}
	if _, err := Merge(); err == nil {
		t.Error("nothing is merged")
	}
	// Detached signatures join a message with its content.
	joined, err := Merge(signers[1].sign(t, ProfileByName("pkcs7-detached"), Input{Content: content}), attached)
	if err != nil || mustVerify(t, joined, Policy{Trust: trust.New(anchors, nil)}).Verdict() != report.Valid {
		t.Errorf("detached and attached: %v", err)
	}
}

// A message in BER, as others stream it, takes further signers, countersignatures and time-stamps; its SignerInfo stays.
func TestAddToBER(t *testing.T) {
	signers, _ := people(t)
	for _, name := range []string{"openssl-2012-256-cpA-stream-attached-ber", "bc-2012-512-tc26A-stream-attached-ber",
		"ber-nested-octet-string"} {
		list := readVectors(t)
		i := slices.IndexFunc(list, func(v vector) bool { return v.Name == name })
		if i < 0 {
			t.Fatalf("no vector %s", name)
		}
		v := list[i]
		message, policy := v.message(t), v.policy(t)
		sd := mustParse(t, message)
		mine := signers[0].sign(t, ProfileByName("cades-bes-attached"), Input{Content: sd.content})
		merged, err := Merge(message, mine)
		if err != nil {
			t.Fatal(err)
		}
		countersigned := signers[1].sign(t, Countersignature, Input{Content: merged, Signer: []int{0}})
		r := mustVerify(t, countersigned, policy)
		if r.Integrity() != report.Valid || len(r.Signatures) != 3 {
			t.Errorf("%s: %s of %d: %+v", name, r.Verdict(), len(r.Signatures), r.Failures())
		}
		if !bytes.Contains(merged, sd.signers[0].raw) {
			t.Errorf("%s: the signer has not kept its octets", name)
		}
	}
}

// Countersignatures of a signature and of each other; each covers the value of the one below it and nothing else.
func TestCountersignatures(t *testing.T) {
	signers, anchors := people(t)
	content := []byte("text")
	policy := Policy{Trust: trust.New(anchors, nil), Detached: true, Content: content}
	message := signers[0].sign(t, ProfileByName("cades-bes-detached"), Input{Content: content})
	path := []int{0}
	for depth := 1; depth <= maxCounterDepth; depth++ {
		message = signers[depth%3].sign(t, Countersignature, Input{Content: message, Signer: path})
		path = append(path, 0)
		r := mustVerify(t, message, policy)
		last := r.Signatures[len(r.Signatures)-1]
		if r.Verdict() != report.Valid || len(r.Signatures) != depth+1 || strings.Count(last.Name, "countersignature") != depth {
			t.Fatalf("depth %d: %s, %d signatures, %q: %+v", depth, r.Verdict(), len(r.Signatures), last.Name, r.Failures())
		}
		below := r.Signatures[depth-1]
		if c := last.Coverage[0]; c.Place.Offset <= below.Place.Offset || c.Place.End > below.Place.End ||
			!strings.HasSuffix(c.Place.Path, ".signature") {
			t.Errorf("depth %d covers %+v of %+v", depth, c.Place, below.Place)
		}
	}
	if _, err := Countersignature.Prepare(Input{Content: message, Signer: path, Certificate: signers[0].certificate,
		Time: time.Now()}); err == nil {
		t.Error("deeper than the limit: accepted")
	}
	// Two of the same signature.
	message = signers[2].sign(t, Countersignature, Input{Content: message})
	if r := mustVerify(t, message, policy); r.Verdict() != report.Valid || len(r.Signatures) != maxCounterDepth+2 {
		t.Errorf("%s, %d signatures", r.Verdict(), len(r.Signatures))
	}
	sd := mustParse(t, message)
	counters := sd.signers[0].counters
	nested := slices.IndexFunc(counters, func(c signerInfo) bool { return len(c.counters) == 1 })
	if len(counters) != 2 || nested < 0 || len(counters[1-nested].counters) != 0 {
		t.Fatal("countersignatures are not where they belong")
	}
	// The value below changes: what is about it fails, and says so.
	at := counters[nested].signatureAt
	broken := bytes.Clone(message)
	broken[at.Offset+5] ^= 1
	verdicts := make(map[string]report.Verdict)
	r := mustVerify(t, broken, policy)
	for _, s := range r.Signatures {
		verdicts[s.Name] = s.Verdict()
	}
	if r.Verdict() != report.Invalid || verdicts["SignerInfo 1"] != report.Valid ||
		verdicts[counters[nested].name] != report.Invalid || verdicts[counters[nested].name+", countersignature 1"] != report.Invalid ||
		verdicts[counters[nested].name+", countersignature 1, countersignature 1"] != report.Valid ||
		verdicts[counters[1-nested].name] != report.Valid {
		t.Errorf("%v", verdicts)
	}
	// A countersignature takes a time-stamp of its own.
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	stamped, err := AddTimeStamp(message, newToken(t, ca, counters[nested].signature, nil))
	if err != nil {
		t.Fatal(err)
	}
	with := policy
	with.Trust = trust.New(append(slices.Clone(anchors), ca.Certificate), nil)
	stamps := 0
	for _, s := range mustVerify(t, stamped, with).Signatures {
		if s.Verdict() != report.Valid {
			t.Errorf("%s: %+v", s.Name, s.Checks)
		}
		if len(s.TimeStamps) > 0 && s.Name != "SignerInfo 1" {
			stamps++
		}
	}
	if stamps != 1 {
		t.Errorf("%d countersignatures are stamped", stamps)
	}
	// OpenSSL does not look at them, and is not disturbed either.
	dir := t.TempDir()
	for name, data := range map[string][]byte{"m": message, "c": content, "roots.pem": testpki.PEM(anchors...)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := oracle.OpenSSL(t, nil, "cms", "-verify", "-binary", "-inform", "DER", "-in", filepath.Join(dir, "m"),
		"-content", filepath.Join(dir, "c"), "-CAfile", filepath.Join(dir, "roots.pem")); err != nil {
		t.Error(err)
	}
}

// What a countersignature must not be.
func TestCountersignatureForged(t *testing.T) {
	signers, anchors := people(t)
	content := []byte("text")
	policy := Policy{Trust: trust.New(anchors, nil), Detached: true, Content: content}
	message := signers[0].sign(t, ProfileByName("cades-bes-detached"), Input{Content: content})
	sd := mustParse(t, message)
	add := func(value []byte) []byte {
		return sd.addUnsigned([]int{0}, tlv(tagSequence, encodeOID(oidCountersignature), tlv(tagSet, value)))
	}
	for name, c := range map[string]struct {
		value []byte
		code  report.Code
	}{
		"a signature of the content": {mustParse(t,
			signers[1].sign(t, ProfileByName("cades-bes-detached"), Input{Content: content})).signers[0].raw, report.CMSAttributes},
		"of another's signature": {mustParse(t,
			signers[1].sign(t, Countersignature,
				Input{Content: signers[2].sign(t, ProfileByName("pkcs7-detached"), Input{Content: content})})).signers[0].counters[0].raw,
			report.CMSMessageDigest},
		"of a certificate not there": {mustParse(t,
			signers[1].sign(t, Countersignature, Input{Content: message})).signers[0].counters[0].raw, report.CMSSigner},
		"a SignerInfo signed as data": {mustParse(t,
			signers[1].sign(t, ProfileByName("pkcs7-attached"), Input{Content: sd.signers[0].signature})).signers[0].raw,
			report.CMSAttributes},
	} {
		r := mustVerify(t, add(c.value), policy)
		if r.Verdict() != report.Invalid || len(r.Signatures) != 2 || r.Signatures[0].Verdict() != report.Valid ||
			!failed(r.Signatures[1].Checks, c.code) {
			t.Errorf("%s: %s, %+v", name, r.Verdict(), r.Failures())
		}
	}
	for name, value := range map[string][]byte{"no SignerInfo": {5, 0}, "empty": {tagSequence, 0}} {
		var e *report.Error
		if _, err := Verify(add(value), policy); !errors.As(err, &e) || e.Code != report.CMSSyntax {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Countersignatures count as signers.
	limited := policy
	limited.Limits.Signers = 1
	var e *report.Error
	if _, err := Verify(signers[1].sign(t, Countersignature, Input{Content: message}), limited); !errors.As(err, &e) ||
		e.Code != report.CMSLimit {
		t.Errorf("more signers than the limit: %v", err)
	}
}

// FuzzAssemble: a message taken apart and put together again says what it said, with the same octets in its signers.
func FuzzAssemble(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.message(f))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		policy := Policy{Time: time.Unix(vectors.Time, 0), Limits: Limits{Size: 1 << 16, Signers: 4}}
		want, err := Verify(message, policy)
		if err != nil {
			return
		}
		sd := mustParse(t, message)
		again := sd.assembly().message(nil)
		got, err := Verify(again, policy)
		if err != nil {
			t.Fatal(err)
		}
		if got.Integrity() != want.Integrity() || len(got.Signatures) != len(want.Signatures) {
			// An element that comes twice in a SET is written once.
			if twice := slices.ContainsFunc(sd.signers[:max(len(sd.signers)-1, 0)], func(s signerInfo) bool {
				return bytes.Equal(s.raw, sd.signers[len(sd.signers)-1].raw)
			}); !twice && len(sd.signers) < 3 {
				t.Fatalf("%s of %d became %s of %d", want.Integrity(), len(want.Signatures), got.Integrity(), len(got.Signatures))
			}
		}
		for i := range sd.signers {
			if !bytes.Contains(again, sd.signers[i].raw) {
				t.Fatalf("signer %d has not kept its octets", i)
			}
		}
	})
}
