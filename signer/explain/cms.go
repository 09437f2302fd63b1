package explain

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// CMS explains the signers of a CMS message. Options.Pristine is the content as it was signed. The error is that of
// cms.Verify: the message could not be examined.
func CMS(ctx context.Context, message []byte, policy cms.Policy, o Options) (*Explanation, error) {
	r, err := cms.Verify(message, policy)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Report: r}
	if r.Integrity() == report.Valid && o.Dump == nil {
		return out, nil
	}
	parts, err := cms.Dissect(message, policy.Limits, slices.Concat(policy.Certificates, o.Certificates))
	if err != nil {
		return nil, err
	}
	e := &cmsExplainer{search: newSearch(ctx, xmltext.Limits{}, o), options: o, parts: parts, out: out, content: parts.Content}
	if e.content == nil && (policy.Detached || len(policy.Content) > 0) {
		e.content = policy.Content
		if e.content == nil {
			e.content = []byte{}
		}
	}
	if parts.Content != nil && policy.Content != nil && !bytes.Equal(parts.Content, policy.Content) {
		e.other = policy.Content
	}
	for i := range parts.Signers {
		e.signer(i, &parts.Signers[i])
	}
	return out, nil
}

type cmsExplainer struct {
	*search
	options Options
	parts   *cms.Parts
	content []byte // nil when there is none
	other   []byte // content given beside one that is attached and differs
	out     *Explanation
}

func (e *cmsExplainer) dump(i int, name string, octets []byte) {
	if e.options.Dump != nil && octets != nil {
		e.options.Dump(fmt.Sprintf("signer-%d/%s", i, name), octets)
	}
}

// index finds a signer among the signatures of the report, where countersignatures are between signers.
func (e *cmsExplainer) index(name string) int {
	return max(0, slices.IndexFunc(e.out.Report.Signatures, func(s report.Signature) bool { return s.Name == name }))
}

func (e *cmsExplainer) passed(n int, code report.Code) bool {
	return n < len(e.out.Report.Signatures) && slices.ContainsFunc(e.out.Report.Signatures[n].Checks, func(c report.Check) bool {
		return c.Code == code && c.Status == report.Passed
	})
}

func (e *cmsExplainer) signer(i int, p *cms.SignerParts) {
	e.dump(i, "content", e.content)
	n := e.index(p.Name)
	method := digestByIdentifier(p.DigestAlgorithm)
	if p.Attributes != nil && p.MessageDigest != nil && e.content != nil && !e.passed(n, report.CMSMessageDigest) {
		if f, octets, wrong := e.messageDigest(p, method); wrong {
			f.Signature = n
			e.dump(i, "content-matching", octets)
			e.out.Findings = append(e.out.Findings, f)
		}
	}
	e.next()
	var keys []candidateKey
	for _, c := range p.Certificates {
		keys = addKey(keys, c)
	}
	named := len(keys)
	for _, c := range slices.Concat(e.options.Certificates, e.parts.Certificates) {
		keys = addKey(keys, c, KeyOther)
	}
	stated := algorithmByIdentifier(p.SignatureAlgorithm)
	signed := e.content
	if p.Attributes != nil {
		signed = setOf(p.Attributes)
		e.dump(i, "signed-attributes", signed)
	}
	if signed != nil && stated != nil && rightNow(signed, p.Signature, keys[:named], stated) {
		if method != stated.Digest {
			e.out.Findings = append(e.out.Findings, Finding{
				Mistakes: []Mistake{MethodOther}, Signature: n, Reference: -1, Subject: "digestAlgorithm", Place: p.Place,
				Code: report.CMSDigestMethod, What: []string{"the key is of " + stated.Name},
			})
		}
		return
	}
	f := Finding{
		Mistakes: []Mistake{Unknown}, Signature: n, Reference: -1, Subject: "signedAttrs", Place: p.SignaturePlace,
		Code: report.SignatureValue,
	}
	switch {
	case p.Attributes == nil:
		f.Subject = "content"
	case len(p.Attributes) == 0:
		return // refused by its structure
	}
	switch {
	case signed == nil:
		return // there is nothing to verify with, which the report says
	case len(keys) == 0:
		f.Code = report.CMSSigner
	default:
		values := []reading{{octets: p.Signature}}
		if found, octets, ok := e.value(e.signedOctets(p, signed), values, keys, stated); ok {
			f.Mistakes, f.What, f.Difference = found.Mistakes, found.What, difference(signed, octets)
			if p.Attributes != nil {
				f.Difference = nil // DER is nothing to read
			}
			e.dump(i, "signed-matching", octets)
		} else if e.exhausted {
			f.Mistakes = []Mistake{Exhausted}
		}
	}
	e.out.Findings = append(e.out.Findings, f)
}

// messageDigest explains the digest of the content.
func (e *cmsExplainer) messageDigest(p *cms.SignerParts, method *gost.Digest) (f Finding, octets []byte, wrong bool) {
	e.next()
	f = Finding{
		Mistakes: []Mistake{Unknown}, Reference: 0, Subject: "messageDigest", Place: p.MessageDigestPlace, Code: report.CMSMessageDigest,
	}
	w := &wanted{stated: hashName(p.DigestAlgorithm, method)}
	w.add(reading{octets: p.MessageDigest})
	candidates := append([]toVerify{{octets: e.content}}, e.contents()...)
	for i, c := range candidates {
		mistakes, what, ok := w.match(e.search, c.octets, i == 0 || len(c.octets) <= smallOctets)
		if !ok {
			if e.exhausted {
				f.Mistakes = []Mistake{Exhausted}
				break
			}
			continue
		}
		if i == 0 && len(mistakes) == 0 {
			return f, nil, false
		}
		f.Mistakes, f.What = slices.Concat(c.mistakes, mistakes), slices.Concat(c.what, what)
		f.Difference = difference(e.content, c.octets)
		return f, c.octets, true
	}
	return f, nil, true
}

// contents are what may have been digested in place of the content.
func (e *cmsExplainer) contents() []toVerify {
	var out []toVerify
	add := func(m Mistake, what string, octets []byte) {
		if octets != nil && !bytes.Equal(octets, e.content) {
			out = append(out, toVerify{octets: octets, mistakes: []Mistake{m}, what: []string{what}})
		}
	}
	if e.options.Pristine != nil {
		add(ContentEdited, "the pristine copy is what was signed", e.options.Pristine)
	}
	if e.other != nil {
		add(ContentEdited, "the content beside the message is what was signed, not the one in it", e.other)
	}
	for _, edit := range octetEdits {
		add(edit.mistake, edit.what, edit.do(e.content))
	}
	text := base64.StdEncoding.EncodeToString(e.content)
	add(ContentBase64Text, "base64 in one line", []byte(text))
	for _, width := range []int{76, 64} {
		for _, end := range []string{"\n", "\r\n"} {
			folded := fold(text, width, end)
			what := "base64 in lines of " + strconv.Itoa(width) + " that end with " +
				strings.NewReplacer("\r", "CR ", "\n", "LF").Replace(end)
			add(ContentBase64Text, what, []byte(folded))
			add(ContentBase64Text, what+", the last one too", []byte(folded+end))
		}
	}
	if decoded, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(e.content), nil))); err == nil && len(decoded) > 0 {
		add(ContentBase64Text, "what the base64 of the content stands for", decoded)
	}
	octetString, err := asn1.Marshal(e.content)
	if err == nil {
		add(ContentEncoding, "OCTET STRING with tag and length", octetString)
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(octetString) })
		if wrapped, err := b.Bytes(); err == nil {
			add(ContentEncoding, "[0] EXPLICIT OCTET STRING", wrapped)
		}
	}
	add(ContentIndented, "without white space between tags", stripBlanks(e.content))
	return out
}

func fold(text string, width int, end string) string {
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + end)
		text = text[width:]
	}
	b.WriteString(text)
	return b.String()
}

// signedOctets are what may have been signed, what should have been first.
func (e *cmsExplainer) signedOctets(p *cms.SignerParts, signed []byte) []toVerify {
	out := []toVerify{{octets: signed}}
	if p.Attributes == nil {
		out = append(out, e.contents()...)
		return append(out, toVerify{octets: sumOf(p, e.content), mistakes: []Mistake{SignedDigest}})
	}
	add := func(octets []byte, m ...Mistake) { out = append(out, toVerify{octets: octets, mistakes: m}) }
	orders := e.orders(p.Attributes)
	for _, attributes := range orders {
		add(setOf(attributes), AttributesOrder)
	}
	tagged := bytes.Clone(signed)
	tagged[0] = 0xA0
	add(tagged, AttributesTag)
	add(bytes.Join(p.Attributes, nil), AttributesBare)
	for _, digest := range e.otherDigests(p) {
		replaced := make([][]byte, len(p.Attributes))
		for i, a := range p.Attributes {
			replaced[i] = bytes.Replace(a, p.MessageDigest, digest, 1)
		}
		add(setOf(replaced), AttributesLate)
	}
	if e.content != nil {
		add(e.content, SignedContent)
		for _, c := range e.contents() {
			out = append(out, toVerify{octets: c.octets, mistakes: append([]Mistake{SignedContent}, c.mistakes...), what: c.what})
		}
	}
	if len(p.MessageDigest) > 0 {
		out = append(out, toVerify{digest: p.MessageDigest, mistakes: []Mistake{SignedDigest}})
		add(p.MessageDigest, SignedDigest)
	}
	return out
}

func sumOf(p *cms.SignerParts, octets []byte) []byte {
	if d := digestByIdentifier(p.DigestAlgorithm); d != nil {
		return sum(d.New(), octets)
	}
	return nil
}

// otherDigests are of the length of messageDigest, so that no length in the attributes changes.
func (e *cmsExplainer) otherDigests(p *cms.SignerParts) [][]byte {
	if len(p.MessageDigest) == 0 {
		return nil
	}
	out := [][]byte{reversed(p.MessageDigest), make([]byte, len(p.MessageDigest))}
	if e.content == nil {
		return out
	}
	for _, h := range hashes {
		if h := h.new(); h.Size() == len(p.MessageDigest) && e.spend(len(e.content)) {
			digest := sum(h, e.content)
			out = append(out, digest, reversed(digest))
		}
	}
	return slices.DeleteFunc(out, func(b []byte) bool { return bytes.Equal(b, p.MessageDigest) })
}

// orders are all orders of a few attributes, and that of DER of more.
func (e *cmsExplainer) orders(attributes [][]byte) [][][]byte {
	const few = 5
	sorted := slices.Clone(attributes)
	slices.SortFunc(sorted, bytes.Compare)
	out := [][][]byte{sorted}
	if len(attributes) > few {
		backwards := slices.Clone(attributes)
		slices.Reverse(backwards)
		return append(out, backwards)
	}
	var permute func(k int, a [][]byte)
	permute = func(k int, a [][]byte) {
		if k == len(a) {
			out = append(out, slices.Clone(a))
			return
		}
		for i := k; i < len(a); i++ {
			a[k], a[i] = a[i], a[k]
			permute(k+1, a)
			a[k], a[i] = a[i], a[k]
		}
	}
	permute(0, slices.Clone(attributes))
	return slices.DeleteFunc(out, func(a [][]byte) bool { return slices.EqualFunc(a, attributes, bytes.Equal) })
}

// setOf is the encoding of a SET OF elements in their order.
func setOf(elements [][]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
		for _, e := range elements {
			b.AddBytes(e)
		}
	})
	return b.BytesOrPanic() // the elements are in memory, hence shorter than what DER can say
}

func digestByIdentifier(oid string) *gost.Digest {
	for _, d := range []*gost.Digest{gost.Streebog256, gost.Streebog512, gost.GOSTR341194} {
		if d.OID.String() == oid {
			return d
		}
	}
	return nil
}

func algorithmByIdentifier(oid string) *gost.Algorithm {
	for _, a := range gost.Algorithms {
		if a.PublicKey.String() == oid || a.Signature.String() == oid {
			return a
		}
	}
	return nil
}
