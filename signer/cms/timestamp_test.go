package cms

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

type timeStampVectors struct {
	Tokens []struct {
		File   string   `json:"file"`
		Data   string   `json:"data"`
		Anchor string   `json:"trust_anchor"`
		Extra  []string `json:"extra_certs"`
		Expect string   `json:"expect"`
	} `json:"tokens"`
	CAdEST []struct {
		File   string `json:"file"`
		Anchor string `json:"trust_anchor"`
		Expect string `json:"expect"`
	} `json:"cades_t"`
}

func readTimeStampVectors(tb testing.TB) (v timeStampVectors) {
	tb.Helper()
	vectors.JSON(tb, "gost/ts/index.json", &v)
	if len(v.Tokens) != 16 && len(v.Tokens) != 14 || len(v.CAdEST) != 6 {
		tb.Fatalf("%d tokens, %d messages", len(v.Tokens), len(v.CAdEST))
	}
	return v
}

// tokenReasons is why tokens that are not valid are refused. Imprints of other digests than the key's are accepted.
var tokenReasons = map[string]report.Code{
	"openssl-2012-256-cpA-other-data.tst":   report.TimeStampImprint,
	"openssl-2012-512-tc26A-other-data.tst": report.TimeStampImprint,
	"built-bad-signature.tst":               report.TimeStampSignature,
	"built-no-ess.tst":                      report.TimeStampCertificate,
	"built-ess-other-cert.tst":              report.TimeStampCertificate,
	"built-eku-mixed.tst":                   report.TimeStampUsage,
	"built-eku-not-critical.tst":            report.TimeStampUsage,
	"built-signed-by-user-cert.tst":         report.TimeStampUsage,
	"built-imprint-truncated.tst":           report.TimeStampImprint,
	"built-imprint-reversed.tst":            report.TimeStampImprint,
	"built-wrong-content-type.tst":          report.TimeStampToken,

	"cades-t-over-content.p7s":              report.TimeStampImprint,
	"cades-t-over-reversed-signature.p7s":   report.TimeStampImprint,
	"cades-t-bad-token.p7s":                 report.TimeStampSignature,
	"cades-t-token-before-signing-time.p7s": report.TimeStampTime, // a policy case: the claim is refuted
}

// readTimeStampCertificates reads certificates named from the folder of certificates, or of time-stamps.
func readTimeStampCertificates(tb testing.TB, names []string) (list []*gost.Certificate) {
	tb.Helper()
	for _, name := range names {
		file := "gost/certs/" + name
		if rest, ok := bytes.CutPrefix([]byte(name), []byte("ts/")); ok {
			file = "gost/ts/" + string(rest)
		}
		found, err := gost.ParseCertificates(vectors.Read(tb, file))
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, found...)
	}
	return list
}

func failed(checks []report.Check, code report.Code) bool {
	return slices.ContainsFunc(checks, func(c report.Check) bool { return c.Code == code && c.Status == report.Failed })
}

func TestTokens(t *testing.T) {
	content := vectors.Read(t, "gost/cms/content.bin")
	for _, v := range readTimeStampVectors(t).Tokens {
		policy := Policy{
			Time: time.Unix(vectors.Time, 0), Trust: trust.New(readCertificates(t, v.Anchor), nil),
			Certificates: readTimeStampCertificates(t, v.Extra),
		}
		data := content
		if v.Data != "../cms/content.bin" {
			data = append(bytes.Clone(content), 'x')
		}
		ts, checks := VerifyTimeStamp(vectors.Read(t, "gost/ts/"+v.File), data, policy)
		vectors.Outcome(t, "tokens", v.File, v.Expect, vectors.Verdict(ts.Trusted))
		if v.Expect == "invalid" {
			reason := tokenReasons[v.File]
			if reason == "" || !failed(checks, reason) || ts.Trusted {
				t.Errorf("%s: trusted %v, want %q: %+v", v.File, ts.Trusted, reason, checks)
			}
			continue
		}
		if !ts.Trusted || ts.Signer == nil || ts.Algorithm == "" || ts.Policy == "" || ts.Time.IsZero() || len(checks) != 6 {
			t.Errorf("%s: %+v, %+v", v.File, ts, checks)
		}
	}
}

// The time-stamps of signatures: what is wrong with one is wrong with the signature.
func TestTimeStampedVectors(t *testing.T) {
	content := vectors.Read(t, "gost/cms/content.bin")
	for _, v := range readTimeStampVectors(t).CAdEST {
		policy := Policy{Time: time.Unix(vectors.Time, 0), Trust: trust.New(readCertificates(t, v.Anchor), nil)}
		message := vectors.Read(t, "gost/ts/"+v.File)
		sd, err := parse(message, Limits{}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		if sd.content == nil {
			policy.Detached, policy.Content = true, content
		}
		r, err := Verify(message, policy)
		if err != nil {
			t.Fatalf("%s: %v", v.File, err)
		}
		stamps := r.Signatures[0].TimeStamps
		if len(stamps) != 1 {
			t.Fatalf("%s: %d time-stamps", v.File, len(stamps))
		}
		vectors.Outcome(t, "cades-t", v.File, v.Expect, vectors.Verdict(r.Err() == nil))
		if v.Expect == "valid" {
			if err := r.Err(); err != nil || !stamps[0].Trusted {
				t.Errorf("%s: %v, %+v", v.File, err, r.Failures())
			}
			// The certificate of the signer is judged at the time stated, that of the authority when we ask.
			policy.Time = time.Date(2041, 1, 1, 0, 0, 0, 0, time.UTC)
			if r, err = Verify(message, policy); err != nil || r.Signatures[0].TimeStamps[0].Trusted ||
				!failed(r.Failures(), report.CertTime) ||
				!failed(r.Failures(), report.TimeStampTrust) {
				t.Errorf("%s, after the end of all certificates: %v, %+v", v.File, err, r.Failures())
			}
			continue
		}
		reason := tokenReasons[v.File]
		if reason == "" || r.Verdict() != report.Invalid || !failed(r.Failures(), reason) || stamps[0].Trusted {
			t.Errorf("%s: %s, want %q: %+v", v.File, r.Verdict(), reason, r.Failures())
		}
	}
}
