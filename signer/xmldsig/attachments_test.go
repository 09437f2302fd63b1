package xmldsig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// files opens attachments that are in memory.
func files(all map[string]string) func(string) (io.Reader, error) {
	return func(id string) (io.Reader, error) {
		if content, ok := all[id]; ok {
			return strings.NewReader(content), nil
		}
		return nil, nil
	}
}

// TestAttachmentVector: the message of another program with both kinds of attachments.
func TestAttachmentVector(t *testing.T) {
	doc := string(vectors.Read(t, "smev-messages/made/smev3-send-request-attachment.xml"))
	file := string(vectors.Read(t, "smev-messages/made/attachment.bin"))
	uuid := cut(doc, "<b:uuid>", "</b:uuid>")
	uuid = uuid[len("<b:uuid>") : len(uuid)-len("</b:uuid>")]
	r, err := Verify([]byte(doc), Policy{Attachment: files(map[string]string{uuid: file})})
	if err != nil || r.Integrity() != report.Valid || len(r.Signatures) != 3 {
		t.Fatalf("%v %s%s", err, r.Integrity(), messages(r))
	}
	if r.Signatures[1].Name != "SignaturePKCS7 of file1" || r.Signatures[2].Name != "SignaturePKCS7 of "+uuid ||
		r.Signatures[2].Signer == nil {
		t.Errorf("%s, %s", r.Signatures[1].Name, r.Signatures[2].Name)
	}
	if r, err = Verify([]byte(doc), Policy{}); err != nil || len(r.Signatures) != 1 {
		t.Errorf("attachments are looked at unasked: %v", err)
	}
	r, err = Verify([]byte(doc), Policy{Attachment: files(map[string]string{uuid: file + "x"})})
	if err != nil || r.Integrity() != report.Invalid || !slices.Contains(codes(r.Failures()), report.CMSMessageDigest) {
		t.Errorf("another file: %v%s", err, messages(r))
	}
	changed := strings.Replace(doc, "<b:Content>0J", "<b:Content>0K", 1) // not covered by the signature of the message
	r, err = Verify([]byte(changed), Policy{Attachment: files(map[string]string{uuid: file})})
	if err != nil || r.Signatures[0].Integrity() != report.Valid || !slices.Contains(codes(r.Failures()), report.CMSMessageDigest) {
		t.Errorf("another content: %v%s", err, messages(r))
	}
}

// TestAttachments: what headers may say of a file, in messages whose own signature holds.
func TestAttachments(t *testing.T) {
	p, official := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_512, "tc26-512-A")
	const file, uuid = "the file", "8c1c0a10-f1ee-11f0-8a5e-0242ac120002"
	signature := func(content string) string {
		prepared, err := cms.ProfileByName("pkcs7-detached").Prepare(cms.Input{Certificate: official.cert,
			Content: []byte(content), Time: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		value, err := official.key.Sign(nil, prepared.Digest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		message, err := prepared.Complete(value)
		if err != nil {
			t.Fatal(err)
		}
		return "<b:SignaturePKCS7>" + base64.StdEncoding.EncodeToString(message) + "</b:SignaturePKCS7>"
	}
	digest := func(d *gost.Digest, content string) string {
		h := d.New()
		h.Write([]byte(content))
		return "<b:Hash>" + base64Of(h.Sum(nil)) + "</b:Hash>"
	}
	short, long := digest(gost.Streebog256, file), digest(gost.Streebog512, file)
	reference := func(content string) string {
		return "<b:RefAttachmentHeaderList><b:RefAttachmentHeader><b:uuid>" + uuid + "</b:uuid>" + content +
			"</b:RefAttachmentHeader></b:RefAttachmentHeaderList>"
	}
	inside := func(content string) string {
		return "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>" + uuid + "</b:contentId>" + content +
			"</b:AttachmentHeader></b:AttachmentHeaderList>"
	}
	include := `<xop:Include xmlns:xop="` + nsXOP + `" href="cid:1"/>`
	good := files(map[string]string{uuid: file})
	for _, c := range []struct {
		name    string
		headers string
		open    func(string) (io.Reader, error)
		verdict report.Verdict
		code    report.Code
		count   int // signatures
	}{
		{"as it must be", reference(long + signature(file)), good, report.Valid, "", 2},
		{"in the message", inside(signature(file)), good, report.Valid, "", 2},
		{"no attachments", "", good, report.Valid, "", 1},
		{"another file", reference(long + signature(file)), files(map[string]string{uuid: "other"}), report.Invalid,
			report.CMSMessageDigest, 2},
		{"a hash of another file", reference(digest(gost.Streebog512, "other") + signature(file)), good,
			report.Invalid, report.CMSContent, 2},
		{"a hash by another algorithm", reference(short + signature(file)), good, report.Invalid, report.CMSContent, 2},
		{"a signature of another file", reference(long + signature("other")), good, report.Invalid, report.CMSMessageDigest, 2},
		{"no signature", reference(short), good, report.Valid, "", 1},
		{"no signature, another file", reference(short), files(map[string]string{uuid: "other"}), report.Invalid,
			report.ReferenceDigest, 1},
		{"no signature in the message", inside(""), good, report.Indeterminate, "", 1},
		{"no hash", reference(signature(file)), good, report.Invalid, report.ProfileForm, 1},
		{"a hash in no base64", reference("<b:Hash>!</b:Hash>" + signature(file)), good, report.Invalid, report.ProfileForm, 1},
		{"two signatures", reference(long + signature(file) + signature(file)), good, report.Invalid, report.ProfileForm, 1},
		{"no uuid", strings.Replace(reference(long), "<b:uuid>"+uuid+"</b:uuid>", "", 1), good, report.Invalid, report.ProfileForm, 1},
		{"a signature in no base64", reference(long + "<b:SignaturePKCS7>!</b:SignaturePKCS7>"), good, report.Invalid, report.CMSSyntax, 1},
		{"a signature that is none", reference(long + "<b:SignaturePKCS7>AAAA</b:SignaturePKCS7>"), good,
			report.Invalid, report.CMSSyntax, 1},
		{"not at hand", reference(long + signature(file)), files(nil), report.Indeterminate, "", 1},
		{"unreadable", reference(long + signature(file)),
			func(string) (io.Reader, error) { return nil, errors.New("no such file") }, report.Invalid, report.ReferenceDigest, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := strings.Replace(messagesToSign()[1].doc, "</b:MessagePrimaryContent>", "</b:MessagePrimaryContent>"+c.headers, 1)
			signed := p.sign(t, SMEV3, Input{Document: []byte(doc)})
			policy := Policy{Trust: trusting(p, official), Attachment: c.open}
			r, err := Verify(signed, policy)
			if err != nil || r.Verdict() != c.verdict || len(r.Signatures) != c.count {
				t.Fatalf("%v %s, %d signatures%s", err, r.Verdict(), len(r.Signatures), messages(r))
			}
			if c.code != "" && !slices.Contains(codes(r.Failures()), c.code) {
				t.Errorf("want %s, got%s", c.code, messages(r))
			}
			for _, check := range r.Failures() {
				if check.Place.Line == 0 || check.Place.Path == "" {
					t.Errorf("%s has no place", check.Message)
				}
			}
			if c.count == 2 && (r.Signatures[1].Name != "SignaturePKCS7 of "+uuid ||
				!bytes.Equal(r.Signatures[1].Signer.Certificate, official.cert.Raw)) {
				t.Errorf("%s", r.Signatures[1].Name)
			}
		})
	}
	// SignaturePKCS7 as an xop:Include: covered as written, not here. (We do not sign such; others do.)
	doc := strings.Replace(messagesToSign()[1].doc, "</b:MessagePrimaryContent>",
		"</b:MessagePrimaryContent>"+reference(long+"<b:SignaturePKCS7>AAAA</b:SignaturePKCS7>"), 1)
	signed := strings.Replace(string(p.sign(t, SMEV3, Input{Document: []byte(doc)})), "AAAA<", include+"<", 1)
	if r, err := Verify([]byte(signed), Policy{Attachment: good}); err != nil || !slices.ContainsFunc(r.Checks, func(c report.Check) bool {
		return c.Code == report.CMSSyntax && c.Status == report.NotChecked
	}) {
		t.Errorf("an Include: %v%s", err, messages(r))
	}
	// What the parties call so in their content is theirs.
	doc = strings.Replace(messagesToSign()[1].doc, "<q:Note>", reference("")+"<q:Note>", 1)
	if r, err := Verify(p.sign(t, SMEV3, Input{Document: []byte(doc)}), Policy{Trust: p.store, Attachment: good}); err != nil ||
		r.Verdict() != report.Valid {
		t.Errorf("a header in the content: %v%s", err, messages(r))
	}
}

// TestAttachmentDecoys: of what the message holds under one Id, the reader may take another one than was checked.
func TestAttachmentDecoys(t *testing.T) {
	doc := string(vectors.Read(t, "smev-messages/made/smev3-send-request-attachment.xml"))
	file := string(vectors.Read(t, "smev-messages/made/attachment.bin"))
	uuid := cut(doc, "<b:uuid>", "</b:uuid>")
	uuid = uuid[len("<b:uuid>") : len(uuid)-len("</b:uuid>")]
	content := cut(doc, "<b:AttachmentContent>", "</b:AttachmentContent>")
	space := `xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"`
	swapped := strings.Replace(content, "<b:Content>0J", "<b:Content>0K", 1)
	if content == swapped || !strings.Contains(doc, space) {
		t.Fatal(content, space)
	}
	hidden := strings.Replace(content, "<b:AttachmentContent>", "<b:AttachmentContent "+space+">", 1)
	odd := func(id string) string { return strings.Replace(swapped, "file1", id, 1) }
	for name, changed := range map[string]string{
		"before the list":   strings.Replace(strings.Replace(doc, content, swapped, 1), "<S:Body", hidden+"<S:Body", 1),
		"first in the list": strings.Replace(doc, content, content+swapped, 1),
		"an Id in pieces":   strings.Replace(doc, content, odd("fi<!-- -->le1")+content, 1),
		"a reference in Id": strings.Replace(doc, content, content+odd("fil&#101;1"), 1),
		"an Id in CDATA":    strings.Replace(doc, content, content+odd("<![CDATA[file1]]>"), 1),
		"two Ids":           strings.Replace(doc, content, content+strings.Replace(swapped, "<b:Id>", "<b:Id>x</b:Id><b:Id>", 1), 1),
		"two contents": strings.Replace(doc, content,
			strings.Replace(content, "</b:Content>", "</b:Content><b:Content>0K==</b:Content>", 1), 1),
		"out of its list": strings.Replace(strings.Replace(doc, content, "", 1), "<S:Body", hidden+"<S:Body", 1),
		"a list elsewhere": strings.Replace(strings.Replace(doc, content, "", 1), "<S:Body",
			"<b:AttachmentContentList "+space+">"+hidden+"</b:AttachmentContentList><S:Body", 1),
		"in the other's name": strings.Replace(doc, content,
			content+strings.ReplaceAll(strings.Replace(swapped, "<b:AttachmentContent>", `<q:AttachmentContent xmlns:q="urn:q">`, 1),
				"</b:AttachmentContent>", "</q:AttachmentContent>"), 1),
	} {
		if changed == doc {
			t.Fatal(name)
		}
		r, err := Verify([]byte(changed), Policy{Attachment: files(map[string]string{uuid: file})})
		if (err == nil && r.Integrity() == report.Valid) != (name == "in the other's name") {
			t.Errorf("%s: %v%s", name, err, messages(r))
		}
	}
}
