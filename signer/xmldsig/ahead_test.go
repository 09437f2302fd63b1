package xmldsig

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
)

// compareAhead holds what comes of a document with foresight to what comes of it without: Prepare where in has a
// certificate, and Verify.
func compareAhead(t *testing.T, profile *Profile, in Input) {
	t.Helper()
	if in.Certificate != nil {
		got, err := profile.prepare(in, signing[profile])
		want, wantErr := profile.prepare(in, nil)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%v ahead, %v without, in %q", err, wantErr, in.Document)
		}
		if err == nil && (!bytes.Equal(got.digest, want.digest) || !bytes.Equal(got.doc, want.doc)) {
			t.Fatalf("%s: ahead\n%s\nwithout\n%s", profile.Name, got.doc, want.doc)
		}
	}
	examine := func(f foresight) (*report.Report, map[string]string, error) {
		octets := map[string]string{}
		r, err := verify(in.Document, Policy{Time: time.Unix(vectors.Time, 0), Limits: in.Limits,
			Trace: func(name string, o []byte) { octets[name] = string(o) }}, f)
		return r, octets, err
	}
	got, octets, err := examine(verifying)
	want, wantOctets, wantErr := examine(nil)
	if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Fatalf("%v ahead, %v without, in %q", err, wantErr, in.Document)
	}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(octets, wantOctets) {
		t.Fatalf("ahead   %+v\nwithout %+v\nof %q", got, want, in.Document)
	}
}

// foreseen counts what was made ahead while a document was read.
func foreseen(t *testing.T, doc []byte, f foresight) (n int) {
	t.Helper()
	o, err := locate(doc, xmltext.Limits{}, f)
	if err != nil {
		t.Fatal(err)
	}
	defer o.release()
	if len(o.ahead.running) > 0 {
		t.Error("a canonicalization has not ended")
	}
	for _, c := range o.ahead.made {
		if c.end > 0 {
			n++
		}
	}
	return n
}

func TestAhead(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	ahead := map[*Profile]int{}
	for _, m := range messagesToSign() {
		in := Input{Document: []byte(m.doc), Certificate: p.cert, Target: m.target}
		compareAhead(t, m.profile, in)
		if m.name == "outside" {
			continue
		}
		// Signed, it has the Ids that were missing.
		in.Document = p.sign(t, m.profile, in)
		compareAhead(t, m.profile, in)
		if n := foreseen(t, in.Document, verifying); n == 0 {
			t.Errorf("%s %s: nothing was made ahead to verify", m.profile.Name, m.name)
		}
		if signing[m.profile] == nil {
			continue
		}
		open, end := bytes.Index(in.Document, []byte("<ds:Signature")), bytes.Index(in.Document, []byte("</ds:Signature>"))
		in.Document = append(bytes.Clone(in.Document[:open]), in.Document[end+len("</ds:Signature>"):]...)
		compareAhead(t, m.profile, in)
		ahead[m.profile] += foreseen(t, in.Document, signing[m.profile])
	}
	for _, profile := range []*Profile{SMEV3, SMEV3Personal, SMEV3Node, SMEV2, SMEV2Node} {
		if ahead[profile] == 0 {
			t.Errorf("%s: nothing was made ahead to sign", profile.Name)
		}
	}
	for _, doc := range seeds(t) {
		compareAhead(t, SMEV3, Input{Document: doc, Certificate: p.cert})
	}
}

// What is made ahead is dropped where it is not what is asked for.
func TestAheadInVain(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	message := func(content string) string {
		return soapOpen + `<t:SendRequestRequest` + types("1.2") + `><t:SenderProvidedRequestData Id="x">` + content +
			`</t:SenderProvidedRequestData></t:SendRequestRequest>` + soapClose
	}
	content := `<b:MessagePrimaryContent><q:q xmlns:q="urn:q" Id="y">1</q:q></b:MessagePrimaryContent>`
	inner := strings.TrimSuffix(strings.TrimPrefix(message(content), soapOpen), soapClose)
	inner = strings.Replace(strings.Replace(inner, `"x"`, `"z"`, 1), `"y"`, `"v"`, 1)
	long := strings.Repeat("x", maxAheadOctets)
	grows := strings.Replace(message(content+"<t:x>"+long[:16<<10]+"</t:x>"+strings.Repeat("<p:x/>", 1000)), " xmlns:t=",
		` xmlns:p="urn:`+long[:1000]+`" xmlns:t=`, 1)
	if n := foreseen(t, []byte(grows), signing[SMEV3]); n > 0 {
		t.Error("more octets are kept than there may be")
	}
	for name, doc := range map[string]string{
		"the same names deeper, first": strings.Replace(message(content), "<s:Body>", "<s:Header>"+inner+"</s:Header><s:Body>", 1),
		"the same names in content":    message(`<b:MessagePrimaryContent>` + inner + `</b:MessagePrimaryContent>`),
		"an Id of another kind":        strings.Replace(message(content), "<s:Body>", `<s:Body Id="b">`, 1),
		"too long":                     message(content + `<t:x>` + long + `</t:x>`),
		"too long when canonical":      grows,
		"refused by the transform":     message(content + `<x/>`),
		"a relative namespace":         message(content + `<x xmlns="relative"/>`),
		"an attribute in vain":         message(content + `<t:x xml:lang="ru"/>`),
		"cut off":                      message(content)[:400],
		"more than are made": strings.Replace(message(content), "<s:Body>",
			"<s:Header>"+strings.Repeat(strings.NewReplacer(`"z"`, `"w"`, `"v"`, `"w"`).Replace(inner), 3)+"</s:Header><s:Body>", 1),
	} {
		t.Run(name, func(t *testing.T) {
			for _, profile := range []*Profile{SMEV3, SMEV3Personal, SMEV2} {
				in := Input{Document: []byte(doc), Certificate: p.cert}
				compareAhead(t, profile, in)
				// A document that is within the limits only as long as it is not signed.
				in.Limits.Size = len(doc)
				compareAhead(t, profile, in)
				in.Limits.Size = 0
				if prepared, err := profile.Prepare(in); err == nil {
					compareAhead(t, profile, Input{Document: prepared.doc})
				}
			}
		})
	}
}

func FuzzAhead(f *testing.F) {
	p := newPair(f, gost.GOST2012_256, "CryptoPro-A")
	for _, doc := range seeds(f) {
		f.Add(doc, 0, "")
	}
	for i, m := range messagesToSign() {
		f.Add([]byte(m.doc), i, m.target)
		if m.name != "outside" {
			f.Add(p.sign(f, m.profile, Input{Document: []byte(m.doc), Target: m.target}), i, m.target)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, which int, target string) {
		compareAhead(t, Profiles[uint(which)%uint(len(Profiles))], Input{Document: doc, Certificate: p.cert, Target: target})
	})
}
