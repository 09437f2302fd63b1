package xmldsig

import (
	"slices"
	"strings"
)

// enter notes the way into a SMEV message.
func (o *outline) enter() {
	o.body, o.operations = -1, []int{0}
	if o.nodes[0].sym == "soap:Envelope" {
		o.operations = nil
		if body, n := o.find(-1, "", "soap:Envelope/soap:Body"); n == 1 {
			o.body, o.operations = body, o.children(body)
		}
	}
}

// find walks a path down from parent, or from the root where parent is -1. Every step must be the only element of its name:
// n is 1 when it is, 0 when a step is missing and 2 when one is ambiguous. version binds the steps of SMEV 3.
func (o *outline) find(parent int, version, path string) (at, n int) {
	at = parent
	for step := range strings.SplitSeq(path, "/") {
		var candidates []int
		switch {
		case at >= 0 && step == "*" && o.nodes[at].children > 1:
			return -1, 2
		case at >= 0:
			candidates = o.children(at)
		default:
			candidates = []int{0}
		}
		candidates = slices.DeleteFunc(candidates, func(c int) bool { return !o.is(c, version, step) })
		if len(candidates) != 1 {
			return -1, min(len(candidates), 2)
		}
		at = candidates[0]
	}
	return at, 1
}

// is tells whether an element fits a step of a path.
func (o *outline) is(n int, version, step string) bool {
	node := &o.nodes[n]
	if step == "*" {
		return true
	}
	versioned := strings.HasPrefix(step, "t:") || strings.HasPrefix(step, "b:")
	return node.sym == step && (!versioned || node.version == version)
}

// base is the element that a path starts below.
func (o *outline) base(path string) int {
	if strings.HasPrefix(path, "soap:") {
		return -1
	}
	return o.body
}

// ruleOf finds the row that speaks of the signatures directly in wrapper; nil when none does.
func (o *outline) ruleOf(wrapper int) *rule {
	if wrapper < 0 {
		return nil
	}
	for i := range rules {
		if o.fits(&rules[i], wrapper) {
			return &rules[i]
		}
	}
	return nil
}

func (o *outline) fits(r *rule, wrapper int) bool {
	version := o.nodes[wrapper].version
	if r.wrapper == entity {
		return strings.HasPrefix(o.nodes[wrapper].space, nsGISGMP)
	}
	if r.wrapper == appData {
		if o.nodes[0].sym == "soap:Envelope" && (o.body < 0 || !o.within(wrapper, o.body)) {
			return false
		}
		return o.is(wrapper, version, appData)
	}
	return o.lies(wrapper, r.wrapper)
}

// lies tells whether an element is where a path leads; others of its name may be there too.
func (o *outline) lies(n int, path string) bool {
	version, base := o.nodes[n].version, o.base(path)
	steps := strings.Split(path, "/")
	for i := len(steps) - 1; i >= 0; i-- {
		if n < 0 || !o.is(n, version, steps[i]) {
			return false
		}
		n = o.nodes[n].parent
	}
	return n == base
}

// covered resolves one path of r.covers for a Signature in wrapper.
func (o *outline) covered(r *rule, wrapper int, path string) (at, n int) {
	if path == appData || path == entity {
		return wrapper, 1
	}
	return o.find(o.base(r.wrapper), o.nodes[wrapper].version, path)
}

// split divides a path before its last step.
func split(path string) (parent, last string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
