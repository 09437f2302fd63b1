package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

func list(tb testing.TB, source string, der []byte) trust.List {
	tb.Helper()
	l, err := gost.ParseRevocationList(der)
	if err != nil {
		tb.Fatal(err)
	}
	return trust.List{RevocationList: l, Source: source}
}

func response(tb testing.TB, source string, der []byte) trust.Response {
	tb.Helper()
	r, err := gost.ParseOCSPResponse(der)
	if err != nil {
		tb.Fatal(err)
	}
	return trust.Response{OCSPResponse: r, Source: source}
}

// bad lists what did not pass, and the messages about revocation.
func bad(j trust.Judgement) (codes []report.Code, messages string) {
	for _, c := range j.Checks {
		if c.Status != report.Passed {
			codes = append(codes, c.Code)
		}
		if c.Code == report.CertRevoked || c.Code == report.CertRevocation || c.Status != report.Passed {
			messages += c.Message + "\n"
		}
	}
	return codes, messages
}

// world is a root that issues signers, and what is known of them.
type world struct {
	*testing.T
	root *testpki.CA
	leaf *gost.Certificate
	data
}

func newWorld(t *testing.T, template testpki.Template) *world {
	root := testpki.NewCA(t, gost.GOST2012_256, params).NewIntermediate(t, gost.GOST2012_256, params,
		testpki.Template{NotBefore: time.Now().AddDate(-1, 0, 0)})
	w := &world{T: t, root: root}
	_, w.leaf = w.root.NewSigner(t, gost.GOST2012_256, params, template)
	return w
}

func (w *world) crl(t testpki.CRL) { w.lists = append(w.lists, list(w, "crl", w.root.NewCRL(w, t))) }

func (w *world) judge(policy trust.Policy, at time.Time) trust.Judgement {
	return trust.NewStore(trust.Config{
		Certificates: trust.Certificates{Anchors: certs(w.root.Certificate)}, Policy: policy, Revocations: &w.data,
	}).Check(w.leaf, nil, at)
}

const url = "http://ca.example.ru/1.crl"

func TestLists(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d).Truncate(time.Second) }
	required := trust.Policy{Revocation: trust.RevocationRequired}
	unknown, revoked := []report.Code{report.CertRevocation}, []report.Code{report.CertRevoked}
	entry := func(w *world, more func(*testpki.Revocation)) []testpki.Revocation {
		r := testpki.Revocation{Serial: w.leaf.Serial, At: ago(time.Hour)}
		if more != nil {
			more(&r)
		}
		return []testpki.Revocation{r}
	}
	for _, tc := range []struct {
		name     string
		template testpki.Template
		know     func(w *world)
		policy   trust.Policy
		at       time.Time
		want     []report.Code
		message  string
	}{
		{name: "nothing known", policy: required, want: unknown, message: "no CRL and no OCSP response"},
		{name: "nothing known, nothing demanded", policy: trust.Policy{Revocation: trust.RevocationIfAvailable},
			message: "does not demand it"},
		{name: "good", know: func(w *world) { w.crl(testpki.CRL{}) }, policy: required, message: "known from fresh evidence"},
		{name: "revoked", know: func(w *world) { w.crl(testpki.CRL{Revoked: entry(w, nil)}) }, policy: required, want: revoked},
		{name: "revoked, nothing demanded", know: func(w *world) { w.crl(testpki.CRL{Revoked: entry(w, nil)}) },
			policy: trust.Policy{Revocation: trust.RevocationIfAvailable}, want: revoked},
		{name: "revoked and why", know: func(w *world) {
			w.crl(testpki.CRL{Revoked: entry(w, func(r *testpki.Revocation) { r.Reason = 1 })})
		}, policy: required, want: revoked, message: "(keyCompromise)"},
		{name: "another is revoked", know: func(w *world) {
			w.crl(testpki.CRL{Revoked: []testpki.Revocation{{Serial: big.NewInt(1)},
				{Serial: new(big.Int).Add(w.leaf.Serial, big.NewInt(1))}}})
		}, policy: required},
		{name: "revoked after the signature", know: func(w *world) { w.crl(testpki.CRL{Revoked: entry(w, nil)}) },
			template: testpki.Template{NotBefore: ago(48 * time.Hour)}, policy: required, at: ago(2 * time.Hour)},
		{name: "invalid before the signature, revoked after it", know: func(w *world) {
			w.crl(testpki.CRL{Revoked: entry(w, func(r *testpki.Revocation) {
				r.Extensions = []gost.Extension{testpki.InvalidityDate(ago(3 * time.Hour))}
			})})
		}, template: testpki.Template{NotBefore: ago(48 * time.Hour)}, policy: required, at: ago(2 * time.Hour), want: revoked},
		{name: "on hold", know: func(w *world) {
			w.crl(testpki.CRL{Revoked: entry(w, func(r *testpki.Revocation) { r.Reason = 6 })})
		}, policy: required, want: revoked, message: "certificateHold"},
		{name: "was on hold by an old list", know: func(w *world) {
			w.crl(testpki.CRL{ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(24 * time.Hour),
				Revoked: entry(w, func(r *testpki.Revocation) { r.Reason, r.At = 6, ago(50*time.Hour) })})
			w.crl(testpki.CRL{Number: 2})
		}, policy: required},
		{name: "revoked by an old list", know: func(w *world) {
			w.crl(testpki.CRL{ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(24 * time.Hour),
				Revoked: entry(w, func(r *testpki.Revocation) { r.At = ago(50 * time.Hour) })})
		}, policy: trust.Policy{Revocation: trust.RevocationIfAvailable}, want: revoked},
		{name: "out of date", know: func(w *world) { w.crl(testpki.CRL{ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(time.Hour)}) },
			policy: required, want: unknown, message: "out of date"},
		{name: "out of date, within grace",
			know:   func(w *world) { w.crl(testpki.CRL{ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(time.Hour)}) },
			policy: trust.Policy{Revocation: trust.RevocationRequired, Grace: 2 * time.Hour}},
		{name: "older than the budget", know: func(w *world) { w.crl(testpki.CRL{ThisUpdate: ago(10 * time.Hour)}) },
			policy: trust.Policy{Revocation: trust.RevocationRequired, Freshness: 9 * time.Hour}, want: unknown, message: "older than 9h"},
		{name: "from the future", know: func(w *world) { w.crl(testpki.CRL{ThisUpdate: now.Add(time.Hour)}) },
			policy: required, want: unknown,
			message: "from the future"},
		{name: "made after the certificate expired", know: func(w *world) { w.crl(testpki.CRL{}) },
			template: testpki.Template{NotBefore: ago(48 * time.Hour), NotAfter: ago(10 * time.Hour)}, at: ago(20 * time.Hour),
			policy: required, want: unknown, message: "after the certificate had expired"},
		{name: "for users", know: func(w *world) { w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint("", 1)}}) },
			policy: required},
		{name: "for CAs", know: func(w *world) { w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint("", 2)}}) },
			policy: required, want: unknown},
		{name: "indirect", know: func(w *world) { w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint("", 4)}}) },
			policy: required,
			want:   unknown, message: "indirect CRL"},
		{name: "of its distribution point", template: testpki.Template{Extensions: []gost.Extension{testpki.DistributionPoints(url)}},
			know: func(w *world) { w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint(url, 0)}}) }, policy: required},
		{name: "of another distribution point", template: testpki.Template{Extensions: []gost.Extension{testpki.DistributionPoints(url)}},
			know:   func(w *world) { w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint(url+"2", 0)}}) },
			policy: required, want: unknown},
		{name: "a distribution point, and the certificate has none",
			know:   func(w *world) { w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint(url, 0)}}) },
			policy: required, want: unknown},
		{name: "removeFromCRL outside a delta", know: func(w *world) {
			w.crl(testpki.CRL{Revoked: entry(w, func(r *testpki.Revocation) { r.Reason = 8 })})
		}, policy: required, want: unknown, message: "belongs into a delta"},
		{name: "a delta alone", know: func(w *world) { w.crl(testpki.CRL{Base: 1, Number: 2}) }, policy: required, want: unknown},
		{name: "a delta revokes", know: func(w *world) {
			w.crl(testpki.CRL{Number: 1, ThisUpdate: ago(2 * time.Hour)})
			w.crl(testpki.CRL{Base: 1, Number: 2, Revoked: entry(w, nil)})
		}, policy: required, want: revoked},
		{name: "a delta of a later base revokes", know: func(w *world) {
			w.crl(testpki.CRL{Number: 1, ThisUpdate: ago(2 * time.Hour)})
			w.crl(testpki.CRL{Base: 2, Number: 3, Revoked: entry(w, nil)})
		}, policy: required, want: revoked},
		{name: "a delta of a later base holds", know: func(w *world) {
			w.crl(testpki.CRL{Number: 1, ThisUpdate: ago(2 * time.Hour)})
			w.crl(testpki.CRL{Base: 2, Number: 3, Revoked: entry(w, func(r *testpki.Revocation) { r.Reason = 6 })})
		}, policy: required, want: revoked},
		{name: "a delta keeps an old base fresh", know: func(w *world) {
			w.crl(testpki.CRL{Number: 1, ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(time.Hour)})
			w.crl(testpki.CRL{Base: 1, Number: 2})
		}, policy: required},
		{name: "a delta of a later base", know: func(w *world) {
			w.crl(testpki.CRL{Number: 1, ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(time.Hour)})
			w.crl(testpki.CRL{Base: 2, Number: 3})
		}, policy: required, want: unknown},
		{name: "a delta releases from hold", know: func(w *world) {
			w.crl(testpki.CRL{Number: 1, ThisUpdate: ago(48 * time.Hour), NextUpdate: ago(time.Hour),
				Revoked: entry(w, func(r *testpki.Revocation) { r.Reason, r.At = 6, ago(50*time.Hour) })})
			w.crl(testpki.CRL{Base: 1, Number: 2, Revoked: entry(w, func(r *testpki.Revocation) { r.Reason = 8 })})
		}, policy: required},
		{name: "an entry with an unknown critical extension", know: func(w *world) {
			w.crl(testpki.CRL{Revoked: []testpki.Revocation{{Serial: big.NewInt(1),
				Extensions: []gost.Extension{{OID: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}}}})
		}, policy: required, want: unknown, message: "not understood"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, tc.template)
			if tc.know != nil {
				tc.know(w)
			}
			at := tc.at
			if at.IsZero() {
				at = now
			}
			j := w.judge(tc.policy, at)
			codes, messages := bad(j)
			if i := slices.Index(codes, report.CertPath); i >= 0 {
				t.Fatalf("no path: %s", messages)
			}
			if !slices.Equal(codes, tc.want) || !strings.Contains(messages, tc.message) {
				t.Errorf("%v: %q; want %v: %q", codes, messages, tc.want, tc.message)
			}
			seen := j.Evidence.Path[0].Revocation
			if known := !slices.Equal(tc.want, unknown) && !strings.Contains(messages, "is not known"); known != (seen != nil) {
				t.Errorf("evidence %+v", seen)
			}
			if seen != nil && (seen.Source != "crl" || seen.ThisUpdate.IsZero() || seen.Revoked != slices.Equal(tc.want, revoked)) {
				t.Errorf("evidence %+v", seen)
			}
		})
	}
}

// TestForeignList: a list of another CA of the same name says nothing.
func TestForeignList(t *testing.T) {
	w := newWorld(t, testpki.Template{})
	other := newWorld(t, testpki.Template{}).root
	w.lists = append(w.lists, list(t, "foreign", other.NewCRL(t, testpki.CRL{Revoked: []testpki.Revocation{{Serial: w.leaf.Serial}}})))
	codes, messages := bad(w.judge(trust.Policy{Revocation: trust.RevocationRequired}, time.Now()))
	if !slices.Equal(codes, []report.Code{report.CertRevocation}) || !strings.Contains(messages, "does not verify") {
		t.Errorf("%v: %s", codes, messages)
	}
}

func purposes(oids ...asn1.ObjectIdentifier) gost.Extension {
	der, err := asn1.Marshal(oids)
	if err != nil {
		panic(err)
	}
	return gost.Extension{OID: []int{2, 5, 29, 37}, Critical: true, Value: der}
}

var ocspSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}

func TestResponses(t *testing.T) {
	now := time.Now()
	w := newWorld(t, testpki.Template{})
	root := w.root
	delegate := func(by *testpki.CA, extensions ...gost.Extension) *testpki.CA {
		key, c := by.NewSigner(t, gost.GOST2012_512, "tc26-512-A", testpki.Template{CommonName: "OCSP", Extensions: extensions})
		return &testpki.CA{Key: key, Certificate: c}
	}
	noCheck := gost.Extension{OID: []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}
	good, plain := delegate(root, purposes(ocspSigning), noCheck), delegate(root)
	foreign := delegate(newWorld(t, testpki.Template{}).root, purposes(ocspSigning), noCheck)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mixed := root.NewOther(t, rsaKey,
		testpki.Template{CommonName: "OCSP RSA", Extensions: []gost.Extension{purposes(ocspSigning), noCheck}})
	from := func(ca *testpki.CA, o testpki.OCSP) []byte {
		o.Issuer = root.Certificate
		if o.Serial == nil {
			o.Serial = w.leaf.Serial
		}
		if ca != root {
			o.Certificates = certs(ca.Certificate)
		}
		return ca.NewOCSP(t, o)
	}
	unknown, revoked := []report.Code{report.CertRevocation}, []report.Code{report.CertRevoked}
	for _, tc := range []struct {
		name    string
		der     []byte
		crl     bool // that revokes the responder without nocheck
		want    []report.Code
		message string
	}{
		{name: "good by the issuer", der: from(root, testpki.OCSP{})},
		{name: "good by the issuer, by name", der: from(root, testpki.OCSP{ByName: true})},
		{name: "revoked", der: from(root, testpki.OCSP{RevokedAt: now.Add(-time.Hour)}), want: revoked},
		{name: "revoked later", der: from(root, testpki.OCSP{RevokedAt: now.Add(time.Hour)})},
		{name: "unknown", der: from(root, testpki.OCSP{Unknown: true}), want: unknown, message: "does not know"},
		{name: "about another", der: from(root, testpki.OCSP{Serial: big.NewInt(5)}), want: unknown},
		{name: "delegated", der: from(good, testpki.OCSP{})},
		{name: "delegated, by name", der: from(good, testpki.OCSP{ByName: true})},
		{name: "delegated to RSA", der: from(mixed, testpki.OCSP{})},
		{name: "delegated to RSA, revoked", der: from(mixed, testpki.OCSP{RevokedAt: now.Add(-time.Hour)}), want: revoked},
		{name: "not for OCSP", der: from(plain, testpki.OCSP{RevokedAt: now}), want: unknown, message: "not for OCSP"},
		{name: "of another issuer", der: from(foreign, testpki.OCSP{}), want: unknown, message: "does not"},
		{name: "out of date", der: from(root, testpki.OCSP{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Hour)}),
			want: unknown, message: "out of date"},
		{name: "from the future", der: from(root, testpki.OCSP{ThisUpdate: now.Add(time.Hour), NextUpdate: now.Add(2 * time.Hour)}),
			want: unknown, message: "from the future"},
	} {
		w.responses = []trust.Response{response(t, "ocsp", tc.der)}
		j := w.judge(trust.Policy{Revocation: trust.RevocationRequired}, now)
		codes, messages := bad(j)
		if !slices.Equal(codes, tc.want) || !strings.Contains(messages, tc.message) {
			t.Errorf("%s: %v: %s", tc.name, codes, messages)
		}
		if seen := j.Evidence.Path[0].Revocation; (seen == nil) != slices.Equal(tc.want, unknown) || seen != nil && seen.Kind != "ocsp" {
			t.Errorf("%s: evidence %+v", tc.name, seen)
		}
	}
	// A responder that may be revoked, and is.
	checked := delegate(root, purposes(ocspSigning))
	w.responses = []trust.Response{response(t, "ocsp", from(checked, testpki.OCSP{}))}
	if codes, messages := bad(w.judge(trust.Policy{Revocation: trust.RevocationRequired}, now)); codes != nil {
		t.Errorf("%v: %s", codes, messages)
	}
	w.crl(testpki.CRL{ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: now.Add(-time.Hour),
		Revoked: []testpki.Revocation{{Serial: checked.Certificate.Serial, At: now.Add(-3 * time.Hour)}}})
	if codes, messages := bad(w.judge(trust.Policy{Revocation: trust.RevocationRequired}, now)); !slices.Equal(codes, unknown) ||
		!strings.Contains(messages, "responder was revoked") {
		t.Errorf("%v: %s", codes, messages)
	}
}

// TestBackdated: when a response was produced is its responder's own word, which a leaked key gives as it likes.
func TestBackdated(t *testing.T) {
	now := time.Now()
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	unknown := []report.Code{report.CertRevocation}
	for _, tc := range []struct {
		name            string
		ended, revoked  bool // the responder's certificate
		noCheck         bool
		at              int
		produced, until int
		this            int
		want            []report.Code
	}{
		{name: "as it should be", produced: -3, this: -3, until: 1},
		{name: "of a time after it was produced", produced: -3, this: 0, until: 1, want: unknown},
		{name: "a certificate that has ended", ended: true, produced: -3, this: -3, until: 1, want: unknown},
		{name: "a certificate that has ended, and a later time", ended: true, produced: -3, this: 0, until: 1, want: unknown},
		{name: "a certificate that had not ended then", ended: true, produced: -3, this: -3, until: 1, at: -2},
		{name: "a revoked one", revoked: true, produced: -3, this: -3, until: 1, want: unknown},
		{name: "a revoked one that is not to be asked about", revoked: true, noCheck: true, produced: -3, this: -3, until: 1},
		{name: "a revoked one, about the past", revoked: true, produced: -3, this: -3, until: 1, at: -2, want: unknown},
	} {
		w := newWorld(t, testpki.Template{NotBefore: day(-30)})
		template := testpki.Template{CommonName: "OCSP", NotBefore: day(-30),
			Extensions: []gost.Extension{purposes(ocspSigning), testpki.DistributionPoints(url)}}
		if tc.ended {
			template.NotAfter = day(-1)
		}
		if tc.noCheck {
			template.Extensions = append(template.Extensions,
				gost.Extension{OID: []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}})
		}
		key, c := w.root.NewSigner(t, gost.GOST2012_256, params, template)
		if tc.revoked { // in a list that does not tell of the signer
			w.crl(testpki.CRL{Extensions: []gost.Extension{testpki.IssuingPoint(url, 0)},
				Revoked: []testpki.Revocation{{Serial: c.Serial, At: day(-1), Reason: 1}}})
		}
		w.responses = []trust.Response{response(t, "ocsp", (&testpki.CA{Key: key, Certificate: c}).NewOCSP(t, testpki.OCSP{
			Issuer: w.root.Certificate, Serial: w.leaf.Serial, ProducedAt: day(tc.produced),
			ThisUpdate: day(tc.this), NextUpdate: day(tc.until),
			Certificates: certs(c),
		}))}
		if codes, messages := bad(w.judge(trust.Policy{Revocation: trust.RevocationRequired}, day(tc.at))); !slices.Equal(codes, tc.want) {
			t.Errorf("%s: %v: %s", tc.name, codes, messages)
		}
	}
}

// TestMixedChain: RSA and ECDSA keys above a GOST signer, and CRLs of theirs.
func TestMixedChain(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := (*testpki.CA)(nil).NewOther(t, rsaKey, testpki.Template{CommonName: "RSA root", CA: true})
	sub := root.NewOther(t, ecKey, testpki.Template{CommonName: "ECDSA CA", CA: true})
	gostCA := sub.NewIntermediate(t, gost.GOST2012_512, "tc26-512-A", testpki.Template{})
	_, leaf := gostCA.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	d := &data{}
	for _, ca := range []*testpki.CA{root, sub, gostCA} {
		d.lists = append(d.lists, list(t, "crl", ca.NewCRL(t, testpki.CRL{})))
	}
	store := trust.NewStore(trust.Config{
		Certificates: trust.Certificates{Anchors: certs(root.Certificate)},
		Policy:       trust.Policy{Revocation: trust.RevocationRequired}, Revocations: d,
	})
	j := store.Check(leaf, certs(sub.Certificate, gostCA.Certificate), time.Now())
	if codes, messages := bad(j); codes != nil || len(j.Path) != 4 {
		t.Fatalf("%v: %s", codes, messages)
	}
	for i, p := range j.Evidence.Path {
		if p.Anchor != (i == 3) || (p.Revocation == nil) != p.Anchor {
			t.Errorf("evidence %d: %+v", i, p)
		}
	}
	below := root.NewOther(t, weak, testpki.Template{CommonName: "P-224", CA: true})
	_, leaf = below.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	if codes, _ := bad(store.Check(leaf, certs(below.Certificate), time.Now())); !slices.Contains(codes, report.CertPath) {
		t.Error("a weak curve vouches")
	}
	// An RSA key signs no documents, but time-stamps.
	tsa := root.NewOther(t, rsaKey,
		testpki.Template{CommonName: "TSA", Extensions: []gost.Extension{purposes(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8})}})
	q := trust.Question{Certificate: tsa.Certificate, Purpose: trust.TimeStamping, Time: time.Now()}
	if codes, messages := bad(store.Judge(q)); codes != nil {
		t.Errorf("%v: %s", codes, messages)
	}
	q.Purpose = trust.Documents
	if codes, _ := bad(store.Judge(q)); !slices.Equal(codes, []report.Code{report.CertKey}) {
		t.Errorf("an RSA key that signs documents: %v", codes)
	}
}
