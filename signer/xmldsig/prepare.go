package xmldsig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Input is what to sign.
type Input struct {
	// Document is XML in UTF-8; for a detached signature over content that stays outside, that content.
	Document []byte
	// Certificate of the signing key.
	Certificate *gost.Certificate
	// Target is the Id of the element to sign (with or without '#'), where the profile leaves a choice: enveloped and
	// xades-bes (empty: the root), smev2-sp (empty: the only smev:AppData), smev3-personal (an Id to add to content that
	// has none). detached needs it: "#id" of an element beside the signature, or the URI of content that stays outside.
	Target string
	// Time is the claimed signing time (XAdES); zero leaves it out. The certificate must be valid now, and then.
	Time time.Time
	// Keys prepares the key that Complete verifies the value with; may be nil.
	Keys   *gost.KeyCache
	Limits xmltext.Limits
}

// Prepared is a signature that awaits its value. Safe for concurrent use.
type Prepared struct {
	doc    []byte // the signed document, blank where the value goes
	given  atomic.Bool
	value  int // offset of the blank
	key    *gost.PublicKey
	keys   *gost.KeyCache
	digest []byte
	of     [][]byte
	id     string
}

// SignatureID is the Id of the Signature, empty when it has none; signatures of XAdES have one.
func (p *Prepared) SignatureID() string { return p.id }

// Digest is what the key must sign: the digest of the canonical SignedInfo, in wire order.
func (p *Prepared) Digest() []byte { return slices.Clone(p.digest) }

// Contents are the DigestValues of the references to what is signed, in their order; that to the properties of XAdES is left
// out. They must not be changed.
func (p *Prepared) Contents() [][]byte { return p.of }

// Complete checks the value (s ‖ r) with the certificate's key and returns the signed document: the caller's octets plus
// insertions. The one exception is an empty-element tag that must take the signature in: its "/>" becomes a pair of tags.
// The document is handed over and not kept: after a value that fits, every further call is RequestInvalid. The error is a
// *report.Error.
func (p *Prepared) Complete(signature []byte) ([]byte, error) {
	if err := p.keys.Verify(p.key, p.digest, signature); err != nil {
		message := "the value does not verify with the key in the certificate"
		if errors.Is(err, gost.ErrSignatureLength) {
			message = "the value has a wrong length for the key in the certificate"
		}
		return nil, &report.Error{Code: report.SignatureValue, Message: message}
	}
	return p.fill(signature)
}

// CompleteVerified is Complete with a value that need not be checked again, provided that it was with the certificate's key and
// over this digest; any other is.
func (p *Prepared) CompleteVerified(value gost.Verified) ([]byte, error) {
	if !value.Of(p.key, p.digest) {
		return p.Complete(value.Signature())
	}
	return p.fill(value.Signature())
}

func (p *Prepared) fill(signature []byte) ([]byte, error) {
	if p.given.Swap(true) {
		return nil, report.Errorf(report.RequestInvalid, report.Place{}, "the signature has been completed before")
	}
	doc := p.doc
	p.doc = nil
	base64.StdEncoding.Encode(doc[p.value:], signature)
	return doc, nil
}

// Prepare checks everything that can be checked before a key is touched, adds what the profile's places need, and digests.
// Errors are *report.Error.
func (p *Profile) Prepare(in Input) (*Prepared, error) {
	if err := checkSigner(in.Certificate, in.Time); err != nil {
		return nil, err
	}
	return p.prepare(in, signing[p])
}

func (p *Profile) prepare(in Input, foreseen foresight) (*Prepared, error) {
	plan := &plan{keys: in.Keys, draft: draft{algorithm: in.Certificate.PublicKey.Algorithm, certificate: in.Certificate.Raw}}
	source := in.Document
	var o *outline
	if p.place == apart && !strings.HasPrefix(in.Target, "#") {
		if err := plan.external(&in); err != nil {
			return nil, err
		}
		source = nil
	} else {
		var err error
		if o, err = locate(in.Document, in.Limits, foreseen); err != nil {
			return nil, err
		}
		defer o.release()
		if err := plan.make(p, o, &in); err != nil {
			return nil, err
		}
	}
	return plan.digest(source, o, in.Certificate.PublicKey, in.Limits)
}

// plan is a draft and where it goes.
type plan struct {
	draft   draft
	keys    *gost.KeyCache
	edits   []edit // besides the Signature
	at      edit   // where the Signature goes: its text stands between before and after
	after   string
	closing int // where the tail of an enveloping Signature goes
}

// edit puts text at an offset of the document; skip octets there are left out.
type edit struct {
	at, skip int
	text     string
	scope    int  // 1 + the element whose content gets a new namespace in scope, 0 for none
	carries  bool // the Signature follows text
}

func (pl *plan) make(p *Profile, o *outline, in *Input) error {
	if c, clash := o.firstClash(); clash {
		return o.fail(report.XMLDuplicateID, c.second, "this element has the same Id as the one at line %d", o.place(c.first).Line)
	}
	var err error
	switch p.place {
	case inWrapper:
		err = pl.smev3(p, o, in)
	case inSecurity:
		err = pl.smev2(p, o, in)
	case firstChild:
		err = pl.appData(p, o, in)
	case lastChild:
		err = pl.enveloped(p, o, in)
	case around:
		err = pl.enveloping(p, o, in)
	case apart:
		err = pl.detached(p, o, in)
	}
	if err != nil {
		return err
	}
	if err := pl.inlined(o); err != nil {
		return err
	}
	return pl.spare(o)
}

// inside puts the Signature into an element: before its first child, or behind its last.
func (pl *plan) inside(o *outline, n int, first bool) {
	node := &o.nodes[n]
	switch {
	case node.empty():
		pl.at = edit{at: node.tag.End - len("/>"), skip: len("/>"), text: ">"}
		pl.after = "</" + node.qname + ">"
	case first:
		pl.at = edit{at: node.tag.End}
	default:
		pl.at = edit{at: node.end.Start}
	}
}

// wrap puts an element around the Signature, inside what is around it already.
func (pl *plan) wrap(start, end string) {
	pl.at.text += start
	pl.after = end + pl.after
}

// digest writes the document with blanks, fills in the digests and digests SignedInfo. o is the outline of the source, nil
// without one.
func (pl *plan) digest(source []byte, o *outline, key *gost.PublicKey, limits xmltext.Limits) (*Prepared, error) {
	w := pl.draft.write()
	defer w.release()
	place, after := pl.at, pl.after
	place.carries = true
	edits := pl.edits
	if w.tail != "" {
		edits, after = append(edits, edit{at: pl.closing, text: w.tail}), ""
	}
	edits = append(edits, place)
	slices.SortStableFunc(edits, func(a, b edit) int { return a.at - b.at })
	grows := func(e *edit) int {
		if e.carries {
			return len(e.text) + len(w.head) + len(after) - e.skip
		}
		return len(e.text) - e.skip
	}

	size := len(source)
	for i := range edits {
		size += grows(&edits[i])
	}
	doc := make([]byte, 0, size)
	from, signature := 0, -1
	for _, e := range edits {
		doc = append(append(doc, source[from:e.at]...), e.text...)
		if e.carries {
			signature = len(doc)
			doc = append(append(doc, w.head...), after...)
		}
		from = e.at + e.skip
	}
	doc = append(doc, source[from:]...)

	contents := make([][]byte, 0, 1)
	for i, r := range pl.draft.references {
		h := pl.draft.algorithm.Digest.New()
		node, from := canon.Node{Whole: r.whole}, 0
		switch {
		case r.content != nil:
			h.Write(r.content)
		case r.inside == "object":
			node.Element = signature + w.object
		case r.inside == "properties":
			from, node.Element = signature, w.properties // as for SignedInfo
		case !r.whole:
			node.Element = r.target
			for i := range edits {
				if edits[i].at <= r.target {
					node.Element += grows(&edits[i])
				}
			}
		}
		chain := transforms(r.transforms, signature)
		if octets, ok := pl.ahead(o, &r, chain); ok && limits.Admit(len(doc)) {
			h.Write(octets)
		} else if r.content == nil {
			if err := canon.Apply(h, doc[from:], node, chain, limits); err != nil {
				return nil, asError(err)
			}
		}
		value := h.Sum(nil)
		base64.StdEncoding.Encode(doc[signature+w.digests[i]:], value)
		if r.inside != "properties" {
			contents = append(contents, value)
		}
	}

	// The Signature declares what SignedInfo uses, so its canonical form is the same in the text alone.
	h := pl.draft.algorithm.Digest.New()
	text := doc[signature : signature+len(w.head)]
	if err := canon.Apply(h, text, canon.Node{Element: w.signedInfo}, transforms(chainExclusive, 0), limits); err != nil {
		return nil, asError(err)
	}
	return &Prepared{doc: doc, value: signature + w.value, key: key, keys: pl.keys, digest: h.Sum(nil), of: contents, id: pl.draft.id}, nil
}

// ahead returns the octets of a reference if they have been made of the source, and the document signed has the same. Only
// exclusive canonicalization is foreseen, which does not see what is declared around the element and not used in it.
func (pl *plan) ahead(o *outline, r *draftReference, chain []canon.Transform) ([]byte, bool) {
	if o == nil || r.content != nil || r.inside != "" || r.whole {
		return nil, false
	}
	octets, end, ok := o.ahead.octets(canon.Node{Element: r.target}, chain)
	changes := func(e edit) bool { return r.target < e.at && e.at < end }
	return octets, ok && !changes(pl.at) && !slices.ContainsFunc(pl.edits, changes)
}

// transforms is a chain without parameters but the place of the signature.
func transforms(uris []string, signature int) []canon.Transform {
	chain := make([]canon.Transform, len(uris))
	for i, uri := range uris {
		chain[i] = canon.Transform{URI: uri}
		switch uri {
		case canon.EnvelopedURI:
			chain[i].Signature = signature
		case canon.XPathURI:
			chain[i].OmitSignatures = true
		}
	}
	return chain
}

// external plans a signature that stands alone over content outside.
func (pl *plan) external(in *Input) error {
	if in.Target == "" {
		return report.Errorf(report.RequestInvalid, report.Place{},
			"a detached signature needs a target: \"#id\", or the URI of the content")
	}
	if len(in.Target) > 2048 || bytes.ContainsFunc([]byte(in.Target), func(r rune) bool { return r <= ' ' || r == 0x7F || r == '\uFFFD' }) {
		return report.Errorf(report.RequestInvalid, report.Place{}, "the target of the detached signature is not a URI")
	}
	content := in.Document
	if content == nil {
		content = []byte{}
	}
	pl.draft.references = []draftReference{{uri: in.Target, content: content}}
	return nil
}
