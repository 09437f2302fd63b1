package signer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

func TestSignAndVerify(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	plain := []byte("<doc><id>8c1c</id></doc>")
	for _, tc := range []struct {
		profile, key, version string
		document              []byte
	}{
		{"smev3", "keys/EXMP01/ov", "keys/EXMP01/ov/versions/2", unsigned()},
		{"smev3", "keys/EXMP01/ov/versions/1", "keys/EXMP01/ov/versions/1", unsigned()},
		{"smev3", "keys/EXMP01/big", "keys/EXMP01/big/versions/1", unsigned()},
		{"enveloped", "keys/EXMP01/ov", "keys/EXMP01/ov/versions/2", plain},
		{"xades-bes", "keys/EXMP01/big", "keys/EXMP01/big/versions/1", plain},
	} {
		t.Run(tc.profile+" "+tc.key, func(t *testing.T) {
			out, err := w.SignXML(ctx, w.admin, SignXMLRequest{Key: tc.key, Profile: tc.profile, Document: tc.document})
			if err != nil {
				t.Fatal(err)
			}
			key, _ := w.ring.Key(tc.version)
			if out.Key != tc.version || out.Fingerprint != fingerprint(key.Certificate()) || len(out.Fingerprint) != 64 {
				t.Errorf("signed by %s, %s", out.Key, out.Fingerprint)
			}
			r, err := w.VerifyXML(ctx, w.admin, VerifyXMLRequest{Document: out.Bytes, Profile: tc.profile})
			if err != nil || r.Verdict() != report.Valid {
				t.Fatalf("verdict %v, error %v, %v", r.Verdict(), err, r.Failures())
			}
			r, err = w.VerifyXML(ctx, w.admin, VerifyXMLRequest{Document: bytes.Replace(out.Bytes, []byte("8c1c"), []byte("8c1d"), 1)})
			if err != nil || r.Verdict() != report.Invalid {
				t.Errorf("a changed document: %v, %v", r.Verdict(), err)
			}
		})
	}
	content := []byte("content")
	h := gost.Streebog256.New()
	h.Write(content)
	for _, tc := range []SignCMSRequest{
		{Profile: "pkcs7-detached", Content: content},
		{Profile: "pkcs7-detached", ByDigest: true, Digest: h.Sum(nil)},
		{Profile: "pkcs7-attached", Content: content},
		{Profile: "cades-bes-detached", Content: content},
	} {
		tc.Key = "keys/EXMP01/ov"
		out, err := w.SignCMS(ctx, w.admin, tc)
		if err != nil {
			t.Fatal(tc.Profile, err)
		}
		req := VerifyCMSRequest{Message: out.Bytes}
		if strings.HasSuffix(tc.Profile, "detached") {
			req.Detached, req.Content = true, content
		}
		r, err := w.VerifyCMS(ctx, w.admin, req)
		if err != nil || r.Verdict() != report.Valid {
			t.Errorf("%s: verdict %v, error %v", tc.Profile, r.Verdict(), err)
		}
	}
	out, err := w.SignDigest(ctx, w.admin, SignDigestRequest{Key: "keys/EXMP01/bare", Digest: h.Sum(nil), DigestAlgorithm: "streebog256"})
	if err != nil || out.Fingerprint != "" || out.Algorithm != "gost2012-256" {
		t.Fatal(out, err)
	}
	if out.Timings != (Timings{}) {
		t.Errorf("timings %+v of a key that says none", out.Timings)
	}
	key, _ := w.ring.Key(out.Key)
	took := Timings{Token: "main", Queue: 1, Sign: 2, Verify: 3, Retried: true}
	key.(*softKey).took = took
	out, err = w.SignDigest(ctx, w.admin, SignDigestRequest{Key: "keys/EXMP01/bare", Digest: h.Sum(nil), DigestAlgorithm: "streebog256"})
	if err != nil || out.Timings != took {
		t.Errorf("timings %+v, error %v", out.Timings, err)
	}
	if err := key.Public().Verify(h.Sum(nil), out.Bytes); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t,
		party{name: "gateway", san: "gw.example.ru", grants: []Grant{
			{Keys: []string{"keys/EXMP01/*"}, Operations: []Operation{OpSignXML, OpSignCMS}},
		}},
		party{name: "idle", san: "idle.example.ru"})
	gateway, idle := w.caller(t, "gw.example.ru"), w.caller(t, "idle.example.ru")
	digest := make([]byte, 32)
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	xml := func(ctx context.Context, c *Caller, key, profile string, document []byte) func() error {
		return func() error {
			_, err := w.SignXML(ctx, c, SignXMLRequest{Key: key, Profile: profile, Document: document})
			return err
		}
	}
	cms := func(c *Caller, r SignCMSRequest) func() error {
		return func() error { _, err := w.SignCMS(t.Context(), c, r); return err }
	}
	bareDigest := func(c *Caller, key, algorithm string, digest []byte) func() error {
		return func() error {
			_, err := w.SignDigest(t.Context(), c, SignDigestRequest{Key: key, Digest: digest, DigestAlgorithm: algorithm})
			return err
		}
	}
	ctx, doc := t.Context(), unsigned()
	for _, tc := range []struct {
		name string
		do   func() error
		want report.Code
	}{
		{"nobody", xml(ctx, nil, "keys/EXMP01/ov", "smev3", doc), report.AccessDenied},
		{"no grants", xml(ctx, idle, "keys/EXMP01/ov", "smev3", doc), report.AccessDenied},
		{"other system", xml(ctx, gateway, "keys/OTHER1/ov", "smev3", doc), report.AccessDenied},
		{"other system, no such key", xml(ctx, gateway, "keys/OTHER1/nothing", "smev3", doc), report.AccessDenied},
		{"no such key", xml(ctx, gateway, "keys/EXMP01/nothing", "smev3", doc), report.KeyUnknown},
		{"no such version", xml(ctx, gateway, "keys/EXMP01/ov/versions/9", "smev3", doc), report.KeyUnknown},
		{"not a key", xml(ctx, gateway, "ov", "smev3", doc), report.RequestInvalid},
		{"not a key, no right", bareDigest(gateway, "ov", "streebog256", digest), report.AccessDenied},
		{"access before parsing", xml(ctx, idle, "keys/EXMP01/ov", "smev3", []byte("<")), report.AccessDenied},
		{"no such profile", xml(ctx, gateway, "keys/EXMP01/ov", "smev4", doc), report.RequestInvalid},
		{"no profile", xml(ctx, gateway, "keys/EXMP01/ov", "", doc), report.RequestInvalid},
		{"no document", xml(ctx, gateway, "keys/EXMP01/ov", "smev3", nil), report.RequestInvalid},
		{"not XML", xml(ctx, gateway, "keys/EXMP01/ov", "smev3", []byte("<a><b></a>")), report.XMLSyntax},
		{"DTD", xml(ctx, gateway, "keys/EXMP01/ov", "smev3", []byte("<!DOCTYPE a><a/>")), report.XMLDoctype},
		{"too large", xml(ctx, gateway, "keys/EXMP01/ov", "smev3", make([]byte, 1<<20+1)), report.XMLLimit},
		{"no target", xml(ctx, gateway, "keys/EXMP01/ov", "smev3", []byte("<a/>")), report.TargetMissing},
		{"no certificate", xml(ctx, gateway, "keys/EXMP01/bare", "smev3", doc), report.KeyUnusable},
		{"certificate over", xml(ctx, gateway, "keys/EXMP01/old", "smev3", doc), report.CertTime},
		{"certificate not begun", xml(ctx, gateway, "keys/EXMP01/early", "smev3", doc), report.CertTime},
		{"certificate not for signing", xml(ctx, gateway, "keys/EXMP01/tls", "smev3", doc), report.CertUsage},
		{"2001 key", xml(ctx, gateway, "keys/EXMP01/past", "smev3", doc), report.KeyUnusable},
		{"deadline", xml(over, gateway, "keys/EXMP01/ov", "smev3", doc), report.Deadline},
		{"digest without the right", bareDigest(gateway, "keys/EXMP01/ov", "streebog256", digest), report.AccessDenied},
		{"CMS digest without the right", cms(gateway, SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached",
			ByDigest: true, Digest: digest}), report.AccessDenied},
		{"CMS digest of wrong length", cms(w.admin, SignCMSRequest{Key: "keys/EXMP01/big", Profile: "pkcs7-detached",
			ByDigest: true, Digest: digest}), report.RequestInvalid},
		{"CMS digest, attached", cms(w.admin, SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached",
			ByDigest: true, Digest: digest}), report.RequestInvalid},
		{"CMS profile", cms(gateway, SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "smev3"}), report.RequestInvalid},
		{"CMS too large", cms(gateway, SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached",
			Content: make([]byte, 1<<20+1)}), report.CMSLimit},
		{"digest of wrong length", bareDigest(w.admin, "keys/EXMP01/ov", "streebog256", digest[1:]), report.RequestInvalid},
		{"digest of another algorithm", bareDigest(w.admin, "keys/EXMP01/ov", "streebog512", make([]byte, 64)), report.RequestInvalid},
		{"verify without the right", func() error {
			_, err := w.VerifyXML(ctx, gateway, VerifyXMLRequest{Document: doc})
			return err
		}, report.AccessDenied},
		{"verify what is not XML", func() error {
			_, err := w.VerifyXML(ctx, w.admin, VerifyXMLRequest{Document: []byte("{}")})
			return err
		}, report.XMLSyntax},
		{"verify what is not CMS", func() error {
			_, err := w.VerifyCMS(ctx, w.admin, VerifyCMSRequest{Message: []byte("{}")})
			return err
		}, report.CMSSyntax},
		{"verify with a broken certificate", func() error {
			_, err := w.VerifyCMS(ctx, w.admin, VerifyCMSRequest{Message: []byte("{}"), Certificates: [][]byte{{1}}})
			return err
		}, report.CertSyntax},
		{"list without the right", func() error { _, err := w.ListKeys(ctx, gateway); return err }, report.AccessDenied},
		{"get without the right", func() error { _, err := w.GetKey(ctx, gateway, "keys/EXMP01/ov"); return err }, report.AccessDenied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := code(tc.do()); got != string(tc.want) {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	for _, k := range w.ring {
		if k.count > 0 {
			t.Errorf("%s was asked to sign", k.name)
		}
	}
}

// Who may not use a key cannot tell from the answer whether it exists.
func TestNoOracle(t *testing.T) {
	w := newWorld(t, party{name: "idle", san: "idle.example.ru"})
	idle := w.caller(t, "idle.example.ru")
	ask := func(name string) string {
		_, err := w.SignXML(t.Context(), idle, SignXMLRequest{Key: name, Profile: "smev3", Document: unsigned()})
		return strings.ReplaceAll(err.Error(), name, "NAME")
	}
	if a, b := ask("keys/EXMP01/ov"), ask("keys/EXMP01/nothing"); a != b {
		t.Errorf("%q differs from %q", a, b)
	}
}

func TestTokenErrors(t *testing.T) {
	w := newWorld(t)
	away := report.Errorf(report.TokenAway, report.Place{}, "away")
	for _, tc := range []struct {
		fail error
		want report.Code
	}{
		{away, report.TokenAway},
		{errors.New("CKR_DEVICE_ERROR"), report.Internal},
		{context.DeadlineExceeded, report.Deadline},
	} {
		w.ring[1].fail = tc.fail
		out, err := w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()})
		if code(err) != string(tc.want) || out.Bytes != nil {
			t.Errorf("%v: got %s with %d bytes", tc.fail, code(err), len(out.Bytes))
		}
	}
}

// A value that is not the key's signature over what was asked for never leaves, neither in a message nor alone.
func TestWrongSignature(t *testing.T) {
	w := newWorld(t)
	right := w.ring[1]
	other, _ := w.ca.NewSigner(t, gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	wrong := &liar{softKey: right}
	w.keys = ringOf{wrong}
	for name, lie := range map[string]func(digest []byte) (gost.Verified, error){
		"of another key":      func(digest []byte) (gost.Verified, error) { return testpki.Sign(other, digest) },
		"over another digest": func([]byte) (gost.Verified, error) { return testpki.Sign(right.key, make([]byte, 32)) },
		"none at all":         func([]byte) (gost.Verified, error) { return gost.Verified{}, nil },
	} {
		wrong.lie = lie
		digest := bytes.Repeat([]byte{7}, 32)
		for _, ask := range []func() (Signed, error){
			func() (Signed, error) {
				return w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: wrong.Name(), Profile: "smev3", Document: unsigned()})
			},
			func() (Signed, error) {
				return w.SignCMS(t.Context(), w.admin, SignCMSRequest{Key: wrong.Name(), Profile: "pkcs7-detached", Content: digest})
			},
			func() (Signed, error) {
				return w.SignDigest(t.Context(), w.admin,
					SignDigestRequest{Key: wrong.Name(), Digest: digest, DigestAlgorithm: "streebog256"})
			},
		} {
			if out, err := ask(); code(err) != string(report.Internal) || out.Bytes != nil {
				t.Errorf("%s: %v with %d bytes", name, err, len(out.Bytes))
			}
		}
		message := &bytes.Buffer{}
		_, err := w.SignCMSStream(t.Context(), w.admin,
			SignCMSStreamRequest{Key: wrong.Name(), Profile: "pkcs7-detached", Size: UnknownSize},
			bytes.NewReader(digest), message)
		if code(err) != string(report.Internal) || message.Len() > 0 {
			t.Errorf("%s, in a stream: %v with %d bytes", name, err, message.Len())
		}
	}
	wrong.name = "keys/EXMP01/another/versions/1"
	_, err := w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()})
	if code(err) != string(report.Internal) {
		t.Errorf("a ring that answers with another key: %v", err)
	}
}

type liar struct {
	*softKey
	lie func(digest []byte) (gost.Verified, error)
}

func (l *liar) SignDigest(_ context.Context, digest []byte, _ Flow) (gost.Verified, error) {
	return l.lie(digest)
}

type ringOf []Key

func (r ringOf) Key(string) (Key, error) { return r[0], nil }
func (r ringOf) Keys() []Key             { return r }

func TestRecords(t *testing.T) {
	w := newWorld(t)
	secret := "8c1c0a10-f1ee-11f0-8a5e-0242ac120002"
	if _, err := w.SignXML(t.Context(), w.admin,
		SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()}); err != nil {
		t.Fatal(err)
	}
	_, err := w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: "keys/EXMP01/old", Profile: "smev3", Document: unsigned()})
	if err == nil {
		t.Fatal("signed with an expired certificate")
	}
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d records of two requests:\n%s", len(lines), w.log)
	}
	for i, want := range [][]string{
		{"level=DEBUG", "caller=admin", "operation=sign-xml", "key=keys/EXMP01/ov/versions/2", "profile=smev3", "outcome=signed", "digest=",
			"signature_streebog256=", "duration="},
		{"level=WARN", "caller=admin", "key=keys/EXMP01/old/versions/1", "outcome=certificate.time"},
	} {
		for _, s := range want {
			if !strings.Contains(lines[i], s) {
				t.Errorf("record lacks %q: %s", s, lines[i])
			}
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("a record holds payload")
	}
}

func TestKeys(t *testing.T) {
	w := newWorld(t, party{name: "inventory", san: "inv.example.ru", grants: []Grant{
		{Keys: []string{"keys/OTHER1/ov"}, Operations: []Operation{OpList}},
	}})
	inventory := w.caller(t, "inv.example.ru")
	if keys, err := w.ListKeys(t.Context(), inventory); err != nil || len(keys) != 1 || keys[0].Key.Name() != "keys/OTHER1/ov/versions/1" ||
		!keys[0].Primary || keys[0].Unusable != nil {
		t.Errorf("%v %v", keys, err)
	}
	if _, err := w.GetKey(t.Context(), inventory, "keys/EXMP01/ov"); code(err) != string(report.AccessDenied) {
		t.Error(err)
	}
	keys, err := w.ListKeys(t.Context(), w.admin)
	if err != nil || len(keys) != len(w.ring) {
		t.Fatal(len(keys), err)
	}
	if keys[0].Primary || !keys[1].Primary {
		t.Error("version 2 is the primary")
	}
	if keys[3].Unusable == nil || keys[3].Unusable.Code != report.KeyUnusable || keys[4].Unusable.Code != report.CertTime {
		t.Error("a key without certificate, or with an expired one, is called usable")
	}
	w.ring[8].away = report.Errorf(report.TokenAway, report.Place{}, "away")
	k, err := w.GetKey(t.Context(), w.admin, "keys/OTHER1/ov")
	if err != nil || k.Unusable == nil || k.Unusable.Code != report.TokenAway {
		t.Error(k.Unusable, err)
	}
}

// The messages that others made get the verdicts the vectors give, through the service.
func TestVerifyVectors(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		file string
		want report.Verdict
	}{
		{"smev-messages/made/smev3-ack.xml", report.Valid},
		{"smev-messages/made/smev2-ov-256u.xml", report.Valid},
		{"smev-messages/made/bad-smev3-content-changed.xml", report.Invalid},
		{"smev-messages/made/bad-smev2-wrapped-body.xml", report.Invalid},
	} {
		r, err := w.VerifyXML(t.Context(), w.admin, VerifyXMLRequest{Document: vectors.Read(t, tc.file)})
		if err != nil || r.Integrity() != tc.want {
			t.Errorf("%s: %v, %v", tc.file, r.Integrity(), err)
		}
	}
}

// TestVerifyAsSMEV: a signature of SMEV itself is valid only by those configured as SMEV.
func TestVerifyAsSMEV(t *testing.T) {
	w := newWorld(t)
	at := time.Unix(vectors.Time, 0)
	read := func(name string) []*gost.Certificate {
		certificates, err := gost.ParseCertificates(vectors.Read(t, "gost/certs/2012-256-cpXA/"+name))
		if err != nil {
			t.Fatal(err)
		}
		return certificates
	}
	everyone := trust.New(read("root.pem"), read("int.pem"))
	for name, c := range map[string]struct {
		smev *trust.Store
		want report.Verdict
	}{
		"not configured": {nil, report.Indeterminate},
		"its own":        {trust.New(read("leaf.pem"), nil), report.Valid},
		"another":        {trust.New([]*gost.Certificate{w.ca.Certificate}, nil), report.Invalid},
	} {
		s, err := New(Config{Keys: w.ring, Access: w.Access(), Trust: everyone, SMEV: c.smev, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.VerifyXML(t.Context(), w.admin, VerifyXMLRequest{
			Document: vectors.Read(t, "smev-messages/made/smev3-received-request.xml"), Time: at})
		if err != nil || r.Verdict() != c.want || r.Integrity() != report.Valid {
			t.Errorf("%s: %v, %v, want %v", name, err, r.Verdict(), c.want)
		}
	}
}
