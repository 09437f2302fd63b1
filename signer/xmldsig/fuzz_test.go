package xmldsig

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
)

func seeds(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, pattern := range []string{"smev-messages/made/*.xml", "gost/xmldsig/*.xml"} {
		files, err := filepath.Glob(vectors.Path(pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(f)] = data
		}
	}
	return out
}

// FuzzVerify: any octets are either refused with a code or reported on, and places lie in the document.
func FuzzVerify(f *testing.F) {
	for _, doc := range seeds(f) {
		f.Add(doc)
	}
	for _, m := range messagesToSign() {
		f.Add([]byte(m.doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, err := Verify(doc, Policy{Time: time.Unix(vectors.Time, 0), Content: []byte("x")})
		if err != nil {
			if code(err) == "" || code(err) == report.Internal {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, s := range r.Signatures {
			for _, c := range s.Checks {
				if c.Place.Offset < 0 || c.Place.End > len(doc) || c.Place.Offset > c.Place.End || c.Code == report.Internal {
					t.Fatalf("%+v", c)
				}
			}
		}
	})
}

// FuzzPrepare: what can be prepared can be verified, and keeps the input.
func FuzzPrepare(f *testing.F) {
	p := newPair(f, gost.GOST2012_256, "CryptoPro-A")
	for i, m := range messagesToSign() {
		f.Add([]byte(m.doc), i, m.target)
	}
	f.Fuzz(func(t *testing.T, doc []byte, which int, target string) {
		profile := Profiles[uint(which)%uint(len(Profiles))]
		if profile == XAdEST {
			profile = XAdESBES // until there is a time-stamp
		}
		prepared, err := profile.Prepare(Input{Document: doc, Certificate: p.cert, Target: target})
		if err != nil {
			if code(err) == "" || code(err) == report.Internal {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := prepared.Complete(value)
		if err != nil {
			t.Fatal(err)
		}
		policy := Policy{Profile: profile, Trust: p.store, Target: target}
		switch {
		case profile == Detached && !strings.HasPrefix(target, "#"):
			policy.Content, policy.Target = append([]byte{}, doc...), ""
		case !profile.targeted() || profile == SMEV2SP:
			policy.Target = ""
		}
		r, err := Verify(out, policy)
		if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		// Other signatures in the document may be anything; the new one must hold.
		valid := false
		for _, s := range r.Signatures {
			open := bytes.Contains(doc, []byte("Manifest")) && s.Verdict() == report.Indeterminate
			valid = valid || s.Profile == profile.Name && (s.Verdict() == report.Valid || open)
		}
		if !valid {
			t.Fatalf("%s%s in %q", profile.Name, messages(r), out)
		}
		if policy.Content == nil && !isInsertion(string(doc), string(out)) {
			t.Fatalf("%q is not kept in %q", doc, out)
		}
	})
}

// FuzzAddTimeStamp: what a time-stamp is added to stays as it is, and well-formed.
func FuzzAddTimeStamp(f *testing.F) {
	p := newPair(f, gost.GOST2012_256, "CryptoPro-A")
	for _, doc := range []string{`<doc/>`, `<doc xmlns:xades="urn:x"><a/></doc>`} {
		bes := string(p.sign(f, XAdESBES, Input{Document: []byte(doc)}))
		f.Add([]byte(bes), "")
		f.Add([]byte(strings.Replace(bes, "</xades:QualifyingProperties>",
			"<xades:UnsignedProperties><xades:UnsignedDataObjectProperties/></xades:UnsignedProperties></xades:QualifyingProperties>", 1)),
			"signature")
		f.Add([]byte(strings.Replace(bes, "</xades:QualifyingProperties>", "<xades:UnsignedProperties/></xades:QualifyingProperties>", 1)),
			"signature")
	}
	f.Fuzz(func(t *testing.T, doc []byte, id string) {
		octets, err := TimeStampInput(doc, id, xmltext.Limits{})
		out, adding := AddTimeStamp(doc, id, []byte("token"), xmltext.Limits{})
		if code(err) == report.Internal || code(adding) == report.Internal || err != nil && adding == nil {
			t.Fatalf("%v, %v", err, adding)
		}
		if adding != nil {
			return
		}
		if !isInsertion(string(doc), string(out)) {
			t.Fatalf("%q is not kept in %q", doc, out)
		}
		again, err := TimeStampInput(out, id, xmltext.Limits{})
		if err != nil || !bytes.Equal(again, octets) {
			t.Fatalf("%v: %q is now %q", err, octets, again)
		}
		r, err := Verify(out, Policy{})
		if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		for _, s := range r.Signatures {
			for _, c := range s.Checks {
				if c.Code == report.Internal {
					t.Fatal(c.Message)
				}
			}
		}
	})
}
