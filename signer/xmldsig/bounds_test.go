package xmldsig

import (
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// spent is the processor time of this process.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What a message holds once must not be searched once for each of something else that it holds: a document takes not much
// longer than one of the same size that has nothing to be searched for.
func TestSearchedOnce(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	signed := string(p.sign(t, Enveloped, Input{Document: []byte(`<r><a Id="s"/></r>`), Target: "s"}))
	signature := cut(signed, "<ds:Signature ", "</ds:Signature>")
	repeat := strings.Repeat

	// Files in each other, for as many headers.
	attached := func(headers int) string {
		var b strings.Builder
		b.WriteString(`<t:SendRequestRequest` + types("1.2") + `><t:SenderProvidedRequestData><b:AttachmentHeaderList>`)
		for i := range headers {
			fmt.Fprintf(&b, `<b:AttachmentHeader><b:contentId>f%d</b:contentId></b:AttachmentHeader>`, i)
		}
		b.WriteString(`</b:AttachmentHeaderList></t:SenderProvidedRequestData>`)
		b.WriteString(repeat(`<b:AttachmentContent><b:Id>x</b:Id><b:Content/>`, 200) + repeat(`<b:a/>`, 20000))
		b.WriteString(repeat(`</b:AttachmentContent>`, 200) + `</t:SendRequestRequest>`)
		return b.String()
	}
	// Signatures that a filter is to leave out, for as many references.
	filtered := func(transform string) string {
		reference := `<ds:Reference URI="#s"><ds:Transforms>` + repeat(transform, maxTransforms) + `</ds:Transforms>` +
			`<ds:DigestMethod Algorithm="` + gost.Streebog256.URI + `"/><ds:DigestValue>` + repeat("A", 43) + `=</ds:DigestValue></ds:Reference>`
		many := strings.Replace(signature, cut(signature, "<ds:Reference ", "</ds:Reference>"), repeat(reference, maxReferences), 1)
		return `<r xmlns:ds="` + nsDS + `"><a Id="s"/>` + repeat(many, 12) + repeat(`<ds:Signature/>`, 100000) + `</r>`
	}
	for name, docs := range map[string][2]string{
		"attachments": {attached(maxAttachments), attached(1)},
		"filters": {
			filtered(`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">` +
				`<ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>`),
			filtered(`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`),
		},
	} {
		measure := func(doc string) time.Duration {
			best := time.Hour
			for range 2 {
				start := spent()
				policy := Policy{Attachment: func(string) (io.Reader, error) { return nil, nil }}
				if _, err := Verify([]byte(doc), policy); err != nil {
					t.Fatal(err)
				}
				best = min(best, spent()-start)
			}
			return best
		}
		ratio := 0.0
		for range 4 { // a busy machine may be slow for a while, not for long
			if ratio = float64(measure(docs[0])) / float64(measure(docs[1])); ratio < 3 {
				break
			}
		}
		if ratio >= 3 {
			t.Errorf("%s: it takes %.1f times as long", name, ratio)
		}
	}
}

// A message with a mistake every few octets gets no report that is many times as long.
func TestReportIsBounded(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	const n = 20000
	enveloped := string(p.sign(t, Enveloped, Input{Document: []byte(`<r/>`)}))
	qualified := string(p.sign(t, XAdESBES, Input{Document: []byte(`<r/>`), Time: time.Now()}))
	unsigned := func(inner string) string {
		return strings.Replace(qualified, "</xades:SignedProperties>", "</xades:SignedProperties><xades:UnsignedProperties>"+
			"<xades:UnsignedSignatureProperties>"+inner+"</xades:UnsignedSignatureProperties></xades:UnsignedProperties>", 1)
	}
	for name, doc := range map[string]string{
		"objects":      strings.Replace(enveloped, "</ds:KeyInfo>", "</ds:KeyInfo>"+strings.Repeat("<ds:Object>x</ds:Object>", n), 1),
		"time-stamps":  unsigned(strings.Repeat("<xades:SignatureTimeStamp><x/></xades:SignatureTimeStamp>", n)),
		"certificates": unsigned("<xades:CertificateValues>" + strings.Repeat("<xades:EncapsulatedX509Certificate/>", n) + "</xades:CertificateValues>"),
	} {
		r, err := Verify([]byte(doc), Policy{Trust: p.store})
		if err != nil || len(r.Signatures) != 1 {
			t.Fatal(name, err)
		}
		if checks := len(r.Signatures[0].Checks); checks > 600 {
			t.Errorf("%s: %d checks", name, checks)
		}
		if r.Verdict() == report.Valid {
			t.Errorf("%s: %v", name, r.Verdict())
		}
	}
}

// A file that many headers mean is not read for each of them without end.
func TestAttachmentsAreWork(t *testing.T) {
	message := func(size int) *report.Report {
		doc := `<t:SendRequestRequest` + types("1.2") + `><t:SenderProvidedRequestData><b:AttachmentHeaderList>` +
			strings.Repeat(`<b:AttachmentHeader><b:contentId>f</b:contentId></b:AttachmentHeader>`, maxAttachments) +
			`</b:AttachmentHeaderList></t:SenderProvidedRequestData><b:AttachmentContentList><b:AttachmentContent><b:Id>f</b:Id><b:Content>` +
			strings.Repeat("AAAA", size/4) + `</b:Content></b:AttachmentContent></b:AttachmentContentList></t:SendRequestRequest>`
		r, err := Verify([]byte(doc), Policy{Attachment: func(string) (io.Reader, error) { return nil, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	refused := func(r *report.Report) (n int) {
		for _, c := range r.Checks {
			if strings.Contains(c.Message, errTooMuch.Error()) {
				n++
			}
		}
		return n
	}
	if n := refused(message(1 << 10)); n > 0 {
		t.Errorf("%d of a small file are refused", n)
	}
	if n := refused(message(4 << 20)); n == 0 || n > maxAttachments/2 {
		t.Errorf("%d of a large file are refused", n)
	}
}
