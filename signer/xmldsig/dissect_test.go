package xmldsig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
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

// Elements that share an Id are told in document order, and not without end.
func TestDissectSharedIDs(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	signed := string(p.sign(t, Enveloped, Input{Document: []byte(`<r><a Id="s"/></r>`), Target: "s"}))
	targets := func(doc string) (out []int) {
		parts, err := Dissect([]byte(doc), xmltext.Limits{})
		if err != nil || len(parts) != 1 {
			t.Fatal(parts, err)
		}
		for _, place := range parts[0].References[0].Targets {
			out = append(out, place.Offset)
		}
		return out
	}
	if got := targets(signed); !slices.Equal(got, []int{3}) {
		t.Errorf("targets at %v", got)
	}
	if got := targets(strings.Replace(signed, "<r>", `<r><b id="s" ID="s"/><c Id="x"/>`, 1)); !slices.Equal(got, []int{3, 32}) {
		t.Errorf("targets at %v", got)
	}
	if got := targets(strings.Replace(signed, "<r>", "<r>"+strings.Repeat(`<b ID="s"/>`, 1000), 1)); len(got) != maxTargets ||
		got[1] != 14 {
		t.Errorf("targets at %v", got)
	}
	if got := targets(strings.Replace(signed, `<a Id="s"`, `<a Id="t"`, 1)); got != nil {
		t.Errorf("targets at %v", got)
	}
}
