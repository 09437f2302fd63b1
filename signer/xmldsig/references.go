package xmldsig

import (
	"bytes"
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// finding is what became of one Reference.
type finding struct {
	*reference
	node    int           // the element meant, -1 when there is none
	whole   bool          // URI="" for the whole document
	outside bool          // content that is not in the document
	want    []byte        // the digest as written
	got     *digestion    // of what is meant, nil when problem says why not
	problem *report.Error // why it was not digested
	holds   bool          // the digest matches
}

// ask resolves one Reference and asks for its digest. The error is why it cannot be digested.
func (e *examiner) ask(t trace, x *examination, f *finding) *report.Error {
	r := f.reference
	if err := e.resolve(x, f); err != nil {
		return err
	}
	digest := gost.DigestByURI(r.method)
	switch {
	case digest == nil:
		return e.fail(report.ReferenceMethod, r.node, "the digest method is no GOST hash: %s", quote(r.method))
	case digest == gost.GOSTR341194 && x.algorithm != nil && x.algorithm != gost.GOST2001 && !e.policy.AllowGOST94:
		return e.fail(report.ReferenceMethod, r.node, "GOST R 34.11-94 is not accepted beside a key of GOST R 34.10-2012")
	}
	var err error
	f.want, err = decode(e.nodes[r.value].text)
	switch {
	case err != nil || e.nodes[r.value].children > 0:
		return e.fail(report.ReferenceDigest, r.value, "the digest value is not base64")
	case len(f.want) != digest.Size:
		return e.fail(report.ReferenceDigest, r.value, "the digest value has %d octets, not %d", len(f.want), digest.Size)
	}
	if e.digested++; e.digested > maxDigested {
		return e.fail(report.ReferenceLimit, r.node, "more than %d references in the document", maxDigested)
	}
	if f.outside {
		if len(r.transforms) > 0 {
			return e.fail(report.ReferenceTransform, r.transforms[0].node, "content outside the document takes no transforms")
		}
		f.got = e.digestOutside(digest, t)
		return nil
	}
	chain, problem := e.chain(x.s, r, f.node)
	if problem != nil {
		return problem
	}
	node := canon.Node{Whole: f.whole}
	if !f.whole {
		node.Element = e.nodes[f.node].tag.Start
	}
	f.got = e.digest(digest, f.node, node, chain, t)
	return nil
}

// answer reports on one Reference that was asked for.
func (e *examiner) answer(f *finding, out *report.Signature) {
	r := f.reference
	if f.problem == nil {
		f.problem = f.got.err
	}
	if f.problem != nil {
		check := failed(f.problem)
		if check.Place == (report.Place{}) {
			check.Place = e.place(r.node)
		}
		out.Add(check)
		return
	}
	got := f.got.value
	check := report.Check{Code: report.ReferenceDigest, Place: e.place(r.node), Expected: base64Of(f.want), Got: base64Of(got)}
	if f.holds = bytes.Equal(f.want, got); !f.holds {
		check.Status, check.Message = report.Failed, "the digest does not match: the content was changed after signing"
		out.Add(check)
		return
	}
	e.outside = e.outside || f.outside
	check.Message = "the digest matches the content"
	out.Add(check)
	covered := report.Coverage{URI: quote(r.uri), Digest: r.method, Octets: f.got.n}
	for _, t := range r.transforms {
		covered.Transforms = append(covered.Transforms, t.uri)
	}
	if !f.outside {
		covered.Place = e.place(f.node)
		if f.whole {
			covered.Place.Offset, covered.Place.End = 0, len(e.doc)
			covered.Place.Line, covered.Place.Column, covered.Place.Path = 1, 1, "/"
		} else {
			covered.Element = "{" + e.nodes[f.node].space + "}" + e.nodes[f.node].local
		}
	}
	out.Coverage = append(out.Coverage, covered)
	if n, ok := e.include(max(f.node, 0)); ok && !f.outside {
		out.Add(report.Check{Code: report.CoverageWrong, Status: report.NotChecked, Place: e.place(n),
			Message: "an xop:Include is covered as it is written: the octets that it stands for are not here and not covered"})
	}
}

// nest notes which signatures lie in what others cover, as a message of SMEV has the sender's in the node's.
func (e *examiner) nest() {
	for i, x := range e.all {
		for j, inner := range e.all {
			if i != j && slices.ContainsFunc(x.found, func(f finding) bool { return e.covers(x, &f, inner.node) }) {
				e.report.Signatures[i].Covers = append(e.report.Signatures[i].Covers, j)
			}
		}
	}
}

// covers tells whether a Reference that holds digests a further signature: this lies in the element meant, and no transform
// leaves it out.
func (e *examiner) covers(x *examination, f *finding, inner int) bool {
	if !f.holds || f.outside || !f.whole && !e.within(inner, f.node) ||
		slices.ContainsFunc(f.transforms, func(t transform) bool { return t.filters }) {
		return false
	}
	enveloped := slices.ContainsFunc(f.transforms, func(t transform) bool { return t.uri == canon.EnvelopedURI })
	return !enveloped || !e.within(inner, x.node)
}

// resolve finds what a Reference means: the whole document, an element by its Id, or content given beside the document.
func (e *examiner) resolve(x *examination, f *finding) *report.Error {
	id, local := strings.CutPrefix(f.uri, "#")
	switch {
	case !f.hasURI:
		return e.fail(report.ReferenceURI, f.reference.node, "the reference has no URI")
	case f.uri == "":
		f.node = e.documentOf(x.node)
		f.whole = f.node == 0
		return nil
	case local && strings.HasPrefix(id, "xpointer("):
		return e.fail(report.ReferenceURI, f.reference.node, "XPointer is not supported: use \"#id\"")
	case local:
		b, known := e.bearers[id]
		if !known {
			return e.fail(report.ReferenceTarget, f.reference.node, "no element has the Id %s", quote(id))
		}
		if c, twice := e.twice[id]; twice {
			return e.fail(report.XMLDuplicateID, c.second, "the Id %s is on more than one element", quote(id))
		}
		f.node = b.node
		return nil
	case e.policy.Content != nil && (e.policy.Profile == nil || e.policy.Profile == Detached):
		f.outside = true
		return nil
	}
	return e.fail(report.ReferenceURI, f.reference.node, "the reference points outside the document, and nothing is ever fetched")
}

// documentOf is the root of what URI="" means to a Signature: the document, or an entity of GIS GMP, which is signed as a
// document of its own before it is put into a message.
func (o *outline) documentOf(signature int) int {
	if r := o.ruleOf(o.nodes[signature].parent); r != nil && r.wrapper == entity {
		return o.nodes[signature].parent
	}
	return 0
}

// cover holds a signature against its row: the elements that count must be the very ones referred to.
func (e *examiner) cover(r *rule, s *signature, found []finding, out *report.Signature) {
	wrapper := e.nodes[s.node].parent
	form := func(at int, format string, args ...any) {
		out.Add(failed(e.fail(report.ProfileForm, at, format, args...)))
	}
	before := len(out.Checks)
	for _, path := range r.covers {
		target, n := e.covered(r, wrapper, path)
		if n != 1 {
			out.Add(failed(e.fail(report.CoverageWrong, s.node, "the message must hold exactly one %s", path)))
			continue
		}
		i := slices.IndexFunc(found, func(f finding) bool {
			return f.node == target && (!f.whole || r.wrapper == entity) // the entity may be the document
		})
		if i < 0 {
			check := failed(e.fail(report.CoverageWrong, s.signedInfo, "the signature does not cover the element that counts"))
			check.Expected = e.path(target)
			if len(found) > 0 && found[0].node >= 0 {
				check.Got = e.path(found[0].node)
			}
			out.Add(check)
			continue
		}
		e.chainForm(r.profile, found[i], form)
	}
	if r.profile.place == inWrapper {
		if e.nodes[wrapper].children != 1 {
			form(wrapper, "the signature must be the only child of its wrapper")
		}
		if len(found) != len(r.covers) {
			form(s.signedInfo, "there must be exactly one reference")
		}
	}
	if len(out.Checks) == before {
		out.Add(report.Check{Code: report.CoverageWrong, Message: "the elements that count are the ones covered", Place: e.place(s.node)})
	}
}

// chainForm compares the transforms with the profile's: a canonicalization, and the SMEV transform where the profile has it
// and only there. An enveloped-signature transform is tolerated.
func (e *examiner) chainForm(p *Profile, f finding, form func(at int, format string, args ...any)) {
	canonical, last := 0, ""
	for _, t := range f.transforms {
		switch {
		case canon.IsCanonicalization(t.uri):
			canonical++
		case t.uri == canon.SMEVURI, t.uri == canon.EnvelopedURI:
		default:
			form(t.node, "profile %s has no place for this transform", p.Name)
		}
		if t.uri != canon.EnvelopedURI {
			last = t.uri
		}
	}
	switch smev := slices.Contains(p.transforms, canon.SMEVURI); {
	case smev && last != canon.SMEVURI:
		form(f.reference.node, "SMEV 3 demands the transform %s", canon.SMEVURI)
	case !smev && slices.ContainsFunc(f.transforms, func(t transform) bool { return t.uri == canon.SMEVURI }):
		form(f.reference.node, "the transform %s has no place outside SMEV 3", canon.SMEVURI)
	case canonical == 0:
		form(f.reference.node, "profile %s demands exclusive canonicalization", p.Name)
	}
}

// shape tells whether a signature follows a profile that has no table: enveloped, enveloping, detached, XAdES. demand says
// what such a signature must do.
func (e *examiner) shape(p *Profile, s *signature, found []finding) (ok bool, demand string) {
	target, named := 0, e.policy.Target != ""
	if named {
		b, known := e.bearers[strings.TrimPrefix(e.policy.Target, "#")]
		if target = b.node; !known {
			return false, "no element has the Id that must be covered"
		}
	}
	for _, f := range found {
		switch p.place {
		case lastChild:
			demand = "the signature must lie in the element that counts and cover it but for itself"
			if p == Shared {
				demand = "the signature must lie in the element that counts and cover it but for all signatures"
			}
			ok = ok || f.node == target && e.within(s.node, target) && slices.ContainsFunc(f.transforms, func(t transform) bool {
				return t.uri == canon.EnvelopedURI && p != Shared || t.filters
			})
		case around:
			demand = "the signature must be the root and cover an Object of its own"
			ok = ok || s.node == 0 && slices.Contains(s.objects, f.node)
		case apart:
			demand = "the signature must lie beside what it covers"
			apart := f.node >= 0 && !e.within(f.node, s.node) && !e.within(s.node, f.node)
			ok = ok || f.outside && !named || apart && (!named || f.node == target)
		}
	}
	return ok, demand
}

// objects looks for what a Signature carries and does not cover: content of its own Objects that no Reference means, and the
// references of a ds:Manifest, which XMLDSig (section 5.1) leaves to the application and nobody follows here.
func (e *examiner) objects(s *signature, profile *Profile, found []finding, out *report.Signature) {
	referred := func(n int) bool {
		return slices.ContainsFunc(found, func(f finding) bool { return f.node == n && !f.whole })
	}
	status := report.NotChecked
	if profile != nil {
		status = report.Failed
	}
	manifest, carries := -1, false
	for _, object := range s.objects {
		if !carries && !referred(object) && !e.onlyKids(object, func(kid int) bool { return referred(kid) || e.isProperties(kid) }) {
			out.Add(report.Check{Code: report.CoverageWrong, Status: status, Place: e.place(object),
				Message: "the Signature carries an Object that it does not cover"})
			carries = true // one says enough
		}
		if list := e.named(object, "ds:Manifest"); len(list) > 0 && manifest < 0 {
			manifest = list[0]
		}
	}
	for _, f := range found {
		if manifest < 0 && (f.typ == typeManifest || f.node >= 0 && e.nodes[f.node].sym == "ds:Manifest") {
			manifest = f.reference.node
		}
	}
	if manifest >= 0 {
		out.Add(report.Check{Code: report.ReferenceDigest, Status: report.NotChecked, Place: e.place(manifest),
			Message: "the references of a ds:Manifest are not followed: what they mean is not covered"})
	}
}

// filtered looks for what a filter has taken out of a covered element and is more than signatures: content in Objects of
// other signatures, which those may or may not cover. (Objects of s itself are looked at by objects.)
func (e *examiner) filtered(s *signature, profile *Profile, found []finding, out *report.Signature) {
	status := report.NotChecked
	if profile != nil {
		status = report.Failed
	}
	for _, f := range found {
		if !f.holds || f.node < 0 || !slices.ContainsFunc(f.transforms, func(t transform) bool { return t.filters }) {
			continue
		}
		i := slices.IndexFunc(e.loads(), func(object int) bool { return e.within(object, f.node) && !e.within(object, s.node) })
		if i >= 0 {
			out.Add(report.Check{Code: report.CoverageWrong, Status: status, Place: e.place(e.loaded[i]),
				Message: "a filter leaves out an Object of another signature: its content is not covered"})
			return
		}
	}
}

// loads are the Objects of all signatures that hold anything but properties of a signature.
func (e *examiner) loads() []int {
	if e.loaded == nil {
		e.loaded = []int{}
		for _, signature := range e.signatures[:min(len(e.signatures), maxSignatures)] {
			for _, object := range e.named(signature, "ds:Object") {
				if !e.onlyKids(object, e.isProperties) {
					e.loaded = append(e.loaded, object)
				}
			}
		}
	}
	return e.loaded
}

// isProperties tells QualifyingProperties, which say something of a signature.
func (e *examiner) isProperties(n int) bool {
	return e.nodes[n].sym == "etsi:QualifyingProperties" ||
		e.nodes[n].sym == "xades:QualifyingProperties" && e.onlyKids(n, func(part int) bool {
			return e.nodes[part].sym == "xades:SignedProperties" || e.nodes[part].sym == "xades:UnsignedProperties"
		})
}

// onlyKids tells whether an element holds nothing but elements of a kind.
func (e *examiner) onlyKids(n int, kind func(kid int) bool) bool {
	kids := e.children(n)
	return !e.nodes[n].filled && len(kids) == e.nodes[n].children &&
		!slices.ContainsFunc(kids, func(kid int) bool { return !kind(kid) })
}
