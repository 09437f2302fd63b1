package trust_test

import (
	"slices"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

type index struct {
	Chains []struct {
		Name  string
		Chain []string
	}
	Cases []struct {
		ID                   int
		Name, Expect, Reason string
		TrustAnchor          string `json:"trust_anchor"`
		Leaf                 string
		Intermediates, CRLs  []string
	}
}

var now = time.Unix(vectors.Time, 0)

// read returns the certificates of a file; an error is the answer to some of the cases.
func read(tb testing.TB, name string) ([]*gost.Certificate, error) {
	tb.Helper()
	return gost.ParseCertificates(vectors.Read(tb, "gost/certs/"+name))
}

func mustRead(tb testing.TB, name string) *gost.Certificate {
	tb.Helper()
	list, err := read(tb, name)
	if err != nil || len(list) != 1 {
		tb.Fatalf("%s: %d certificates, %v", name, len(list), err)
	}
	return list[0]
}

// failed lists the codes that did not pass, and checks that every rule was reported exactly once.
func failed(tb testing.TB, checks []report.Check) []report.Code {
	tb.Helper()
	want := []report.Code{report.CertKey, report.CertTime, report.CertUsage, report.CertKeyPeriod, report.CertExtension, report.CertPath}
	var have, out []report.Code
	for _, c := range checks {
		have = append(have, c.Code)
		if c.Message == "" {
			tb.Errorf("%s has no message", c.Code)
		}
		if c.Status != report.Passed {
			out = append(out, c.Code)
		}
	}
	if !slices.Equal(have, want) {
		tb.Errorf("checks %v, want %v", have, want)
	}
	return out
}

func TestChains(t *testing.T) {
	var index index
	vectors.JSON(t, "gost/certs/index.json", &index)
	for _, chain := range index.Chains {
		t.Run(chain.Name, func(t *testing.T) {
			root, ca, leaf := mustRead(t, chain.Chain[0]), mustRead(t, chain.Chain[1]), mustRead(t, chain.Chain[2])
			store := trust.New([]*gost.Certificate{root}, nil)
			path, checks := apart(store.Check(leaf, []*gost.Certificate{ca}, now))
			if bad := failed(t, checks); bad != nil {
				t.Errorf("%v: %+v", bad, checks)
			}
			if !slices.Equal(path, []*gost.Certificate{leaf, ca, root}) {
				t.Errorf("path of %d certificates", len(path))
			}
		})
	}
}

// unreadable are the cases whose certificates are refused before there is a path to judge.
var unreadable = []int{3, 18, 35, 36, 39, 46, 47, 48}

// codes are the rules that must be broken in the cases that are not valid, where it is not the path alone.
var codes = map[int][]report.Code{
	4:  {report.CertTime},
	5:  {report.CertTime},
	23: {report.CertUsage},
	26: {report.CertUsage},
	27: {report.CertExtension},
	42: {report.CertTime},
	43: {report.CertKey},
	44: {report.CertKey},
	// Policy: keys without parameters would inherit them from the issuer (RFC 4491). They are refused.
	63: {report.CertKey},
	64: {report.CertKey},
	// Valid as a certificate; but the time given is the time of signing, and then the key was no longer to be used.
	30: {report.CertKeyPeriod},
}

// data is Revocations of a test: whatever is asked, this is what is known.
type data struct {
	lists     []trust.List
	responses []trust.Response
}

func (d *data) Lists(_, _ *gost.Certificate) []trust.List         { return d.lists }
func (d *data) Responses(_, _ *gost.Certificate) []trust.Response { return d.responses }

func readLists(tb testing.TB, names ...string) *data {
	tb.Helper()
	d := &data{}
	for _, name := range names {
		l, err := gost.ParseRevocationList(vectors.Read(tb, "gost/certs/"+name))
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		d.lists = append(d.lists, trust.List{RevocationList: l, Source: name})
	}
	return d
}

// revocation are the rules broken in the cases with CRLs, when revocation is required.
var revocation = map[int][]report.Code{
	50: {report.CertRevoked},
	// Policy: revoked after the moment of judgement. It was good then, which is what a time-stamp is for.
	51: nil,
	52: {report.CertRevoked},
	53: {report.CertRevocation}, 54: {report.CertRevocation}, 55: {report.CertRevocation}, 56: {report.CertRevocation},
	57: {report.CertRevocation}, 58: {report.CertRevocation}, 59: {report.CertRevocation},
	// Policy: RFC 5280 demands nextUpdate. Such a list counts only under a Freshness, see TestFreshness.
	60: {report.CertRevocation},
}

// TestCases judges every case, those with CRLs under a policy that requires revocation to be known.
func TestCases(t *testing.T) {
	var index index
	vectors.JSON(t, "gost/certs/index.json", &index)
	judged, revoking := 0, 0
	for _, tc := range index.Cases {
		t.Run(tc.Name, func(t *testing.T) {
			leaf, err := read(t, tc.Leaf)
			if slices.Contains(unreadable, tc.ID) {
				if err == nil {
					t.Fatalf("is read: %s", tc.Reason)
				}
				vectors.Outcome(t, "paths", tc.Name, tc.Expect, "invalid")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var extra []*gost.Certificate
			for _, name := range tc.Intermediates {
				extra = append(extra, mustRead(t, name))
			}
			config := trust.Config{
				Certificates: trust.Certificates{Anchors: []*gost.Certificate{mustRead(t, tc.TrustAnchor)}},
				Now:          func() time.Time { return now },
			}
			want := codes[tc.ID]
			if len(tc.CRLs) > 0 {
				revoking++
				config.Policy.Revocation = trust.RevocationRequired
				config.Revocations = readLists(t, tc.CRLs...)
				want = revocation[tc.ID]
			} else if want == nil && tc.Expect != "valid" {
				want = []report.Code{report.CertPath}
			}
			j := trust.NewStore(config).Check(leaf[0], extra, now)
			var have []report.Code
			for _, c := range j.Checks {
				if c.Status != report.Passed {
					have = append(have, c.Code)
				}
			}
			if !slices.Equal(have, want) || tc.Expect == "invalid" && want == nil || tc.Expect == "valid" && want != nil && tc.ID != 30 {
				t.Errorf("%v broken, want %v: %s\n%+v", have, want, tc.Reason, j.Checks)
			}
			vectors.Outcome(t, "paths", tc.Name, tc.Expect, vectors.Verdict(have == nil))
			if slices.Contains(want, report.CertPath) != (j.Path == nil) {
				t.Errorf("path of %d certificates", len(j.Path))
			}
		})
		judged++
	}
	if judged != 65 || revoking != 12 {
		t.Errorf("%d cases, %d with CRLs; want 65 and 12", judged, revoking)
	}
}

// TestKeyPeriod: the certificate of case 30 is in order while its private key may be used.
func TestKeyPeriod(t *testing.T) {
	leaf, ca := mustRead(t, "bad/30-private-key-usage-period-over.pem"), mustRead(t, "2012-256-cpA/int.pem")
	store := trust.New([]*gost.Certificate{mustRead(t, "2012-256-cpA/root.pem")}, nil)
	for _, tc := range []struct {
		at   time.Time
		want []report.Code
	}{
		{leaf.PrivateKeyNotBefore.Add(-time.Second), []report.Code{report.CertKeyPeriod}},
		{leaf.PrivateKeyNotBefore, nil},
		{leaf.PrivateKeyNotAfter, nil},
		{leaf.PrivateKeyNotAfter.Add(time.Second), []report.Code{report.CertKeyPeriod}},
	} {
		_, checks := apart(store.Check(leaf, []*gost.Certificate{ca}, tc.at))
		have := failed(t, checks)
		have = slices.DeleteFunc(have, func(c report.Code) bool { return c == report.CertTime || c == report.CertPath })
		if !slices.Equal(have, tc.want) {
			t.Errorf("%v: %v, want %v", tc.at, have, tc.want)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, name := range []string{"2012-256-cpA", "2012-512-tc26A"} {
		b.Run(name, func(b *testing.B) {
			root, ca, leaf := mustRead(b, name+"/root.pem"), mustRead(b, name+"/int.pem"), mustRead(b, name+"/leaf.pem")
			store := trust.New([]*gost.Certificate{root}, []*gost.Certificate{ca})
			b.ReportAllocs()
			for b.Loop() {
				if path, _ := apart(store.Check(leaf, nil, now)); path == nil {
					b.Fatal("no path")
				}
			}
		})
	}
}

// BenchmarkCheckRevocation judges with two CRLs, whose signatures are verified each time.
func BenchmarkCheckRevocation(b *testing.B) {
	root, ca, leaf := mustRead(b, "2012-256-cpA/root.pem"), mustRead(b, "2012-256-cpA/int.pem"), mustRead(b, "2012-256-cpA/leaf.pem")
	store := trust.NewStore(trust.Config{
		Certificates: trust.Certificates{Anchors: []*gost.Certificate{root}, Intermediates: []*gost.Certificate{ca}},
		Policy:       trust.Policy{Revocation: trust.RevocationRequired}, Now: func() time.Time { return now },
		Revocations: readLists(b, "bad/49-ok-crl-not-revoked.crl1.pem", "bad/49-ok-crl-not-revoked.crl2.pem"),
	})
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range store.Check(leaf, nil, now).Checks {
			if c.Status != report.Passed {
				b.Fatalf("%+v", c)
			}
		}
	}
}
