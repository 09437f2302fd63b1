package xmldsig

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// families are the codes that belong to a word in the column "fails" of cases.tsv.
var families = map[string][]report.Code{
	"digest":    {report.ReferenceDigest},
	"signature": {report.SignatureValue},
	"coverage":  {report.CoverageWrong, report.XMLDuplicateID},
}

func codes(checks []report.Check) []report.Code {
	var out []report.Code
	for _, c := range checks {
		out = append(out, c.Code)
	}
	return out
}

func messages(r *report.Report) string {
	var b strings.Builder
	for _, c := range r.Failures() {
		b.WriteString("\n\t" + string(c.Code) + ": " + c.Message + " (" + c.Place.String() + ") " + c.Expected + " / " + c.Got)
	}
	return b.String()
}

// TestMessages: messages of SMEV 2 and 3, official ones and made ones.
func TestMessages(t *testing.T) {
	for _, row := range vectors.TSV(t, vectors.Read, "smev-messages/cases.tsv") {
		if !strings.HasSuffix(row["file"], ".xml") {
			continue // CMS
		}
		t.Run(row["file"], func(t *testing.T) {
			read := vectors.Read
			if strings.HasPrefix(row["file"], "official/") {
				read = vectors.ReadOthers
			}
			r, err := Verify(read(t, "smev-messages/"+row["file"]), Policy{})
			if err != nil {
				t.Fatal(err)
			}
			vectors.Outcome(t, "smev messages", row["file"], row["expect"], r.Integrity().String())
			if got := r.Integrity().String(); got != row["expect"] {
				t.Errorf("verdict %s, want %s%s", got, row["expect"], messages(r))
			}
			if fails := row["fails"]; fails != "" && !slices.ContainsFunc(families[fails], func(c report.Code) bool {
				return slices.Contains(codes(r.Failures()), c)
			}) {
				t.Errorf("want a failure of %s, got%s", fails, messages(r))
			}
			var want, got []string
			for _, s := range strings.Split(strings.ReplaceAll(row["signatures"], "Security[actor ", "Security[actor_"), " ") {
				name, _, _ := strings.Cut(s, "#")
				want = append(want, strings.ReplaceAll(name, "actor_", "actor "))
			}
			for _, s := range r.Signatures {
				got = append(got, s.Name)
				if s.Signer == nil {
					t.Errorf("%s: no signer", s.Name)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("signatures %q, want %q", got, want)
			}
			if row["expect"] == "valid" {
				var uris []string
				for _, s := range r.Signatures {
					for _, c := range s.Coverage {
						uris = append(uris, c.URI)
						if c.Octets == 0 || c.Element == "" || c.Place.Line == 0 || c.Place.End <= c.Place.Offset || c.Place.Path == "" {
							t.Errorf("coverage %+v is not filled in", c)
						}
					}
				}
				for _, u := range uris {
					if !strings.Contains(row["signatures"], u) {
						t.Errorf("covers %s, not named in %s", u, row["signatures"])
					}
				}
			}
		})
	}
}

// policies are our answers to the cases where both can be defended.
var policies = map[string]struct{ verdict, why string }{
	"05-enveloped-256-http-alias":       {"valid", "the aliases are in the table of algorithms: read, never written"},
	"11-unsigned-part":                  {"valid", "the report says that only one item is covered"},
	"21-comment-in-text":                {"valid", "comments are outside of C14N; consumers must join text"},
	"22-comment-inserted-after-signing": {"valid", "as before"},
	"29-digest-sha256":                  {"invalid", "only GOST digests under a GOST signature"},
	"33-transform-unknown-smev":         {"invalid", "the SMEV transform is known and must come last"},
	// Not a policy case in the index, but one here: a signature with a shared secret has no signer.
	"47-hmac-256": {"invalid", "HMAC is no signature"},
}

// reasons are the codes that some cases must fail with.
var reasons = map[string]report.Code{
	"13-soap-wrapping-moved-body":        report.CoverageWrong,
	"14-soap-duplicate-id":               report.XMLDuplicateID,
	"15-content-modified":                report.ReferenceDigest,
	"16-attribute-modified":              report.ReferenceDigest,
	"17-signedinfo-modified":             report.SignatureValue,
	"18-whitespace-in-signedinfo":        report.SignatureValue,
	"23-signature-swapped":               report.SignatureValue,
	"24-signature-reversed":              report.SignatureValue,
	"25-signature-65-bytes":              report.SignatureValue,
	"26-digest-reversed":                 report.ReferenceDigest,
	"27-method-512-with-256-key":         report.SignatureMethod,
	"28-method-2001-with-2012-key":       report.SignatureMethod,
	"29-digest-sha256":                   report.ReferenceMethod,
	"30-method-unknown":                  report.SignatureMethod,
	"31-hmac-with-certificate":           report.SignatureMethod,
	"32-transform-xslt":                  report.ReferenceTransform,
	"33-transform-unknown-smev":          report.ReferenceTransform,
	"34-reference-external":              report.ReferenceURI,
	"35-reference-file":                  report.ReferenceURI,
	"36-reference-without-uri":           report.ReferenceURI,
	"37-reference-missing-target":        report.ReferenceTarget,
	"38-no-references":                   report.SignatureStructure,
	"39-doctype-entity":                  report.XMLDoctype,
	"40-doctype-default-attribute":       report.XMLDoctype,
	"41-certificate-other-key":           report.SignatureValue,
	"44-xades-cert-digest-wrong":         report.XAdESCertificate,
	"45-xades-issuerserial-wrong":        report.XAdESCertificate,
	"46-xades-signedproperties-unsigned": report.XAdESProperties,
	"47-hmac-256":                        report.SignatureMethod,
	"48-hmac-truncated-8-bits":           report.SignatureMethod,
}

func certificates(t testing.TB, name string) []*gost.Certificate {
	t.Helper()
	certs, err := gost.ParseCertificates(vectors.Read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

// TestXMLDSig: plain XMLDSig, WS-Security and XAdES, trust included.
func TestXMLDSig(t *testing.T) {
	var index struct {
		Cases []struct{ File, Name, Expect, Chain string }
	}
	vectors.JSON(t, "gost/xmldsig/index.json", &index)
	if len(index.Cases) != 48 {
		t.Fatalf("%d cases", len(index.Cases))
	}
	for _, c := range index.Cases {
		t.Run(c.Name, func(t *testing.T) {
			policy := Policy{Time: time.Unix(vectors.Time, 0)}
			if c.Chain != "" {
				dir := "gost/certs/" + c.Chain
				policy.Trust = trust.New(certificates(t, dir+"/root.pem"), certificates(t, dir+"/int.pem"))
			}
			key := strings.TrimSuffix(c.File, ".xml")
			want := c.Expect
			if p, ok := policies[key]; ok {
				want = p.verdict
			}
			if want == "policy" {
				t.Fatal("undecided")
			}
			got, detail := "invalid", ""
			var failures []report.Code
			r, err := Verify(vectors.Read(t, "gost/xmldsig/"+c.File), policy)
			if err != nil {
				failures, detail = []report.Code{err.(*report.Error).Code}, err.Error()
			} else {
				got, failures, detail = r.Verdict().String(), codes(r.Failures()), messages(r)
			}
			vectors.Outcome(t, "xmldsig", key, c.Expect, got)
			if got != want {
				t.Errorf("verdict %s, want %s: %s", got, want, detail)
			}
			if (want == "invalid") != (reasons[key] != "") {
				t.Errorf("no reason noted for an invalid case, or one for a valid case")
			}
			if code := reasons[key]; code != "" && !slices.Contains(failures, code) {
				t.Errorf("want code %s, got %v", code, failures)
			}
		})
	}
}

// TestCorpus: what other programs signed. One sample has a GOST R 34.11-94 digest beside a 2012 key, which needs leave.
func TestCorpus(t *testing.T) {
	files := 0
	for _, row := range vectors.TSV(t, vectors.ReadOthers, "corpus/index.tsv") {
		if !strings.HasPrefix(row["kind"], "xmldsig") {
			continue
		}
		for _, file := range strings.Fields(row["files"]) {
			files++
			t.Run(file, func(t *testing.T) {
				doc := vectors.ReadOthers(t, "corpus/"+file)
				r, err := Verify(doc, Policy{AllowGOST94: true})
				if err != nil {
					t.Fatal(err)
				}
				vectors.Outcome(t, "corpus xmldsig", file, row["verdict"], r.Integrity().String())
				if got := r.Integrity().String(); got != row["verdict"] {
					t.Errorf("verdict %s, want %s%s", got, row["verdict"], messages(r))
				}
				r, err = Verify(doc, Policy{})
				if err != nil {
					t.Fatal(err)
				}
				if strict, want := slices.Contains(codes(r.Failures()), report.ReferenceMethod), file == "xd-003.xml"; strict != want {
					t.Errorf("reference digest refused: %v, want %v", strict, want)
				}
			})
		}
	}
	if files != 8 {
		t.Errorf("%d files", files)
	}
}
