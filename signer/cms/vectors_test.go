package cms

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// policyVectors decides the vectors for which both answers can be defended.
var policyVectors = map[string]struct {
	verdict report.Verdict
	why     string
}{
	"digestalgs-empty":                 {report.Valid, "digestAlgorithms only helps to digest in one pass; SignerInfo counts"},
	"digestalgs-other-only":            {report.Valid, "as above"},
	"attrs-unsorted-signed-sorted":     {report.Invalid, "signed attributes must be DER; no order is tried in its stead"},
	"attrs-unsorted-signed-asis":       {report.Invalid, "as above"},
	"signingtime-before-certificate":   {report.Valid, "signingTime is a claim; certificates are judged at Policy.Time"},
	"cades-v1-sha1":                    {report.Valid, "the old attribute is checked when present; SHA-1 resists second preimages"},
	"cades-v2-unsigned-only":           {report.Invalid, "RFC 5035 forbids it among unsigned attributes, where anybody may put it"},
	"attached-plus-different-detached": {report.Invalid, "supplied content must be what was signed"},
	"sid-ski-si-version-1": {report.Valid,
		"wrong versions are tolerated, section 3.1 of RFC 5652 gives them no meaning of their own"},
	"sid-issuer-si-version-3":              {report.Valid, "as above"},
	"sd-version-5":                         {report.Valid, "as above"},
	"ber-signedattrs-indefinite":           {report.Invalid, "signed attributes must be DER, even in a BER message"},
	"trailing-garbage":                     {report.Invalid, "nothing may follow the message"},
	"trailing-zeros":                       {report.Invalid, "as above"},
	"signer-private-key-usage-period-over": {report.Invalid, "the key period is judged at Policy.Time"},
	"2001-digestalg-paramset":              {report.Valid, "the parameter names the S-box that is always meant"},
	"2001-empty-content-usual-hash":        {report.Valid, "both digests of the empty message are in use"},
	"2001-empty-content-engine-hash":       {report.Valid, "as above"},
	"rfc4490-example":                      {report.Invalid, "no trust anchor, and the certificate expired in 2015; integrity is valid"},
}

// reasons is why the vectors that are not valid are refused.
var reasons = map[string]report.Code{
	"sigalg-512-on-256-key":                   report.SignatureMethod,
	"sigalg-2001-on-2012-key":                 report.SignatureMethod,
	"sigalg-rsa":                              report.SignatureMethod,
	"sigalg-certsign-2001-withdigest":         report.SignatureMethod,
	"digestalg-512-with-256-key":              report.CMSDigestMethod,
	"digestalg-94-with-2012-key":              report.CMSDigestMethod,
	"digestalg-sha256":                        report.CMSDigestMethod,
	"attrs-signed-implicit-tag":               report.SignatureValue,
	"attrs-signature-over-content":            report.SignatureValue,
	"attrs-no-messagedigest":                  report.CMSAttributes,
	"attrs-no-contenttype":                    report.CMSAttributes,
	"attrs-empty-set":                         report.CMSAttributes,
	"attrs-wrong-messagedigest":               report.CMSMessageDigest,
	"attrs-messagedigest-reversed":            report.CMSMessageDigest,
	"attrs-messagedigest-truncated":           report.CMSMessageDigest,
	"attrs-duplicate-messagedigest":           report.CMSAttributes,
	"attrs-duplicate-messagedigest-bad-first": report.CMSAttributes,
	"attrs-two-values-messagedigest":          report.CMSAttributes,
	"attrs-zero-values-messagedigest":         report.CMSAttributes,
	"attrs-contenttype-mismatch":              report.CMSContentType,
	"attrs-tampered-signingtime":              report.SignatureValue,
	"algorithm-protection-mismatch":           report.CMSAlgorithmProtection,
	"cades-wrong-hash":                        report.CMSSigningCertificate,
	"cades-hash-of-issuer":                    report.CMSSigningCertificate,
	"cades-issuerserial-mismatch":             report.CMSSigningCertificate,
	"cades-v1-sha1-wrong":                     report.CMSSigningCertificate,
	"detached-without-content":                report.CMSContent,
	"detached-wrong-content":                  report.CMSMessageDigest,
	"attached-content-modified":               report.CMSMessageDigest,
	"missing-signer-cert":                     report.CMSSigner,
	"missing-intermediate":                    report.CertPath,
	"wrong-cert-same-name":                    report.CMSSigner,
	"sid-ski-unknown":                         report.CMSSigner,
	"econtent-other-type-noattr":              report.CMSAttributes,
	"ber-missing-end-of-contents":             report.CMSSyntax,
	"no-signers":                              report.SignatureNone,
	"outer-oid-data":                          report.CMSContentType,
	"signature-bitflip-s":                     report.SignatureValue,
	"signature-bitflip-r":                     report.SignatureValue,
	"signature-swapped":                       report.SignatureValue,
	"signature-reversed":                      report.SignatureValue,
	"signature-der-sequence":                  report.SignatureValue,
	"signature-extra-byte":                    report.SignatureValue,
	"signature-empty":                         report.SignatureValue,
	"signature-other-key":                     report.SignatureValue,
	"two-signers-one-bad":                     report.SignatureValue,
	"two-signers-one-untrusted":               report.CertPath,
	"signer-wrong-key-usage-leaf":             report.CertUsage,
	"signer-expired-leaf":                     report.CertTime,
	"signer-not-yet-valid-leaf":               report.CertTime,
	"signer-unknown-critical-extension":       report.CertExtension,
	"signer-bad-signature-leaf":               report.CertPath,

	"attrs-unsorted-signed-sorted":         report.CMSAttributes,
	"attrs-unsorted-signed-asis":           report.CMSAttributes,
	"cades-v2-unsigned-only":               report.CMSAttributes,
	"attached-plus-different-detached":     report.CMSContent,
	"ber-signedattrs-indefinite":           report.CMSAttributes,
	"trailing-garbage":                     report.CMSSyntax,
	"trailing-zeros":                       report.CMSSyntax,
	"signer-private-key-usage-period-over": report.CertKeyPeriod,
	"rfc4490-example":                      report.CertTime,
}

type vector struct {
	File         string   `json:"file"`
	Name         string   `json:"name"`
	Content      *string  `json:"content"`
	TrustAnchors []string `json:"trust_anchors"`
	ExtraCerts   []string `json:"extra_certs"`
	Expect       string   `json:"expect"`
}

func readVectors(tb testing.TB) []vector {
	tb.Helper()
	var index struct {
		Cases []vector `json:"cases"`
	}
	vectors.JSON(tb, "gost/cms/index.json", &index)
	return index.Cases
}

func (v vector) message(tb testing.TB) []byte { return vectors.Read(tb, "gost/cms/"+v.File) }

func (v vector) policy(tb testing.TB) Policy {
	tb.Helper()
	p := Policy{Time: time.Unix(vectors.Time, 0), Certificates: readCertificates(tb, v.ExtraCerts...)}
	p.Trust = trust.New(readCertificates(tb, v.TrustAnchors...), nil)
	if v.Content != nil {
		p.Detached, p.Content = true, vectors.Read(tb, "gost/cms/"+*v.Content)
	}
	return p
}

func readCertificates(tb testing.TB, names ...string) (list []*gost.Certificate) {
	tb.Helper()
	for _, name := range names {
		found, err := gost.ParseCertificates(vectors.Read(tb, "gost/certs/"+name))
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		list = append(list, found...)
	}
	return list
}

func TestVectors(t *testing.T) {
	counts := make(map[string]int)
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := map[string]report.Verdict{"valid": report.Valid, "invalid": report.Invalid}[v.Expect]
			if v.Expect == "policy" {
				decided, ok := policyVectors[v.Name]
				if !ok {
					t.Fatal("nobody decided about this vector")
				}
				want = decided.verdict
			}
			r, err := Verify(v.message(t), v.policy(t))
			vectors.Outcome(t, "cms", v.Name, v.Expect, vectors.Verdict(err == nil && r.Err() == nil))
			if want == report.Valid {
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Err(); err != nil {
					t.Fatalf("%v\n%+v", err, r.Failures())
				}
				checkComplete(t, r)
			} else {
				reason, ok := reasons[v.Name]
				if !ok {
					t.Fatal("no reason is given why this must be refused")
				}
				checkRefused(t, r, err, reason)
			}
			counts[v.Expect]++
		})
	}
	t.Logf("as expected: %d valid, %d invalid, %d by policy", counts["valid"], counts["invalid"], counts["policy"])
}

// checkComplete says that a valid report leaves nothing out.
func checkComplete(t *testing.T, r *report.Report) {
	t.Helper()
	for _, s := range r.Signatures {
		if s.Signer == nil || s.Algorithm == "" || len(s.Coverage) != 1 || s.Place.End <= s.Place.Offset {
			t.Errorf("incomplete: %+v", s)
		}
	}
}

func checkRefused(t *testing.T, r *report.Report, err error, reason report.Code) {
	t.Helper()
	if err != nil {
		var e *report.Error
		if !errors.As(err, &e) || e.Code != reason {
			t.Errorf("error is %v, want %s", err, reason)
		}
		return
	}
	if r.Verdict() != report.Invalid {
		t.Errorf("verdict is %s", r.Verdict())
	}
	failures := r.Failures()
	if !slices.ContainsFunc(failures, func(c report.Check) bool { return c.Code == reason }) {
		t.Errorf("failures are %+v, want %s", failures, reason)
	}
}

// The vectors' policies and reasons must not name vectors that do not exist.
func TestVectorTables(t *testing.T) {
	names := make(map[string]string)
	for _, v := range readVectors(t) {
		names[v.Name] = v.Expect
	}
	for name := range policyVectors {
		if names[name] != "policy" {
			t.Errorf("%s is not a vector with a choice", name)
		}
	}
	for name := range reasons {
		if names[name] == "" || names[name] == "valid" {
			t.Errorf("%s is not a vector to refuse", name)
		}
	}
}

func TestIntegrityOfExpired(t *testing.T) {
	for _, v := range readVectors(t) {
		switch v.Name {
		case "rfc4490-example", "signer-expired-leaf", "missing-intermediate":
			r, err := Verify(v.message(t), v.policy(t))
			if err != nil {
				t.Fatal(err)
			}
			if r.Integrity() != report.Valid || r.Verdict() != report.Invalid {
				t.Errorf("%s: integrity %s, verdict %s", v.Name, r.Integrity(), r.Verdict())
			}
		}
	}
}

// Messages for SMEV attachments and for ESIA; the key in them belongs to no CA.
func TestMade(t *testing.T) {
	for _, tt := range []struct{ message, content string }{
		{"attachment.p7s", "attachment.bin"}, {"esia-legacy.p7s", "esia-legacy.txt"},
	} {
		message := vectors.Read(t, "smev-messages/made/"+tt.message)
		content := vectors.Read(t, "smev-messages/made/"+tt.content)
		r, err := Verify(message, Policy{Time: time.Unix(vectors.Time, 0), Detached: true, Content: content})
		if err != nil {
			t.Fatal(err)
		}
		vectors.Outcome(t, "smev cms", tt.message, "valid", r.Integrity().String())
		if r.Integrity() != report.Valid || r.Verdict() == report.Valid {
			t.Errorf("%s: integrity %s, verdict %s: %+v", tt.message, r.Integrity(), r.Verdict(), r.Failures())
		}
		content[0] ^= 1
		r, err = Verify(message, Policy{Time: time.Unix(vectors.Time, 0), Detached: true, Content: content})
		if err != nil || r.Integrity() != report.Invalid {
			t.Errorf("%s: changed content passes (%v)", tt.message, err)
		}
	}
}

// What others made. Their verdicts leave aside chains and expiry, hence integrity.
func TestCorpus(t *testing.T) {
	vectors.Others(t)
	signers := map[string]string{ // of the messages without certificates
		"cms-008": "gost/certs/rfc4491/2001-xchA-v1.pem",
	}
	unknown := map[string]bool{"cms-014": true}                   // its certificate is not among the vectors
	unsorted := map[string]bool{"cms-002": true, "cms-003": true} // signed in an order that is not DER's, hence refused
	count := 0
	for _, row := range vectors.TSV(t, vectors.ReadOthers, "corpus/index.tsv") {
		if row["kind"] != "cms-attached" && row["kind"] != "cms-detached" {
			continue
		}
		t.Run(row["id"], func(t *testing.T) {
			var policy Policy
			if name := signers[row["id"]]; name != "" {
				var err error
				if policy.Certificates, err = gost.ParseCertificates(vectors.Read(t, name)); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Verify(vectors.ReadOthers(t, "corpus/"+row["files"]), policy)
			if err != nil {
				t.Fatal(err)
			}
			vectors.Outcome(t, "corpus cms", row["id"], "valid", vectors.Verdict(r.Integrity() == report.Valid))
			if unknown[row["id"]] {
				checkRefused(t, r, nil, report.CMSSigner)
			} else if unsorted[row["id"]] {
				failures := r.Failures()
				if len(failures) == 0 || failures[0].Code != report.CMSAttributes || r.Signatures[0].Coverage == nil {
					t.Errorf("want nothing but the order of attributes to be refused, got %+v", failures)
				}
			} else if r.Integrity() != report.Valid {
				t.Errorf("integrity %s: %+v", r.Integrity(), r.Failures())
			}
			count++
		})
	}
	t.Logf("%d messages as expected", count)
}
