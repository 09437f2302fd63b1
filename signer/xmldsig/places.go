package xmldsig

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/epov-signer/epov/signer/report"
)

// smev3 plans a signature in a wrapper of the table of SMEV 3.
func (pl *plan) smev3(p *Profile, o *outline, in *Input) error {
	if p != SMEV3Personal && in.Target != "" {
		return noChoice(p)
	}
	r, holder, err := o.ruleToMake(p)
	if err != nil {
		return err
	}
	target, n := o.find(o.base(r.wrapper), o.nodes[holder].version, r.covers[0])
	switch {
	case n == 0:
		return o.fail(report.TargetMissing, holder, "no %s to sign", r.covers[0])
	case n > 1:
		return o.fail(report.TargetAmbiguous, holder, "more than one %s", r.covers[0])
	}
	want := strings.TrimPrefix(in.Target, "#")
	if p == SMEV3Personal && want == "" && o.nodes[target].id() == "" {
		return o.fail(report.TargetMissing, target,
			"the content to sign has no attribute Id; its schema must allow one, and the target says which to add")
	}
	fallback := ""
	if len(r.ids) > 0 {
		fallback = r.ids[0]
	}
	id, err := pl.identify(o, target, "", want, fallback)
	if err != nil {
		return err
	}
	pl.draft.references = []draftReference{{uri: "#" + id, transforms: p.transforms, target: o.nodes[target].tag.Start}}

	_, name := split(r.wrapper)
	wrappers := o.named(holder, name)
	switch {
	case len(wrappers) > 1:
		return o.fail(report.TargetAmbiguous, wrappers[1], "a second place for the signature")
	case len(wrappers) == 1:
		if len(o.named(wrappers[0], "ds:Signature")) > 0 {
			return o.fail(report.AlreadySigned, wrappers[0], "there is a signature already")
		}
		if w := &o.nodes[wrappers[0]]; w.children > 0 || w.filled {
			return o.fail(report.RequestInvalid, wrappers[0], "the place for the signature holds something else")
		}
		pl.inside(o, wrappers[0], true)
		return nil
	}
	pl.inside(o, holder, false)
	if r.after != "" {
		before := o.named(holder, r.after) // one: the target was found in it
		pl.at = edit{at: o.nodes[before[0]].end.End}
	}
	prefix, _ := o.prefix(holder, o.nodes[holder].space, true) // in scope: the holder is in this namespace
	_, local, _ := strings.Cut(name, ":")
	pl.wrap("<"+colon(prefix)+local+">", "</"+colon(prefix)+local+">")
	return nil
}

// ruleToMake finds the row for a signature to make, and the element that holds its wrapper.
func (o *outline) ruleToMake(p *Profile) (*rule, int, error) {
	if o.nodes[0].sym == "soap:Envelope" && o.body < 0 {
		return nil, 0, o.fail(report.TargetMissing, 0, "soap:Envelope must have exactly one soap:Body")
	}
	if o.body >= 0 && o.nodes[o.body].children > 1 {
		return nil, 0, o.fail(report.TargetAmbiguous, o.body, "soap:Body holds more than one element")
	}
	for _, operation := range o.operations {
		for i := range rules {
			r := &rules[i]
			if r.profile != p || r.name == sender || r.name == personal && r.after == "" {
				continue // made by others, earlier
			}
			path, _ := split(r.wrapper)
			switch holder, n := o.find(o.base(r.wrapper), o.nodes[operation].version, path); n {
			case 1:
				return r, holder, nil
			case 2:
				return nil, 0, o.fail(report.TargetAmbiguous, operation, "more than one %s", path)
			}
		}
		return nil, 0, o.fail(report.TargetMissing, operation,
			"this is no SMEV 3 message (schemas 1.1 to 1.3) that profile %s signs", p.Name)
	}
	return nil, 0, o.fail(report.TargetMissing, max(o.body, 0), "there is no SMEV 3 message (schemas 1.1 to 1.3) here")
}

func noChoice(p *Profile) error {
	return report.Errorf(report.RequestInvalid, report.Place{}, "profile %s decides itself what is signed: leave the target out", p.Name)
}

// smev2 plans the WS-Security header of an actor.
func (pl *plan) smev2(p *Profile, o *outline, in *Input) error {
	if in.Target != "" {
		return noChoice(p)
	}
	if o.nodes[0].sym != "soap:Envelope" {
		return o.fail(report.TargetMissing, 0, "the root is not a SOAP 1.1 Envelope")
	}
	if o.body < 0 {
		return o.fail(report.TargetMissing, 0, "soap:Envelope must have exactly one soap:Body")
	}
	r := &rules[slices.IndexFunc(rules, func(r rule) bool { return r.profile == p })]
	for i, path := range r.covers {
		target, n := o.find(-1, "", path)
		switch {
		case n == 0:
			return o.fail(report.TargetMissing, 0, "no %s to sign", path)
		case n > 1:
			return o.fail(report.TargetAmbiguous, 0, "more than one %s", path)
		}
		id, err := pl.identify(o, target, nsWSU, "", r.ids[i])
		if err != nil {
			return err
		}
		pl.draft.references = append(pl.draft.references,
			draftReference{uri: "#" + id, transforms: p.transforms, target: o.nodes[target].tag.Start})
	}

	_, symbol := split(r.wrapper)
	scope := scope{o: o}
	headers := o.named(0, "soap:Header")
	var security []int
	switch len(headers) {
	case 0:
		scope.node = 0
		pl.at = edit{at: o.nodes[o.body].tag.Start}
		soap, _ := scope.element("soap", nsSOAP) // in scope: the Envelope is in this namespace
		pl.wrap("<"+soap+"Header>", "</"+soap+"Header>")
	case 1:
		scope.node = headers[0]
		security = o.named(headers[0], symbol)
	default:
		return o.fail(report.TargetAmbiguous, headers[1], "a second soap:Header")
	}
	switch len(security) {
	case 0:
		if len(headers) > 0 {
			pl.inside(o, headers[0], false)
		}
		wsse, declareWSSE := scope.element("wsse", nsWSSE)
		soap, declareSOAP := scope.attribute("soap", nsSOAP)
		pl.wrap("<"+wsse+"Security"+declareWSSE+declareSOAP+" "+soap+`actor="`+p.actor+`">`, "</"+wsse+"Security>")
	case 1:
		scope.node = security[0]
		pl.inside(o, security[0], false)
	default:
		return o.fail(report.TargetAmbiguous, security[1], "a second wsse:Security of this actor")
	}

	token := ""
	if len(security) > 0 {
		if signed := o.named(security[0], "ds:Signature"); len(signed) > 0 {
			return o.fail(report.AlreadySigned, signed[0], "there is a signature already")
		}
		for _, t := range o.named(security[0], "wsse:BinarySecurityToken") {
			der, err := decode(o.nodes[t].text)
			if err != nil || in.Certificate != anyone && !bytes.Equal(der, in.Certificate.Raw) {
				return o.fail(report.RequestInvalid, t, "the header holds a token with another certificate than the signer's")
			}
			if token, err = pl.identify(o, t, nsWSU, "", tokenIDs[p.actor]); err != nil {
				return err
			}
		}
	}
	wsse, declare := scope.element("wsse", nsWSSE)
	if token == "" {
		token = o.unique(tokenIDs[p.actor])
		wsu, declareWSU := scope.attribute("wsu", nsWSU)
		pl.at.text += "<" + wsse + "BinarySecurityToken" + declare + declareWSU + ` EncodingType="` + tokenBase64 + `" ValueType="` +
			tokenX509 + `" ` + wsu + `Id="` + token + `">` + base64.StdEncoding.EncodeToString(in.Certificate.Raw) +
			"</" + wsse + "BinarySecurityToken>"
	}
	pl.draft.tokenID, pl.draft.prefixWSSE = token, strings.TrimSuffix(wsse, ":")
	return nil
}

// tokenIDs are the Ids of tokens by actor.
var tokenIDs = map[string]string{actorSMEV: "SenderCert", actorRecipient: "NodeCert"}

// scope chooses prefixes for text that is inserted into a node, nested in what this scope declared before.
type scope struct {
	o     *outline
	node  int
	fresh []binding
}

// element gives the prefix for an element name, with its colon, and the declaration it needs.
func (s *scope) element(base, uri string) (prefix, declaration string) {
	return s.choose(base, uri, true)
}

// attribute gives the prefix for an attribute name, with its colon, and the declaration it needs.
func (s *scope) attribute(base, uri string) (prefix, declaration string) {
	return s.choose(base, uri, false)
}

func (s *scope) choose(base, uri string, unprefixed bool) (prefix, declaration string) {
	for _, b := range s.fresh {
		if b.uri == uri {
			return b.prefix + ":", ""
		}
	}
	if p, ok := s.o.prefix(s.node, uri, unprefixed); ok {
		return colon(p), ""
	}
	p := s.o.free(s.node, base)
	s.fresh = append(s.fresh, binding{p, uri})
	return p + ":", ` xmlns:` + p + `="` + uri + `"`
}

// appData plans an official's signature in smev:AppData.
func (pl *plan) appData(p *Profile, o *outline, in *Input) error {
	want := strings.TrimPrefix(in.Target, "#")
	r := officials
	target := -1
	for i := range o.nodes {
		if !o.fits(r, i) || want != "" && !o.bears(i, want) {
			continue
		}
		if target >= 0 {
			return o.fail(report.TargetAmbiguous, i, "more than one smev:AppData: the target must name one by its Id")
		}
		target = i
	}
	if target < 0 {
		return o.fail(report.TargetMissing, 0, "no smev:AppData to sign under soap:Body")
	}
	if signed := o.named(target, "ds:Signature"); len(signed) > 0 {
		return o.fail(report.AlreadySigned, signed[0], "there is a signature already")
	}
	space := nsWSU
	if _, ok := o.nodes[target].attr(nsWSU, "Id"); !ok && o.nodes[target].id() != "" {
		space = "" // some services declare a plain Id
	}
	id, err := pl.identify(o, target, space, want, r.ids[0])
	if err != nil {
		return err
	}
	pl.inside(o, target, true)
	pl.draft.references = []draftReference{{uri: "#" + id, transforms: p.transforms, target: o.nodes[target].tag.Start}}
	return nil
}

// bears tells whether one of n's Ids is id.
func (o *outline) bears(n int, id string) bool {
	return slices.ContainsFunc(o.nodes[n].attrs, func(a attribute) bool { return a.value == id && isID(a.space, a.local) })
}

// byID finds the element that Target names.
func (o *outline) byID(target string) (int, error) {
	id := strings.TrimPrefix(target, "#")
	b, ok := o.bearers[id]
	if !ok {
		return 0, report.Errorf(report.TargetMissing, report.Place{}, "no element has the Id that the target names")
	}
	if c, twice := o.twice[id]; twice {
		return 0, o.fail(report.XMLDuplicateID, c.second, "the Id that the target names is used twice")
	}
	if !isReferable(id) {
		return 0, o.fail(report.RequestInvalid, b.node, "the Id that the target names is not an NCName")
	}
	return b.node, nil
}

// enveloped plans a signature as the last child of what it signs.
func (pl *plan) enveloped(p *Profile, o *outline, in *Input) error {
	content := draftReference{transforms: p.transforms, whole: true}
	target := 0
	if p == GISGMP {
		var err error
		if in.Target, err = o.gisgmp(in.Target); err != nil {
			return err
		}
	}
	if in.Target != "" {
		var err error
		if target, err = o.byID(in.Target); err != nil {
			return err
		}
		content = draftReference{
			transforms: p.transforms, uri: "#" + strings.TrimPrefix(in.Target, "#"), target: o.nodes[target].tag.Start,
		}
	}
	if err := o.taken(p, target); err != nil {
		return err
	}
	pl.inside(o, target, false)
	if p.properties {
		content.id = o.unique("reference")
		id := o.unique("signed-properties")
		pl.draft.id = o.unique("signature")
		pl.draft.properties = qualifyingProperties(in.Certificate, pl.draft.id, id, content.id, in.Time)
		pl.draft.references = []draftReference{content,
			{uri: "#" + id, typ: typeSignedProperties, transforms: chainExclusive, inside: "properties"}}
		return nil
	}
	pl.draft.references = []draftReference{content}
	return nil
}

// gisgmp finds the Id of what is signed for GIS GMP: the entity that the target names, else the only RequestMessage, which
// the schema gives an Id; none for an entity that is the document.
func (o *outline) gisgmp(target string) (string, error) {
	if target != "" {
		n, err := o.byID(target)
		if err == nil && !strings.HasPrefix(o.nodes[n].space, nsGISGMP) {
			err = o.fail(report.TargetMissing, n, "the target is no element of GIS GMP")
		}
		return target, err
	}
	if strings.HasPrefix(o.nodes[0].space, nsGISGMP) {
		return o.nodes[0].id(), nil
	}
	found := -1
	for n := range o.nodes {
		if o.nodes[n].local == "RequestMessage" && strings.HasPrefix(o.nodes[n].space, nsGISGMP) {
			if found >= 0 {
				return "", o.fail(report.TargetAmbiguous, n, "more than one RequestMessage of GIS GMP: the target must name one by its Id")
			}
			found = n
		}
	}
	if found < 0 || o.nodes[found].id() == "" {
		return "", o.fail(report.TargetMissing, 0, "no RequestMessage of GIS GMP with an Id: the target must name what to sign")
	}
	return o.nodes[found].id(), nil
}

// taken refuses to put a Signature where a message of SMEV has one of its own: a verifier would hold it against SMEV's
// profile.
func (o *outline) taken(p *Profile, n int) error {
	if r := o.ruleOf(n); r != nil && r.profile.place != p.place {
		return o.fail(report.RequestInvalid, n, "a signature in this element is SMEV's %s: profile %s makes it, not %s",
			r.name, r.profile.Name, p.Name)
	}
	return nil
}

// enveloping plans a signature around the root.
func (pl *plan) enveloping(p *Profile, o *outline, in *Input) error {
	if in.Target != "" {
		return noChoice(p)
	}
	pl.draft.objectID = o.unique("object")
	pl.draft.references = []draftReference{{uri: "#" + pl.draft.objectID, transforms: p.transforms, inside: "object"}}
	pl.at, pl.closing = edit{at: o.nodes[0].tag.Start, scope: 1}, o.nodes[0].end.End
	return nil
}

// detached plans a signature beside what it signs, as the last child of the root.
func (pl *plan) detached(p *Profile, o *outline, in *Input) error {
	target, err := o.byID(in.Target)
	if err != nil {
		return err
	}
	if target == 0 {
		return o.fail(report.RequestInvalid, target, "a detached signature cannot lie in the element it covers: use profile enveloped")
	}
	if err := o.taken(p, 0); err != nil {
		return err
	}
	pl.inside(o, 0, false)
	pl.draft.references = []draftReference{{uri: in.Target, transforms: p.transforms, target: o.nodes[target].tag.Start}}
	return nil
}
