package explain

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// signedInfo explains the signature value. digested are the octets that the references state.
func (e *xmlExplainer) signedInfo(n int, parts *xmldsig.Parts, digested [][]byte) {
	e.next()
	base := source{
		doc: e.index.doc, node: canon.Node{Element: parts.SignedInfo.Offset, Comments: true}, end: parts.SignedInfo.End,
		signature: parts.Place.Offset, chain: []canon.Transform{parts.C14N}, other: -1,
	}
	info, err := e.run(&base)
	if err == nil {
		e.dump("signature-%d/signed-info", n)(info)
	}
	var keys []candidateKey
	for _, c := range parts.Certificates {
		keys = addKey(keys, c)
	}
	named := len(keys)
	for _, c := range slices.Concat(e.options.Certificates, e.message) {
		keys = addKey(keys, c, KeyOther)
	}
	stated := gost.AlgorithmByURI(parts.Method)
	values := readValue(parts.Value, ValueAlphabet)
	if info != nil && stated != nil && len(values) > 0 && len(values[0].mistakes) == 0 &&
		rightNow(info, values[0].octets, keys[:named], stated) {
		return
	}
	f := Finding{
		Signature: n, Reference: -1, Subject: "SignedInfo", Place: parts.SignedInfo, Code: report.SignatureValue,
		Mistakes: []Mistake{Unknown},
	}
	switch {
	case len(keys) == 0:
		f.Code = report.KeyInfo
	default:
		if found, octets, ok := e.value(e.infos(base, info, parts, digested), values, keys, stated); ok {
			f.Mistakes, f.What = found.Mistakes, found.What
			f.Difference = difference(info, octets)
			e.dump("signature-%d/signed-info-matching", n)(octets)
		} else if e.exhausted {
			f.Mistakes = []Mistake{Exhausted}
		}
		e.editedInfo(&f, info, values, keys[:named])
	}
	e.add(f)
}

// rightNow tells whether the value verifies as it should.
func rightNow(info, value []byte, keys []candidateKey, stated *gost.Algorithm) bool {
	return slices.ContainsFunc(keys, func(k candidateKey) bool {
		return k.key.Public().Algorithm == stated && k.key.Verify(sum(stated.Digest.New(), info), value) == nil
	})
}

// infos are the octets that may have been signed, what should have been first.
func (e *xmlExplainer) infos(base source, info []byte, parts *xmldsig.Parts, digested [][]byte) []toVerify {
	var out []toVerify
	if info != nil {
		out = append(out, toVerify{octets: info})
		for _, octets := range refilled(info, parts, digested) {
			out = append(out, toVerify{octets: octets, mistakes: []Mistake{SignedInfoDigest}})
		}
		out = append(out, e.variations(info, base.depthIn(e.index), nil, nil)...)
	}
	r := &referenceSearch{search: e.search, index: e.index, parts: parts, base: base, target: -1}
	sources := r.chains(base)
	if n := e.index.at(parts.SignedInfo.Offset); n >= 0 {
		r.target, r.ref = n, &xmldsig.ReferenceParts{}
		sources = append(sources, r.documents()...)
	}
	for i := range sources {
		octets, err := e.run(&sources[i])
		if err != nil {
			continue
		}
		mistakes := slices.Clone(sources[i].mistakes)
		if len(sources[i].chain) > len(base.chain) && sources[i].chain[len(sources[i].chain)-1].URI == canon.SMEVURI {
			mistakes = []Mistake{SignedInfoTransform}
		}
		out = append(out, toVerify{octets: octets, mistakes: mistakes, what: sources[i].what})
		if stripped := stripBlanks(octets); !bytes.Equal(stripped, octets) {
			out = append(out, toVerify{octets: stripped, mistakes: append(mistakes, SignedInfoIndented), what: sources[i].what})
		}
	}
	for i, octets := range digested {
		if octets == nil {
			continue
		}
		out = append(out, toVerify{octets: octets, mistakes: []Mistake{SignedContent}})
		if values := readValue(parts.References[i].Value, DigestAlphabet); len(values) > 0 {
			out = append(out, toVerify{digest: values[0].octets, mistakes: []Mistake{SignedDigest}},
				toVerify{octets: values[0].octets, mistakes: []Mistake{SignedDigest}})
		}
	}
	if info != nil {
		for _, octets := range renamed(info, parts) {
			out = append(out, toVerify{octets: octets, mistakes: []Mistake{SignedInfoMethod}})
		}
	}
	return out
}

func (s *source) depthIn(x *index) int {
	if n := x.at(s.node.Element); n >= 0 {
		return x.elements[n].depth
	}
	return 0
}

// variations are edits of octets; those of white space have a name of their own in SignedInfo.
func (e *xmlExplainer) variations(octets []byte, depth int, mistakes []Mistake, what []string) []toVerify {
	var out []toVerify
	for _, edit := range slices.Concat(xmlEdits, indentations(depth), octetEdits) {
		if !e.spend(len(octets)) {
			break
		}
		changed := edit.do(octets)
		if changed == nil || bytes.Equal(changed, octets) {
			continue
		}
		m := edit.mistake
		if m == ContentIndented || m == ContentUnindented {
			m = SignedInfoIndented
		}
		out = append(out, toVerify{
			octets: changed, mistakes: append(slices.Clone(mistakes), m), what: append(slices.Clone(what), edit.what),
		})
	}
	return out
}

// refilled is SignedInfo with other digest values: those of the content as it is now, and none, in all references at once and
// in each alone.
func refilled(info []byte, parts *xmldsig.Parts, digested [][]byte) [][]byte {
	var out [][]byte
	all := info
	for i, ref := range parts.References {
		fill := func(text string) []byte {
			return bytes.Replace(info, []byte(">"+ref.Value+"<"), []byte(">"+text+"<"), 1)
		}
		out = append(out, fill(""))
		d := gost.DigestByURI(ref.Method)
		if d == nil || digested[i] == nil {
			continue
		}
		text := base64.StdEncoding.EncodeToString(sum(d.New(), digested[i]))
		out = append(out, fill(text), fill(base64.StdEncoding.EncodeToString(reversed(sum(d.New(), digested[i])))))
		all = bytes.Replace(all, []byte(">"+ref.Value+"<"), []byte(">"+text+"<"), 1)
		for _, reading := range readValue(ref.Value, DigestAlphabet) {
			out = append(out, fill(base64.StdEncoding.EncodeToString(reversed(reading.octets))))
		}
	}
	out = append(out, all)
	return slices.DeleteFunc(out, func(b []byte) bool { return bytes.Equal(b, info) })
}

// Identifiers of algorithms, by their tails.
var (
	namespaces  = []string{"urn:ietf:params:xml:ns:cpxmlsec:algorithms:", "http://www.w3.org/2001/04/xmldsig-more#"}
	methodTails = []string{"gostr34102001-gostr3411", "gostr34102012-gostr34112012-256", "gostr34102012-gostr34112012-512",
		"gostr34102012-256", "gostr34102012-512"}
	digestTails   = []string{"gostr3411", "gostr34112012-256", "gostr34112012-512"}
	otherC14NURIs = []string{canon.ExclusiveURI, canon.InclusiveURI}
)

// renamed is SignedInfo with other identifiers of algorithms.
func renamed(info []byte, parts *xmldsig.Parts) [][]byte {
	var out [][]byte
	replace := func(in []byte, old, with string) []byte {
		return bytes.ReplaceAll(in, []byte(`"`+old+`"`), []byte(`"`+with+`"`))
	}
	var methods, digests []string
	for _, space := range namespaces {
		for _, tail := range methodTails {
			methods = append(methods, space+tail)
		}
		for _, tail := range digestTails {
			digests = append(digests, space+tail)
		}
	}
	bodies := [][]byte{info}
	seen := map[string]bool{}
	for _, ref := range parts.References {
		if seen[ref.Method] {
			continue
		}
		seen[ref.Method] = true
		for _, uri := range digests {
			bodies = append(bodies, replace(info, ref.Method, uri))
		}
	}
	for _, body := range bodies {
		for _, uri := range methods {
			out = append(out, replace(body, parts.Method, uri))
		}
		out = append(out, body)
		for _, uri := range otherC14NURIs {
			if !strings.Contains(parts.C14N.URI, uri) {
				out = append(out, replace(body, parts.C14N.URI, uri))
			}
		}
	}
	slices.SortFunc(out, bytes.Compare)
	out = slices.CompactFunc(out, bytes.Equal)
	return slices.DeleteFunc(out, func(b []byte) bool { return bytes.Equal(b, info) })
}
