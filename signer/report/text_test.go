package report

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func sample() *Report {
	signer := &Signer{
		Subject: "CN=EXMP01\x1b[31m,O=Ведомство", Issuer: "CN=CA", Serial: "0A",
		NotBefore: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC),
	}
	return &Report{Format: "xmldsig", Signatures: []Signature{{
		Name: "CallerInformationSystemSignature", Profile: "smev3", Algorithm: "gost2012-256", Signer: signer,
		Coverage: []Coverage{{
			URI: "#SIGNED_BY_CALLER", Element: "{urn:x}AckTargetMessage", Place: Place{Offset: 1, End: 9, Line: 4, Column: 7}, Octets: 1,
		}},
		Checks: []Check{
			{Code: SignatureValue, Message: "the value verifies"},
			{Code: ReferenceDigest, Status: Failed, Message: "the digest does not match", Expected: "QQ==", Got: "Qg==",
				Place: Place{Line: 4, Column: 7, Path: "/S:Envelope"}},
			{Code: CertPath, Status: NotChecked, Message: "no anchors"},
		},
	}}}
}

func TestRender(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteText(&b, "m.xml", English); err != nil {
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
	if err := (&Report{Format: "xmldsig"}).WriteText(&b, "m.xml", English); err != nil {
		t.Fatal(err)
	}
	if want := "signature.none: no signature where one must be [SMEV answers NoSignatureFound]"; !strings.Contains(b.String(), want) {
		t.Errorf("%q does not say %q", b.String(), want)
	}
}

func TestRenderTrustMissing(t *testing.T) {
	r := sample()
	r.Signatures[0].Checks = append(r.Signatures[0].Checks[:1], Check{Code: CertTime, Status: Failed, Message: "expired"})
	var b strings.Builder
	if err := r.WriteText(&b, "m.xml", English); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "whole") {
		t.Errorf("does not tell trust from integrity:\n%s", b.String())
	}
}

func TestRenderJSON(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteJSON(&b, "m.xml"); err != nil {
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
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRenderRussian(t *testing.T) {
	r := sample()
	s := &r.Signatures[0]
	s.ClaimedTime = time.Date(2026, 5, 2, 9, 30, 0, 0, time.UTC)
	s.TimeStamps = []TimeStamp{{Time: time.Date(2026, 5, 2, 9, 31, 0, 0, time.UTC), Signer: &Signer{Subject: "CN=TSA"}}}
	s.Covers = []int{0}
	s.Evidence = &Evidence{Path: []PathCertificate{
		{Subject: s.Signer.Subject, Revocation: &Revocation{Kind: "crl", Issuer: "CN=CA",
			Source: "http://crl.example.ru/ca.crl", Number: "2A",
			ThisUpdate: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), NextUpdate: time.Date(2026, 5, 8, 0, 0, 0, 0, time.UTC)}},
		{Subject: "CN=CA"}, {Subject: "CN=Минцифры", Anchor: true},
	}}
	var b strings.Builder
	if err := r.WriteText(&b, "m.xml", Russian); err != nil {
		t.Fatal(err)
	}
	want := `НЕДЕЙСТВИТЕЛЬНА  m.xml, подписей: 1

CallerInformationSystemSignature: недействительна, профиль smev3, gost2012-256
  подписант    CN=EXMP01\x1b[31m,O=Ведомство
               издатель CN=CA
               серийный номер 0A, действует с 2026-01-02 по 2027-01-02
  время        заявленное подписантом время: 2026-05-02T09:30:00Z
  отзыв        crl № 2A, издатель CN=CA, источник http://crl.example.ru/ca.crl, выпущен 2026-05-01T00:00:00Z, действует до 2026-05-08T00:00:00Z
  цепочка      CN=CA
  отзыв        сведений нет
  цепочка      CN=Минцифры (доверенный корень)
  метка        2026-05-02T09:31:00Z, CN=TSA (не учитывается: проверена не полностью)
  охватывает   {urn:x}AckTargetMessage (#SIGNED_BY_CALLER), строка 4, хэшировано октетов: 1
  охватывает   подпись CallerInformationSystemSignature
  ОШИБКА       reference.digest: хэш подписанных данных не совпадает с DigestValue: данные изменены после подписания или хэш вычислен не так [ответ СМЭВ: SignatureIsInvalid]
               подробнее: the digest does not match
               место: строка 4, столбец 7, /S:Envelope
               ожидалось QQ==
               получено  Qg==
  НЕ ПРОВЕРЕНО  certificate.path: no anchors
  пройдено     проверок: 1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// Every field of the JSON form is described, and nothing is described that is not there.
func TestJSONIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		described[m[1]] = true
	}
	fields := map[string]bool{}
	for _, typ := range []any{jsonReport{}, jsonSignature{}, jsonSigner{}, jsonCoverage{}, jsonCheck{}, jsonEvidence{},
		jsonCertificate{}, jsonRevocation{}, jsonStamp{}, Place{}} {
		for f := range reflect.TypeOf(typ).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields[name] = true
			if !described[name] {
				t.Errorf("docs/report.md does not describe %s", name)
			}
		}
	}
	for name := range described {
		if !fields[name] {
			t.Errorf("docs/report.md describes %s, which is not there", name)
		}
	}
}

func TestParseLanguage(t *testing.T) {
	for tag, want := range map[string]Language{"": English, "en": English, "ru": Russian} {
		if l, err := ParseLanguage(tag); l != want || err != nil {
			t.Errorf("%q: %v, %v", tag, l, err)
		}
	}
	if _, err := ParseLanguage("de"); err == nil {
		t.Error("German is spoken")
	}
}

// What a countersignature covers is another signature, not the content.
func TestRenderCountersignature(t *testing.T) {
	r := &Report{Format: "cms", Signatures: []Signature{{Name: "SignerInfo 1, countersignature 1",
		Coverage: []Coverage{{Place: Place{Offset: 7, End: 71, Path: "signerInfos[0].signature"}, Octets: 64}},
		Checks:   []Check{{Code: SignatureValue}},
	}}}
	for l, want := range map[Language]string{
		English: "covers   the signature value at signerInfos[0].signature, 64 octets digested\n",
		Russian: "охватывает   значение подписи signerInfos[0].signature, хэшировано октетов: 64\n",
	} {
		var b strings.Builder
		if err := r.WriteText(&b, "m.p7s", l); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("got %s, want %s", b.String(), want)
		}
	}
}
