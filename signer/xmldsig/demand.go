package xmldsig

import (
	"slices"
	"strings"

	"github.com/epov-signer/epov/signer/report"
)

// demand checks what the document as a whole must have. Without a profile that is what the message is recognised to need;
// a profile replaces that and demands its own signatures only.
func (e *examiner) demand() {
	profile := e.policy.Profile
	if e.recognises() {
		e.envelope()
		operations := e.smev3()
		for _, operation := range operations[:min(len(operations), maxOperations)] {
			e.operation(operation)
		}
		e.official()
		e.entity()
		for i := range rules {
			r := &rules[i]
			if r.wrapper != appData && r.wrapper != entity && e.matched[r] > 1 {
				e.report.Add(failed(report.Errorf(report.ProfileForm, report.Place{}, "more than one %s", r.name)))
			}
		}
		if e.nodes[0].sym == "soap:Envelope" && (profile == nil || profile.actor != "") {
			e.headers()
		}
	}
	if e.policy.Content != nil && !e.outside {
		e.report.Add(failed(report.Errorf(report.CoverageWrong, report.Place{}, "no signature covers the content outside the document")))
	}
	e.required()
	if profile != nil && e.profiles[profile] == 0 && (profile.node == nil || e.profiles[profile.node] == 0) {
		e.report.Checks = append(e.report.Checks, e.missed...)
		e.report.Add(failed(report.Errorf(report.SignatureNone, report.Place{}, "no signature follows profile %s", profile.Name)))
	}
}

// required checks the signatures that the policy names.
func (e *examiner) required() {
	for _, name := range e.policy.Require {
		if !slices.ContainsFunc(e.report.Signatures, func(s report.Signature) bool { return s.Name == name || s.Profile == name }) {
			e.report.Add(failed(report.Errorf(report.SignatureNone, report.Place{}, "there is no %s, which is required", name)))
		}
	}
}

// recognises tells whether the document is read as a message of SMEV: no profile is demanded, or one of SMEV's.
func (e *examiner) recognises() bool { return e.policy.Profile == nil || e.policy.Profile.tabled() }

// envelope checks what is around the operation.
func (e *examiner) envelope() {
	if e.body >= 0 && e.nodes[e.body].children > 1 && len(e.smev3()) > 0 {
		e.report.Add(failed(e.fail(report.ProfileForm, e.body, "soap:Body of a SMEV 3 message holds more than one element")))
	}
	if e.nodes[0].sym == "soap:Envelope" && len(e.named(0, "soap:Body")) > 1 {
		e.report.Add(failed(e.fail(report.CoverageWrong, 0, "soap:Envelope holds more than one soap:Body")))
	}
	for _, n := range e.operations {
		if strings.HasPrefix(e.nodes[n].sym, "t?:") {
			e.report.Add(report.Check{Code: report.ProfileForm, Status: report.NotChecked, Place: e.place(n),
				Message: "a message of a version of SMEV 3 that is not understood: what must be signed is not known"})
			break
		}
	}
}

// operation checks one message of SMEV 3 against the rows that speak of it.
func (e *examiner) operation(operation int) {
	e.oneVersion(operation)
	for i := range rules {
		r := &rules[i]
		path, name := split(r.wrapper)
		if first, _, _ := strings.Cut(path, "/"); first != e.nodes[operation].sym ||
			e.policy.Profile != nil && !e.policy.Profile.expects(r) {
			continue // of another operation; or the message may be on its way to being signed by the next
		}
		holder, n := e.find(e.base(r.wrapper), e.nodes[operation].version, path)
		if n == 0 || n == 1 && !e.within(holder, operation) {
			continue
		}
		switch {
		case n > 1:
			e.report.Add(failed(e.fail(report.CoverageWrong, operation, "more than one %s", path)))
		case len(e.named(holder, name)) > 1:
			e.report.Add(failed(e.fail(report.ProfileForm, holder, "more than one %s in %s", name, path)))
		case r.required && e.matched[r] == 0:
			e.report.Add(failed(e.fail(report.SignatureNone, holder, "there is no %s", r.name)))
		}
	}
}

// oneVersion refuses elements of another version of SMEV 3 in a message: the rows speak of one version, and a reader that
// goes by local names would take unsigned elements of the other for the signed ones. The primary content is the parties'.
func (e *examiner) oneVersion(operation int) {
	for n := operation + 1; n < len(e.nodes) && e.within(n, operation); n++ {
		sym := e.nodes[n].sym
		switch symbol, _, _ := strings.Cut(sym, ":"); symbol {
		case "t", "b", "t?", "b?":
			if e.nodes[n].version != e.nodes[operation].version {
				e.report.Add(failed(e.fail(report.ProfileForm, n, "an element of another version of SMEV 3 than the message")))
				return
			}
		}
		if sym == "b:MessagePrimaryContent" {
			for end := e.nodes[n].span().End; n+1 < len(e.nodes) && e.nodes[n+1].tag.Start < end; {
				n++
			}
		}
	}
}

// official refuses unsigned smev:AppData beside a signed one: nothing tells a reader which of them counts. A target names
// the one that does.
func (e *examiner) official() {
	r := officials
	if e.matched[r] == 0 {
		return
	}
	target := strings.TrimPrefix(e.policy.Target, "#")
	end := 0 // of a signed smev:AppData, which covers what is in it
	for n := range e.nodes {
		if e.nodes[n].sym != appData || e.nodes[n].tag.Start < end {
			continue
		}
		signed := e.fits(r, n) && len(e.named(n, "ds:Signature")) > 0
		if signed {
			end = e.nodes[n].span().End
		}
		if !signed && (e.policy.Profile != SMEV2SP || target == "" || e.bears(n, target)) {
			e.report.Add(failed(e.fail(report.CoverageWrong, n, "an smev:AppData without a signature beside one with it")))
			return
		}
	}
	if b, known := e.bearers[target]; e.policy.Profile == SMEV2SP && target != "" && (!known || e.nodes[b.node].sym != appData) {
		e.report.Add(failed(report.Errorf(report.CoverageWrong, report.Place{}, "no smev:AppData has the Id that must be covered")))
	}
}

// entity demands the signature of the entity of GIS GMP that the target names.
func (e *examiner) entity() {
	if target := strings.TrimPrefix(e.policy.Target, "#"); e.policy.Profile == GISGMP && target != "" {
		b, known := e.bearers[target]
		if !known || !slices.ContainsFunc(e.all, func(x *examination) bool {
			return x.rule != nil && x.rule.wrapper == entity && e.nodes[x.node].parent == b.node
		}) {
			e.report.Add(failed(report.Errorf(report.CoverageWrong, report.Place{}, "no signature is in the entity that the target names")))
		}
	}
}

// astray refuses what was moved in a message of SMEV, so that who looks for it in its place finds something else: a signature
// in one of the elements that SMEV has for signatures, when this element is not where SMEV has it; and elements that SMEV
// has signed, when they are not in their place and their signature is in none of SMEV's. What says that a signature is
// SMEV's, such as the actor of its header, is itself not signed.
func (e *examiner) astray(signature int, found []finding, out *report.Signature) {
	if !e.recognises() {
		return
	}
	if parent := e.nodes[signature].parent; parent >= 0 {
		switch sym := e.nodes[parent].sym; {
		case wrappers[sym]:
			out.Add(failed(e.fail(report.CoverageWrong, parent, "%s lies where no message of SMEV has it", e.nodes[parent].local)))
		case strings.HasPrefix(sym, "t?:"):
			out.Add(report.Check{Code: report.ProfileForm, Status: report.NotChecked, Place: e.place(parent),
				Message: "a signature of a version of SMEV 3 that is not understood: what it must cover is not known"})
		}
	}
	for _, f := range found {
		if f.node < 0 || f.whole {
			continue
		}
		paths := signedPaths[e.nodes[f.node].sym]
		if len(paths) > 0 && !slices.ContainsFunc(paths, func(path string) bool { return e.lies(f.node, path) }) {
			out.Add(failed(e.fail(report.CoverageWrong, f.node, "what is signed, %s, lies where no message of SMEV has it",
				e.nodes[f.node].local)))
		}
	}
}

// headers reports Security headers of SMEV 2 without a signature; one says enough.
func (e *examiner) headers() {
	for _, h := range e.named(0, "soap:Header") {
		for _, security := range e.children(h) {
			ours := e.nodes[security].sym == "wsse:Security[smev]" || e.nodes[security].sym == "wsse:Security[recipient]"
			if ours && len(e.named(security, "ds:Signature")) == 0 {
				e.report.Add(failed(e.fail(report.SignatureNone, security, "there is no signature in this header")))
				return
			}
		}
	}
}

// smev3 are the operations of SMEV 3 in the document.
func (o *outline) smev3() []int {
	var out []int
	for _, n := range o.operations {
		if strings.HasPrefix(o.nodes[n].sym, "t:") {
			out = append(out, n)
		}
	}
	return out
}
