package xmldsig

import (
	"bytes"
	"encoding/base64"
	"strings"
	"sync"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
)

// draft is a ds:Signature to be written. Values of digests and of the signature have a known length, so the text is written
// once, with blanks of that length that are filled in later; every offset stays.
type draft struct {
	algorithm   *gost.Algorithm
	id          string // of the Signature, may be empty
	references  []draftReference
	certificate []byte // for X509Data
	tokenID     string // else the Id of the BinarySecurityToken
	prefixWSSE  string // bound where the Signature goes, when tokenID is set
	objectID    string // of an Object around content
	properties  string // QualifyingProperties in an Object of their own, may be empty
}

type draftReference struct {
	id, uri, typ string
	transforms   []string
	inside       string // the target is in the signature text: "object" or "properties"
	target       int    // else offset of the target in the document as it came
	whole        bool   // else the whole document
	content      []byte // else content outside
}

// written is the text of a draft with the offsets of what is filled in or canonicalized later.
type written struct {
	head       []byte // before the content of an Object; the whole text without one
	tail       string // after it; empty without one
	signedInfo int
	digests    []int
	value      int
	object     int
	properties int
	buffer     *bytes.Buffer
}

// texts are buffers of drafts: what is written is soon copied into the document.
var texts = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// release gives the text back.
func (w *written) release() {
	if w.buffer.Cap() <= 64<<10 {
		texts.Put(w.buffer)
	}
}

func (d *draft) write() *written {
	b := texts.Get().(*bytes.Buffer)
	b.Reset()
	w := &written{buffer: b}
	b.Grow(2048 + len(d.properties) + base64.StdEncoding.EncodedLen(len(d.certificate)))
	b.WriteString(`<ds:Signature xmlns:ds="` + nsDS + `"`)
	attributeIf(b, "Id", d.id)
	b.WriteString(`>`)
	w.signedInfo = b.Len()
	b.WriteString(`<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + canon.ExclusiveURI + `"/>` +
		`<ds:SignatureMethod Algorithm="` + d.algorithm.URI + `"/>`)
	for _, r := range d.references {
		b.WriteString(`<ds:Reference`)
		attributeIf(b, "Id", r.id)
		attributeIf(b, "Type", r.typ)
		b.WriteString(` URI="` + escape(r.uri) + `">`)
		if len(r.transforms) > 0 {
			b.WriteString(`<ds:Transforms>`)
			for _, t := range r.transforms {
				if t == canon.XPathURI {
					b.WriteString(`<ds:Transform Algorithm="` + t +
						`"><ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>`)
					continue
				}
				b.WriteString(`<ds:Transform Algorithm="` + t + `"/>`)
			}
			b.WriteString(`</ds:Transforms>`)
		}
		b.WriteString(`<ds:DigestMethod Algorithm="` + d.algorithm.Digest.URI + `"/><ds:DigestValue>`)
		w.digests = append(w.digests, b.Len())
		blank(b, d.algorithm.Digest.Size)
		b.WriteString(`</ds:DigestValue></ds:Reference>`)
	}
	b.WriteString(`</ds:SignedInfo><ds:SignatureValue>`)
	w.value = b.Len()
	blank(b, d.algorithm.SignatureSize())
	b.WriteString(`</ds:SignatureValue><ds:KeyInfo>`)
	if d.tokenID != "" {
		p := colon(d.prefixWSSE)
		b.WriteString(`<` + p + `SecurityTokenReference><` + p + `Reference URI="#` + escape(d.tokenID) +
			`" ValueType="` + tokenX509 + `"/></` + p + `SecurityTokenReference>`)
	} else {
		b.WriteString(`<ds:X509Data><ds:X509Certificate>`)
		b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), d.certificate))
		b.WriteString(`</ds:X509Certificate></ds:X509Data>`)
	}
	b.WriteString(`</ds:KeyInfo>`)
	if d.properties != "" {
		b.WriteString(`<ds:Object>`)
		w.properties = b.Len() + strings.Index(d.properties, `<xades:SignedProperties`)
		b.WriteString(d.properties + `</ds:Object>`)
	}
	if d.objectID == "" {
		b.WriteString(`</ds:Signature>`)
		w.head = b.Bytes()
		return w
	}
	w.object = b.Len()
	b.WriteString(`<ds:Object Id="` + escape(d.objectID) + `">`)
	w.head, w.tail = b.Bytes(), `</ds:Object></ds:Signature>`
	return w
}

// blank leaves room for the base64 of size octets.
func blank(b *bytes.Buffer, size int) {
	const most = "================================================================" + // of 512 bits
		"================================================================" + "============================================"
	b.WriteString(most[:base64.StdEncoding.EncodedLen(size)])
}

func attributeIf(b *bytes.Buffer, name, value string) {
	if value != "" {
		b.WriteString(` ` + name + `="` + escape(value) + `"`)
	}
}

func colon(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix + ":"
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")

// escape writes an attribute value as canonical XML does.
func escape(s string) string { return escaper.Replace(s) }
