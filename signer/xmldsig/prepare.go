package xmldsig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
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

// inlined refuses to sign an xop:Include: the digest belongs to the octets that it stands for (XOP section 3.1), and these
// are not in the document.
func (pl *plan) inlined(o *outline) error {
	for _, r := range pl.draft.references {
		target := 0
		switch {
		case r.inside == "properties":
			continue
		case r.inside == "" && !r.whole:
			target, _ = slices.BinarySearchFunc(o.nodes, r.target, func(n node, at int) int { return n.tag.Start - at })
		}
		if n, ok := o.include(target); ok {
			return o.fail(report.RequestInvalid, n, "what is to be signed holds an xop:Include: put the octets in its place")
		}
	}
	return nil
}

// spare refuses what would change content that another signature covers: the order of signing is from the inside out.
func (pl *plan) spare(o *outline) error {
	if len(o.signatures) > maxSignatures {
		return report.Errorf(report.ReferenceLimit, report.Place{}, "more than %d signatures are in the document", maxSignatures)
	}
	for _, n := range o.signatures {
		s, _ := o.parse(n)
		if s == nil {
			continue // broken as it is
		}
		for _, e := range append(pl.edits, pl.at) {
			if pl.breaks(o, s, e) {
				return o.fail(report.AlreadySigned, n, "a further signature here would break this one: sign from the inside out")
			}
		}
	}
	return nil
}

// breaks tells whether an edit changes what s covers.
func (pl *plan) breaks(o *outline, s *signature, e edit) bool {
	inScope := func(n int) bool { return e.scope > 0 && o.within(n, e.scope-1) }
	if inScope(s.node) && inherits(s.c14n) {
		return true
	}
	for _, r := range s.references {
		target, known := o.documentOf(s.node), r.hasURI && r.uri == ""
		if name, local := strings.CutPrefix(r.uri, "#"); local {
			var b id
			b, known = o.bearers[name]
			target = b.node
		}
		if !known {
			continue
		}
		span := o.nodes[target].span()
		// A transform takes out the Signature itself, and with it its properties.
		own := slices.ContainsFunc(s.objects,
			func(object int) bool { return o.nodes[object].tag.End <= e.at && e.at <= o.nodes[object].end.Start })
		if own && slices.ContainsFunc(r.transforms, func(t transform) bool { return t.uri == canon.EnvelopedURI || t.filters }) {
			continue
		}
		bare := e == pl.at && (e.text == "" || e.text == ">") // the Signature alone
		if bare && slices.ContainsFunc(r.transforms, func(t transform) bool { return t.filters }) {
			continue
		}
		if span.Start < e.at && e.at < span.End || r.uri == "" && target == 0 && e.scope > 0 {
			return true
		}
		if inScope(target) && (!slices.ContainsFunc(r.transforms, canonicalizes) || slices.ContainsFunc(r.transforms, inherits)) {
			return true // without one it is inclusive canonicalization
		}
	}
	return false
}

func canonicalizes(t transform) bool { return canon.IsCanonicalization(t.uri) }

// inherits tells whether the octets of a canonicalization depend on namespaces that ancestors declare and nothing uses.
func inherits(t transform) bool {
	exclusive := t.uri == canon.ExclusiveURI || t.uri == canon.ExclusiveCommentsURI
	return canonicalizes(t) && !exclusive || len(t.prefixes) > 0
}

// firstClash finds the first repeated Id among those that schemas declare as xs:ID.
func (o *outline) firstClash() (found clash, ok bool) {
	for _, c := range o.twice {
		if c.declared && (!ok || c.second < found.second) {
			found, ok = c, true
		}
	}
	return found, ok
}

// unique makes an Id that the document does not use yet.
func (o *outline) unique(base string) string {
	id := base
	for i := 1; ; i++ {
		if _, taken := o.bearers[id]; !taken {
			return id
		}
		id = base + "-" + strconv.Itoa(i)
	}
}

// free makes a prefix that is not bound in the scope of n's content, so that declaring it changes the meaning of nothing.
func (o *outline) free(n int, base string) string {
	prefix := base
	for i := 1; ; i++ {
		if _, bound := o.lookup(n, prefix); !bound {
			return prefix
		}
		prefix = base + strconv.Itoa(i)
	}
}

// identify finds the Id (in the namespace space) of the element to sign, or adds one: want, else a unique one made from
// fallback.
func (pl *plan) identify(o *outline, target int, space, want, fallback string) (string, error) {
	n := &o.nodes[target]
	if id, ok := n.attr(space, "Id"); ok {
		switch _, twice := o.twice[id]; {
		case twice:
			return "", o.fail(report.XMLDuplicateID, target, "the Id of the element to sign is used by another element too")
		case want != "" && id != want:
			return "", o.fail(report.RequestInvalid, target, "the element to sign has another Id than the target asked for")
		case !isReferable(id):
			return "", o.fail(report.RequestInvalid, target, "the Id of the element to sign is not an NCName")
		}
		return id, nil
	}
	id := want
	if id == "" {
		id = o.unique(fallback)
	} else if b, taken := o.bearers[id]; taken {
		return "", o.fail(report.XMLDuplicateID, b.node, "the Id to add to the element to sign is used by another element")
	}
	if !isReferable(id) {
		return "", o.fail(report.RequestInvalid, target, "the Id to add to the element to sign is not an NCName")
	}
	e := edit{at: n.tag.Start + 1 + len(n.qname), text: ` Id="` + escape(id) + `"`}
	if space == nsWSU {
		prefix, ok := o.prefix(target, nsWSU, false)
		e.text = ` ` + prefix + `:Id="` + escape(id) + `"`
		if !ok {
			prefix = o.free(target, "wsu")
			e.text = ` xmlns:` + prefix + `="` + nsWSU + `" ` + prefix + `:Id="` + escape(id) + `"`
			e.scope = 1 + target
		}
	}
	pl.edits = append(pl.edits, e)
	return id, nil
}

// isReferable tells whether an Id can stand in a Reference as "#id": an NCName, not checked letter by letter beyond ASCII.
func isReferable(id string) bool {
	if id == "" || len(id) > 256 || strings.ContainsAny(id[:1], "-.0123456789") {
		return false
	}
	for _, c := range []byte(id) {
		if c < 0x80 && !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return true
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
