package explain

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// opensslCMS has OpenSSL sign content.
func opensslCMS(t testing.TB, id *identity, content []byte, args ...string) []byte {
	t.Helper()
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: id.key.MarshalPKCS8()})
	out, err := oracle.OpenSSL(t, nil, append([]string{"cms", "-sign", "-binary", "-outform", "DER", "-in", oracle.File(t, content),
		"-signer", oracle.File(t, id.cert.PEM()), "-inkey", oracle.File(t, key)}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func explainCMS(t testing.TB, message []byte, policy cms.Policy, o Options) *Explanation {
	t.Helper()
	e, err := CMS(t.Context(), message, policy, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func signatureOf(t testing.TB, message []byte) cms.SignerParts {
	t.Helper()
	p, err := cms.Dissect(message, cms.Limits{}, nil)
	if err != nil || len(p.Signers) == 0 {
		t.Fatal(err)
	}
	return p.Signers[0]
}

// withValue puts another value of the same length in the place of the signature.
func withValue(t testing.TB, message []byte, change func([]byte) []byte) []byte {
	old := signatureOf(t, message).Signature
	return bytes.Replace(message, old, change(bytes.Clone(old)), 1)
}

func TestCMSMistakes(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	other := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	big := newIdentity(t, gost.GOST2012_512, "tc26-512-A")
	content := []byte("first line\nвторая строка\n")
	crlf := bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
	detached := func(message []byte) func(testing.TB) ([]byte, []byte) {
		return func(testing.TB) ([]byte, []byte) { return message, content }
	}
	resigned := func(change func(p cms.SignerParts) []byte, id *identity) []byte {
		message := opensslCMS(t, id, content)
		p := signatureOf(t, message)
		value, err := id.key.Sign(rand.Reader, sum(id.cert.PublicKey.Algorithm.Digest.New(), change(p)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Replace(message, p.Signature, value, 1)
	}
	fresh := opensslCMS(t, id, content)
	if e := explainCMS(t, fresh, cms.Policy{Detached: true, Content: content}, Options{}); len(e.Findings) > 0 ||
		e.Report.Integrity() != report.Valid {
		t.Fatalf("%+v", e.Findings)
	}
	for _, tc := range []struct {
		name      string
		make      func(t testing.TB) (message, content []byte)
		options   Options
		reference int
		want      []Mistake
	}{
		{"signed with CR LF", detached(opensslCMS(t, id, crlf)), Options{}, 0, []Mistake{ContentLineEnds}},
		{"signed with LF, checked with CR LF", func(testing.TB) ([]byte, []byte) { return fresh, crlf }, Options{}, 0,
			[]Mistake{ContentLineEnds}},
		{"signed with a BOM", detached(opensslCMS(t, id, append([]byte("\ufeff"), content...))), Options{}, 0, []Mistake{ContentBOM}},
		{"checked with a BOM", func(testing.TB) ([]byte, []byte) { return fresh, append([]byte("\ufeff"), content...) },
			Options{}, 0, []Mistake{ContentBOM}},
		{"a line feed lost", func(testing.TB) ([]byte, []byte) { return fresh, bytes.TrimSuffix(content, []byte("\n")) },
			Options{}, 0, []Mistake{ContentNewline}},
		{"a line feed added", func(testing.TB) ([]byte, []byte) {
			bare := bytes.TrimSuffix(content, []byte("\n"))
			return opensslCMS(t, id, bare), content
		}, Options{}, 0, []Mistake{ContentNewline}},
		{"UTF-16", detached(opensslCMS(t, id, []byte(iconv(t, string(content), "UTF-16LE")))), Options{}, 0, []Mistake{ContentCharset}},
		{"base64 signed", detached(opensslCMS(t, id, []byte(base64Text(content)))), Options{}, 0, []Mistake{ContentBase64Text}},
		{"base64 checked", func(testing.TB) ([]byte, []byte) { return fresh, []byte(base64Text(content)) }, Options{}, 0,
			[]Mistake{ContentBase64Text}},
		{"tag and length digested", detached(opensslCMS(t, id, append([]byte{4, byte(len(content))}, content...))),
			Options{}, 0, []Mistake{ContentEncoding}},
		{"edited", func(testing.TB) ([]byte, []byte) { return fresh, []byte("something else") },
			Options{Pristine: content}, 0, []Mistake{ContentEdited}},
		{"edited, and nobody knows how", func(testing.TB) ([]byte, []byte) { return fresh, []byte("something else") },
			Options{}, 0, []Mistake{Unknown}},
		{"attached, and other content beside", func(testing.TB) ([]byte, []byte) {
			m := opensslCMS(t, id, content, "-nodetach")
			changed := bytes.Replace(m, []byte("first"), []byte("FIRST"), 1)
			return changed, content
		}, Options{}, 0, []Mistake{ContentEdited}},

		{"halves swapped", detached(withValue(t, fresh, swapHalves)), Options{}, -1, []Mistake{ValueSwapped}},
		{"reversed", detached(withValue(t, fresh, reversed)), Options{}, -1, []Mistake{ValueReversed}},
		{"halves reversed", detached(withValue(t, fresh, func(v []byte) []byte { return swapHalves(reversed(v)) })),
			Options{}, -1, []Mistake{ValueHalves}},
		{"512 bits reversed", detached(withValue(t, opensslCMS(t, big, content), reversed)), Options{}, -1, []Mistake{ValueReversed}},
		{"over the content", detached(resigned(func(cms.SignerParts) []byte { return content }, id)), Options{},
			-1, []Mistake{SignedContent}},
		{"over the content with CR LF", detached(resigned(func(cms.SignerParts) []byte { return crlf }, id)), Options{},
			-1, []Mistake{SignedContent, ContentLineEnds}},
		{"over messageDigest", detached(resigned(func(p cms.SignerParts) []byte { return p.MessageDigest }, id)),
			Options{}, -1, []Mistake{SignedDigest}},
		{"with the tag A0", detached(resigned(func(p cms.SignerParts) []byte {
			b := setOf(p.Attributes)
			b[0] = 0xA0
			return b
		}, id)), Options{}, -1, []Mistake{AttributesTag}},
		{"without tag and length", detached(resigned(func(p cms.SignerParts) []byte { return bytes.Join(p.Attributes, nil) }, id)),
			Options{}, -1, []Mistake{AttributesBare}},
		{"in another order", detached(resigned(func(p cms.SignerParts) []byte {
			a := slices.Clone(p.Attributes)
			a[0], a[1] = a[1], a[0]
			return setOf(a)
		}, id)), Options{}, -1, []Mistake{AttributesOrder}},
		{"before messageDigest was right", detached(resigned(func(p cms.SignerParts) []byte {
			return bytes.Replace(setOf(p.Attributes), p.MessageDigest, make([]byte, len(p.MessageDigest)), 1)
		}, id)), Options{}, -1, []Mistake{AttributesLate}},
		{"another key, whose certificate is given", detached(withValue(t, fresh, func([]byte) []byte {
			v, err := other.key.Sign(rand.Reader, streebog(setOf(signatureOf(t, fresh).Attributes)), nil)
			if err != nil {
				t.Fatal(err)
			}
			return v
		})), Options{Certificates: []*gost.Certificate{other.cert}}, -1, []Mistake{KeyOther}},
		{"digest of another algorithm", detached(withValue(t, fresh, func([]byte) []byte {
			v, err := id.key.Sign(rand.Reader, opensslDigest(t, "md_gost94", setOf(signatureOf(t, fresh).Attributes)), nil)
			if err != nil {
				t.Fatal(err)
			}
			return v
		})), Options{}, -1, []Mistake{DigestAlgorithm}},
		{"a stranger's key", detached(withValue(t, fresh, func([]byte) []byte {
			v, _ := other.key.Sign(rand.Reader, streebog([]byte("x")), nil)
			return v
		})), Options{}, -1, []Mistake{Unknown}},
		{"without attributes, signed with CR LF", detached(opensslCMS(t, id, crlf, "-noattr")), Options{}, -1, []Mistake{ContentLineEnds}},
		{"without attributes, over a digest", func(t testing.TB) ([]byte, []byte) {
			return opensslCMS(t, id, streebog(content), "-noattr"), content
		}, Options{}, -1, []Mistake{DigestTwice}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			message, content := tc.make(t)
			e := explainCMS(t, message, cms.Policy{Detached: true, Content: content}, tc.options)
			expectMistakes(t, e, tc.reference, tc.want...)
		})
	}
}

// What others broke on purpose.
func TestCMSVectors(t *testing.T) {
	dir := filepath.Join(vectors.Others(t), "gost", "cms")
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	content := read("content.bin")
	for name, want := range map[string][][]Mistake{
		"083-sigalg-512-on-256-key":        {{MethodOther}},
		"084-sigalg-2001-on-2012-key":      {{MethodOther}},
		"085-sigalg-rsa":                   {{MethodOther}},
		"091-digestalg-512-with-256-key":   {{MethodOther}},
		"096-attrs-unsorted-signed-sorted": {{AttributesOrder}},
		"098-attrs-signed-implicit-tag":    {{AttributesTag}},
		"099-attrs-signature-over-content": {{SignedContent}},
		"103-attrs-wrong-messagedigest":    {{Unknown}},
		"104-attrs-messagedigest-reversed": {{DigestReversed}},
		"127-detached-wrong-content":       {{ContentLineEnds}},
		"156-signature-bitflip-s":          {{Unknown}},
		"158-signature-swapped":            {{ValueSwapped}},
		"159-signature-reversed":           {{ValueReversed}},
		"160-signature-der-sequence":       {{ValueDER}},
		"161-signature-extra-byte":         {{ValueTrailing}},
		"162-signature-empty":              {{Unknown}},
		"128-detached-ok":                  nil,
	} {
		message := read(name + ".p7s")
		p, err := cms.Dissect(message, cms.Limits{}, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		policy := cms.Policy{}
		if p.Content == nil {
			policy.Detached, policy.Content = true, content
			if strings.Contains(name, "wrong-content") {
				policy.Content = read("content-other.bin")
			}
		}
		e := explainCMS(t, message, policy, Options{})
		var got [][]Mistake
		for _, f := range e.Findings {
			got = append(got, f.Mistakes)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.p7s"))
	sound := 0
	for _, file := range files {
		message := read(filepath.Base(file))
		policy := cms.Policy{}
		if p, err := cms.Dissect(message, cms.Limits{}, nil); err != nil || p.Content == nil {
			policy.Detached, policy.Content = true, content
		}
		if r, err := cms.Verify(message, policy); err != nil || r.Integrity() != report.Valid {
			continue
		}
		sound++
		if e := explainCMS(t, message, policy, Options{Dump: func(string, []byte) {}}); len(e.Findings) > 0 {
			t.Errorf("%s: %+v", file, e.Findings)
		}
	}
	if sound < 60 {
		t.Errorf("only %d in order", sound)
	}
}

func FuzzCMS(f *testing.F) {
	for _, name := range []string{"099-attrs-signature-over-content", "104-attrs-messagedigest-reversed", "158-signature-swapped"} {
		if message, err := os.ReadFile(filepath.Join(vectors.Others(f), "gost", "cms", name+".p7s")); err == nil {
			f.Add(message, []byte("content"))
		}
	}
	f.Fuzz(func(t *testing.T, message, content []byte) {
		ctx, cancel := contextWithin(t, 10*time.Millisecond)
		defer cancel()
		policy := cms.Policy{Detached: true, Content: content}
		before, err := cms.Verify(message, policy)
		e, explainErr := CMS(ctx, message, policy, Options{})
		if (err == nil) != (explainErr == nil) || err == nil && before.Verdict() != e.Report.Verdict() {
			t.Fatalf("%v, %v", err, explainErr)
		}
	})
}
