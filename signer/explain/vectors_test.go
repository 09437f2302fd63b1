package explain

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// What others broke on purpose, or by accident, has the name of what was done to it.
func TestVectors(t *testing.T) {
	unknown := []Mistake{Unknown}
	for file, want := range map[string][][]Mistake{
		"gost/xmldsig/15-content-modified.xml":                {unknown},
		"gost/xmldsig/16-attribute-modified.xml":              {unknown},
		"gost/xmldsig/17-signedinfo-modified.xml":             {unknown},
		"gost/xmldsig/18-whitespace-in-signedinfo.xml":        {{SignedInfoIndented}},
		"gost/xmldsig/23-signature-swapped.xml":               {{ValueSwapped}},
		"gost/xmldsig/24-signature-reversed.xml":              {{ValueReversed}},
		"gost/xmldsig/25-signature-65-bytes.xml":              {{ValueTrailing}},
		"gost/xmldsig/26-digest-reversed.xml":                 {{DigestReversed}},
		"gost/xmldsig/27-method-512-with-256-key.xml":         {{MethodOther}},
		"gost/xmldsig/28-method-2001-with-2012-key.xml":       {{MethodOther, DigestAlgorithm}},
		"gost/xmldsig/29-digest-sha256.xml":                   {},
		"gost/xmldsig/41-certificate-other-key.xml":           {unknown},
		"smev-messages/official/SendRequestResponseOK.xml":    {{SignedInfoIndented}},
		"smev-messages/official/SendRequestResponseAsync.xml": {{SignedInfoIndented}},
		"smev-messages/official/SendResponseResponseOK.xml":   {{SignedInfoIndented}},
		"smev-messages/official/GetRequestResponsePersonalSignature.xml": {{SignedInfoIndented},
			{SignedInfoIndented}, {SignedInfoIndented}},
		"smev-messages/official/GetRequestResponseAttachFTP.xml":    {unknown, {SignedInfoIndented}, unknown, {SignedInfoIndented}},
		"smev-messages/made/bad-smev2-body-text-changed.xml":        {unknown},
		"smev-messages/made/bad-smev2-body-whitespace-added.xml":    {unknown},
		"smev-messages/made/bad-smev3-content-changed.xml":          {unknown},
		"smev-messages/made/bad-smev3-signedinfo-reindented.xml":    {{SignedInfoIndented}},
		"smev-messages/made/bad-smev3-signature-halves-swapped.xml": {{ValueSwapped}},
		"smev-messages/made/bad-smev3-signature-reversed.xml":       {{ValueReversed}},
		"smev-messages/made/bad-smev3-wrapped-duplicate-id.xml":     {{TargetDuplicate}},
		"smev-messages/made/smev3-send-request-256u.xml":            {},
	} {
		doc, err := os.ReadFile(filepath.Join(vectors.Others(t), file))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		e := explainXML(t, doc, Options{})
		var got [][]Mistake
		for _, f := range e.Findings {
			got = append(got, f.Mistakes)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v, want %v", file, got, want)
			for _, f := range e.Findings {
				t.Logf("   %+v", f)
			}
		}
		t.Logf("%s: %v", file, time.Since(start).Round(time.Millisecond))
	}
}

// A message that is in order has no findings, whatever else of its kind is in the vectors.
func TestNothingToExplain(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(vectors.Others(t), "*", "*", "*.xml"))
	sound := 0
	for _, name := range files {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := xmldsig.Verify(doc, xmldsig.Policy{})
		if err != nil || r.Integrity() != report.Valid {
			continue
		}
		sound++
		if e := explainXML(t, doc, Options{Dump: func(string, []byte) {}}); len(e.Findings) > 0 {
			t.Errorf("%s: %+v", name, e.Findings)
		}
	}
	if sound < 40 {
		t.Errorf("only %d", sound)
	}
}
