package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

func sample() *report.Report {
	signer := &report.Signer{
		Subject: "CN=EXMP01\x1b[31m,O=Ведомство", Issuer: "CN=CA", Serial: "0A",
		NotBefore: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC),
	}
	return &report.Report{Format: "xmldsig", Signatures: []report.Signature{{
		Name: "CallerInformationSystemSignature", Profile: "smev3", Algorithm: "gost2012-256", Signer: signer,
		Coverage: []report.Coverage{{
			URI: "#SIGNED_BY_CALLER", Element: "{urn:x}AckTargetMessage", Place: report.Place{Offset: 1, End: 9, Line: 4, Column: 7}, Octets: 1,
		}},
		Checks: []report.Check{
			{Code: report.SignatureValue, Message: "the value verifies"},
			{Code: report.ReferenceDigest, Status: report.Failed, Message: "the digest does not match", Expected: "QQ==", Got: "Qg==",
				Place: report.Place{Line: 4, Column: 7, Path: "/S:Envelope"}},
			{Code: report.CertPath, Status: report.NotChecked, Message: "no anchors"},
		},
	}}}
}

func TestRender(t *testing.T) {
	var b strings.Builder
	if err := render(&b, "m.xml", sample()); err != nil {
		t.Fatal(err)
	}
	want := `INVALID  m.xml, 1 signature

CallerInformationSystemSignature: invalid, profile smev3, gost2012-256
  signer   CN=EXMP01\x1b[31m,O=Ведомство
           issued by CN=CA
           serial 0A, valid 2026-01-02 to 2027-01-02
  covers   {urn:x}AckTargetMessage (#SIGNED_BY_CALLER), line 4, 1 octet digested
  FAILED   reference.digest: the digest does not match [SMEV answers SignatureIsInvalid]
           at line 4, column 7, /S:Envelope
           expected QQ==
           got      Qg==
  NOT CHECKED  certificate.path: no anchors
  passed   1 check
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestRenderNothingSigned(t *testing.T) {
	var b strings.Builder
	if err := render(&b, "m.xml", &report.Report{Format: "xmldsig"}); err != nil {
		t.Fatal(err)
	}
	if want := "signature.none: nothing is signed [SMEV answers NoSignatureFound]"; !strings.Contains(b.String(), want) {
		t.Errorf("%q does not say %q", b.String(), want)
	}
}

func TestRenderTrustMissing(t *testing.T) {
	r := sample()
	r.Signatures[0].Checks = append(r.Signatures[0].Checks[:1], report.Check{Code: report.CertTime, Status: report.Failed, Message: "expired"})
	var b strings.Builder
	if err := render(&b, "m.xml", r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "whole") {
		t.Errorf("does not tell trust from integrity:\n%s", b.String())
	}
}

func TestRenderJSON(t *testing.T) {
	var b strings.Builder
	if err := renderJSON(&b, "m.xml", sample()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Verdict, Integrity string
		Checks             []any
		Signatures         []struct {
			Verdict string
			Checks  []struct {
				Code, Status string
				SMEVFault    string `json:"smev_fault"`
				Place        struct{ Line int }
			}
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Verdict != "invalid" || got.Integrity != "invalid" || got.Checks == nil || len(got.Signatures) != 1 {
		t.Fatalf("%+v", got)
	}
	checks := got.Signatures[0].Checks
	if len(checks) != 3 || checks[1].Code != "reference.digest" || checks[1].Status != "failed" ||
		checks[1].SMEVFault != "SignatureIsInvalid" || checks[1].Place.Line != 4 || checks[0].SMEVFault != "" {
		t.Errorf("%+v", checks)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"CN=Иванов": "CN=Иванов",
		"a\nb\tc":   `a\nb\tc`,
		"\x1b[2J":   `\x1b[2J`,
		"\u202etxt": `\u202etxt`,
		"bad\xff":   `bad\ufffd`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
}
