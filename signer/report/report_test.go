package report

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func check(code Code, s Status) Check { return Check{Code: code, Status: s, Message: "a rule"} }

func TestVerdict(t *testing.T) {
	signed := func(checks ...Check) *Report { return &Report{Signatures: []Signature{{Checks: checks}}} }
	for _, c := range []struct {
		name               string
		report             *Report
		verdict, integrity Verdict
	}{
		{"nothing is signed", &Report{}, Invalid, Invalid},
		{"nothing is signed though a check passed", &Report{Checks: []Check{check(XMLDuplicateID, Passed)}}, Invalid, Invalid},
		{"all passed", signed(check(SignatureValue, Passed), check(CertPath, Passed)), Valid, Valid},
		{"a digest is wrong", signed(check(ReferenceDigest, Failed), check(CertPath, Passed)), Invalid, Invalid},
		{"the path is not checked", signed(check(SignatureValue, Passed), check(CertPath, NotChecked)), Indeterminate, Valid},
		{"the certificate has expired", signed(check(SignatureValue, Passed), check(CertTime, Failed)), Invalid, Valid},
		{"the key itself is unusable", signed(check(SignatureValue, Passed), check(CertKey, Failed)), Invalid, Invalid},
		{"something is not understood", signed(check(SignatureValue, Passed), check(ProfileForm, NotChecked)), Indeterminate, Indeterminate},
		{"failed outweighs not checked", signed(check(CertPath, NotChecked), check(SignatureValue, Failed)), Invalid, Invalid},
		{
			"the message is at fault", &Report{Checks: []Check{check(XMLDuplicateID, Failed)},
				Signatures: []Signature{{Checks: []Check{check(SignatureValue, Passed)}}}}, Invalid, Invalid,
		},
		{
			"one of two is bad", &Report{Signatures: []Signature{
				{Checks: []Check{check(SignatureValue, Passed)}}, {Checks: []Check{check(SignatureValue, Failed)}}}}, Invalid, Invalid,
		},
		{
			"one of two is open", &Report{Signatures: []Signature{
				{Checks: []Check{check(CertPath, NotChecked)}}, {Checks: []Check{check(SignatureValue, Passed)}}}}, Indeterminate, Valid,
		},
	} {
		if v, i := c.report.Verdict(), c.report.Integrity(); v != c.verdict || i != c.integrity {
			t.Errorf("%s: %s and %s, want %s and %s", c.name, v, i, c.verdict, c.integrity)
		}
		var invalid *InvalidError
		if err := c.report.Err(); (err == nil) != (c.verdict == Valid) || err != nil && !errors.As(err, &invalid) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	err := error(&Error{Code: XMLSyntax, Place: Place{Line: 3, Column: 7, Path: "/a/b"}, Message: "it ends", Err: cause})
	if got, want := err.Error(), "xml.syntax: it ends (line 3, column 7, /a/b): cause"; got != want || !errors.Is(err, cause) {
		t.Errorf("%q, want %q", got, want)
	}
	r := &Report{Signatures: []Signature{{Checks: []Check{check(SignatureValue, Passed), check(ReferenceDigest, Failed)}}}}
	r.Add(check(XMLDuplicateID, Failed))
	if f := r.Failures(); len(f) != 2 || f[0].Code != XMLDuplicateID || f[1].Code != ReferenceDigest {
		t.Error(f)
	}
	if got := r.Err().Error(); !strings.Contains(got, "invalid") || !strings.Contains(got, string(XMLDuplicateID)) {
		t.Error(got)
	}
	for p, want := range map[Place]string{
		{}: "", {Line: 2, Column: 1}: "line 2, column 1", {Path: "signerInfos[0]"}: "signerInfos[0]", {Offset: 4, End: 9}: "offset 4",
	} {
		if p.String() != want {
			t.Errorf("%q, want %q", p.String(), want)
		}
	}
}

// SMEV's faults as its schemas name them.
var faults = []string{"", "PoorSOAPEnvelopeFormat", "NoSignatureFound", "IncorrectSignatureTarget", "SignatureIsInvalid",
	"CertificateIsNotFound", "CertificateIsExpired"}

func TestCodes(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9]*([.-][a-z0-9]+)*$`)
	seen := map[Code]bool{}
	for _, i := range Codes {
		if seen[i.Code] || !form.MatchString(string(i.Code)) || i.Title == "" || i.Code.Info() != i {
			t.Errorf("%+v", i)
		}
		seen[i.Code] = true
		known := false
		for _, f := range faults {
			known = known || f == i.Fault
		}
		if !known {
			t.Errorf("%s: SMEV has no fault %s", i.Code, i.Fault)
		}
	}
	if got := Code("no.such").Info(); got != (Info{Code: "no.such"}) {
		t.Error(got)
	}
}
