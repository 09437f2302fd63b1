package trust_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

const params = "CryptoPro-A"

func certs(list ...*gost.Certificate) []*gost.Certificate { return list }

// pathMessage returns the message of CertPath and whether it passed.
func pathMessage(tb testing.TB, checks []report.Check) (string, report.Status) {
	tb.Helper()
	i := slices.IndexFunc(checks, func(c report.Check) bool { return c.Code == report.CertPath })
	if i < 0 {
		tb.Fatal("no check of the path")
	}
	return checks[i].Message, checks[i].Status
}

// TestBrokenLink: the message names the link that broke and the reason.
func TestBrokenLink(t *testing.T) {
	var index index
	vectors.JSON(t, "gost/certs/index.json", &index)
	want := map[int]string{
		6:  "has expired at",
		7:  "lacks keyCertSign",
		8:  "basicConstraints say cA FALSE",
		9:  "has no basicConstraints",
		10: "is a v1 certificate",
		11: "allows 0 CAs below it (pathLenConstraint), here are 1",
		12: "signature does not verify",
		13: "signature does not verify",
		17: "wrong length",
		20: "1.2.840.113549.1.1.11 does not belong",
		31: "is not known",
		33: "signature does not verify",
		34: "is self-signed and no trust anchor",
	}
	seen := 0
	for _, tc := range index.Cases {
		if want[tc.ID] == "" {
			continue
		}
		seen++
		var extra []*gost.Certificate
		for _, name := range tc.Intermediates {
			extra = append(extra, mustRead(t, name))
		}
		_, checks := apart(trust.New(certs(mustRead(t, tc.TrustAnchor)), nil).Check(mustRead(t, tc.Leaf), extra, now))
		if message, _ := pathMessage(t, checks); !strings.Contains(message, want[tc.ID]) {
			t.Errorf("%s: %q, want %q", tc.Name, message, want[tc.ID])
		}
	}
	if seen != len(want) {
		t.Errorf("%d cases seen", seen)
	}
}

func TestNilAndEmptyStore(t *testing.T) {
	leaf := mustRead(t, "2012-256-cpA/leaf.pem")
	var none *trust.Store
	path, checks := apart(none.Check(leaf, nil, now))
	if have := failed(t, checks); path != nil || !slices.Equal(have, []report.Code{report.CertPath}) {
		t.Errorf("no store: %v", have)
	}
	if _, status := pathMessage(t, checks); status != report.NotChecked {
		t.Errorf("no store: the path is %v", status)
	}
	_, checks = apart(none.Check(leaf, nil, leaf.NotAfter.Add(time.Second)))
	if have := failed(t, checks); !slices.Contains(have, report.CertTime) {
		t.Errorf("no store, expired: %v", have)
	}
	_, checks = apart(trust.New(nil, nil).Check(leaf, nil, now))
	if _, status := pathMessage(t, checks); status != report.Failed {
		t.Errorf("empty store: the path is %v", status)
	}
}

func TestAnchors(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, params)
	key, leaf := ca.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	sub := ca.NewIntermediate(t, gost.GOST2012_512, "tc26-512-A", testpki.Template{})
	_, below := sub.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	expired := ca.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{
		CommonName: "Expired", NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	_, belowExpired := expired.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	forged := (&testpki.CA{Certificate: leaf, Key: key}).Issue(t, leaf.PublicKey, testpki.Template{CommonName: "Forged"})
	at := time.Now()
	for _, tc := range []struct {
		name          string
		anchors, know []*gost.Certificate
		leaf          *gost.Certificate
		extra         []*gost.Certificate
		path          int
		message       string
	}{
		{"the leaf itself", certs(leaf), nil, leaf, nil, 1, "itself is a trust anchor"},
		{"a signer's certificate vouches for no other", certs(leaf), nil, forged, nil, 0, "is no CA"},
		{"intermediate as anchor", certs(sub.Certificate), nil, below, nil, 2, ""},
		{"intermediate of the store", certs(ca.Certificate), certs(sub.Certificate), below, nil, 3, ""},
		{"intermediate of the message", certs(ca.Certificate), nil, below, certs(sub.Certificate), 3, ""},
		{"anchors come from nowhere else", nil, certs(ca.Certificate), leaf, certs(ca.Certificate), 0, "self-signed and no trust anchor"},
		{"missing intermediate", certs(ca.Certificate), nil, below, nil, 0, "the issuer of the signer's certificate is not known"},
		{"expired anchor", certs(expired.Certificate), nil, belowExpired, nil, 0, "has expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, checks := apart(trust.New(tc.anchors, tc.know).Check(tc.leaf, tc.extra, at))
			message, status := pathMessage(t, checks)
			if len(path) != tc.path || (status == report.Passed) != (tc.path > 0) || !strings.Contains(message, tc.message) {
				t.Errorf("path of %d, want %d: %s", len(path), tc.path, message)
			}
		})
	}
}

// TestSameName: several CAs share a name, as after a change of keys; the signature finds the right one wherever it stands
// and whatever the key identifiers say.
func TestSameName(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	var cas []*testpki.CA
	var known []*gost.Certificate
	for range 5 {
		ca := root.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{CommonName: "One of five"})
		cas, known = append(cas, ca), append(known, ca.Certificate)
	}
	store := trust.New(certs(root.Certificate), known)
	for i, ca := range cas {
		_, leaf := ca.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
		misled, err := gost.ParseCertificate(leaf.Raw)
		if err != nil {
			t.Fatal(err)
		}
		misled.AuthorityKeyID = cas[(i+1)%len(cas)].Certificate.SubjectKeyID
		for _, c := range certs(leaf, misled) {
			path, checks := apart(store.Check(c, nil, time.Now()))
			if len(path) != 3 || path[1] != ca.Certificate {
				t.Errorf("CA %d: %+v", i, checks)
			}
		}
	}
}

// TestLoop: two CAs that certify each other, with and without a way out.
func TestLoop(t *testing.T) {
	a := testpki.NewCA(t, gost.GOST2012_256, params)
	b := a.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{CommonName: "B"})
	back := b.Issue(t, a.Certificate.PublicKey, testpki.Template{Subject: a.Certificate.Subject.String(), CA: true})
	_, leaf := b.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	other := testpki.NewCA(t, gost.GOST2012_512, "tc26-512-A")
	extra := certs(back, b.Certificate)
	if path, checks := apart(trust.New(certs(a.Certificate), nil).Check(leaf, extra, time.Now())); len(path) != 3 {
		t.Errorf("%+v", checks)
	}
	if path, _ := apart(trust.New(certs(other.Certificate), nil).Check(leaf, extra, time.Now())); path != nil {
		t.Errorf("path of %d certificates", len(path))
	}
}

// TestWorkLimit: certificates of one name in plenty, none of which is the issuer, or each of which leads to all others.
func TestWorkLimit(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	_, leaf := root.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	var decoys []*gost.Certificate
	for range 200 {
		decoys = append(decoys, root.Issue(t, leaf.PublicKey, testpki.Template{Subject: root.Certificate.Subject.String(), CA: true}))
	}
	if path, checks := apart(trust.New(certs(root.Certificate), nil).Check(leaf, decoys, time.Now())); len(path) != 2 {
		t.Errorf("the anchor is not tried first: %+v", checks)
	}
	// All of them name themselves as issuer, with one key: every one is signed by all.
	ring := &testpki.CA{Certificate: root.Certificate, Key: root.Key}
	var clones []*gost.Certificate
	for range 100 {
		clones = append(clones, ring.Issue(t, root.Certificate.PublicKey,
			testpki.Template{Subject: root.Certificate.Subject.String(), CA: true}))
	}
	path, checks := apart(trust.New(nil, clones).Check(leaf, clones, time.Now()))
	if message, status := pathMessage(t, checks); path != nil || status != report.Failed {
		t.Errorf("%v: %s", status, message)
	}
	_, lost := testpki.NewCA(t, gost.GOST2012_256, params).NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
	path, checks = apart(trust.New(nil, clones).Check(lost, decoys, time.Now()))
	if message, _ := pathMessage(t, checks); path != nil || !strings.Contains(message, "not found within 64 signatures") {
		t.Error(message)
	}
}

func TestPathLength(t *testing.T) {
	root := testpki.NewCA(t, gost.GOST2012_256, params)
	ca, all := root, []*gost.Certificate(nil)
	for i := range 9 {
		ca = ca.NewIntermediate(t, gost.GOST2012_256, params, testpki.Template{CommonName: strings.Repeat("I", i+1)})
		all = append(all, ca.Certificate)
		_, leaf := ca.NewSigner(t, gost.GOST2012_256, params, testpki.Template{})
		path, checks := apart(trust.New(certs(root.Certificate), all).Check(leaf, nil, time.Now()))
		message, _ := pathMessage(t, checks)
		switch n := i + 3; {
		case n <= 10 && len(path) != n:
			t.Errorf("path of %d, want %d: %s", len(path), n, message)
		case n > 10 && (path != nil || !strings.Contains(message, "longer than 10")):
			t.Errorf("path of %d: %s", len(path), message)
		}
	}
}
