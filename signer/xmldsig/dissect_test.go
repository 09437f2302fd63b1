package xmldsig

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/vectors"
)

// What Dissect takes apart is what Verify examines: the same signatures, at the same places, with the same names.
func TestDissect(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(vectors.Others(t), "smev-messages", "made", "*.xml"))
	if len(files) < 30 {
		t.Fatal(len(files))
	}
	for _, name := range files {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Verify(doc, Policy{})
		if err != nil {
			t.Fatal(err)
		}
		parts, err := Dissect(doc, xmltext.Limits{})
		if err != nil || len(parts) != len(r.Signatures) {
			t.Fatalf("%s: %d parts of %d signatures, %v", name, len(parts), len(r.Signatures), err)
		}
		for i, p := range parts {
			s := &r.Signatures[i]
			if p.Err != nil || p.Name != s.Name || p.Place != s.Place || len(p.References) == 0 || len(p.Certificates) != 1 {
				t.Errorf("%s: %+v", name, p)
			}
			for j, c := range s.Coverage {
				if ref := p.References[j]; len(s.Coverage) == len(p.References) && (ref.URI != c.URI || len(ref.Targets) != 1 ||
					ref.Targets[0] != c.Place || len(ref.Transforms) != len(c.Transforms)) {
					t.Errorf("%s: %+v, covered is %+v", name, ref, c)
				}
			}
		}
		if all, err := Certificates(doc, xmltext.Limits{}); err != nil || len(all) < len(parts) {
			t.Errorf("%s: %d certificates, %v", name, len(all), err)
		}
	}
	if _, err := Dissect([]byte("<a>"), xmltext.Limits{}); err == nil {
		t.Error("what is not XML is taken apart")
	}
}
