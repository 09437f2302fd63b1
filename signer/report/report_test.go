package report

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func check(code Code, s Status) Check { return Check{Code: code, Status: s, Message: "a rule"} }

// A mistake that is not told any more is not forgotten.
func TestChecksAreBounded(t *testing.T) {
	var s Signature
	for range maxChecks {
		s.Add(check(SignatureValue, Passed))
	}
	if v := s.Integrity(); v != Valid {
		t.Errorf("%v with as many checks as there may be", v)
	}
	s.Add(check(SignatureValue, Passed), check(ReferenceDigest, Failed), check(CertPath, Passed))
	s.Add(check(SignatureValue, Passed))
	if len(s.Checks) != maxChecks+1 || s.Verdict() != Invalid || s.Integrity() != Invalid {
		t.Errorf("%d checks, %v, %v", len(s.Checks), s.Verdict(), s.Integrity())
	}
}

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
		{"something is not understood", signed(check(SignatureValue, Passed), check(ProfileForm, NotChecked)),
			Indeterminate, Indeterminate},
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

// Every constant is in the table: what is not would have no sentence.
func TestCodesAreComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if Code(value).Info().English == "" {
			t.Errorf("%s has no row in Codes", spec.Names[0].Name)
		}
		return true
	})
	if found != len(Codes) {
		t.Errorf("%d constants in codes.go, %d rows in Codes", found, len(Codes))
	}
}

// SMEV's faults as its schemas name them.
var faults = []string{"", "PoorSOAPEnvelopeFormat", "NoSignatureFound", "IncorrectSignatureTarget", "SignatureIsInvalid",
	"CertificateIsNotFound", "CertificateIsExpired"}

func TestCodes(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9]*([.-][a-z0-9]+)*$`)
	cyrillic := regexp.MustCompile(`[А-Яа-яЁё]`)
	seen := map[Code]bool{}
	for _, i := range Codes {
		if seen[i.Code] || !form.MatchString(string(i.Code)) || i.Code.Info() != i {
			t.Errorf("%+v", i)
		}
		if i.In(English) != i.English || i.English == "" || strings.HasSuffix(i.English, ".") || cyrillic.MatchString(i.English) {
			t.Errorf("%s: not an English sentence without a period: %q", i.Code, i.English)
		}
		if i.In(Russian) != i.Russian || strings.HasSuffix(i.Russian, ".") || !cyrillic.MatchString(i.Russian) {
			t.Errorf("%s: not a Russian sentence without a period: %q", i.Code, i.Russian)
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
