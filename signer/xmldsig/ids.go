package xmldsig

import (
	"strconv"
	"strings"

	"github.com/epov-signer/epov/signer/report"
)

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
