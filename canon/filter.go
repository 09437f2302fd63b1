package canon

import "strings"

// OmitsSignatures reports whether a filter is one of the two that take every ds:Signature out of the node-set, which are
// all that is supported: the expression not(ancestor-or-self::ds:Signature) of XPathURI, and the subtraction of
// //ds:Signature of Filter2URI. filter is the attribute Filter of the latter. lookup resolves the prefix of the name in the
// expression. Filters are told by their form: white space may stand where XPath 1.0 has it between tokens, and nothing else
// may differ.
func OmitsSignatures(uri, filter, expression string, lookup func(prefix string) (space string)) bool {
	var name string
	switch uri {
	case XPathURI:
		rest, ok := tokens(expression, "not", "(", "ancestor-or-self", "::")
		if !ok {
			return false
		}
		if name, ok = strings.CutSuffix(strings.TrimRight(rest, xpathSpace), ")"); !ok {
			return false
		}
	case Filter2URI:
		rest, ok := tokens(expression, "//")
		if !ok || filter != "subtract" {
			return false
		}
		name = rest
	}
	prefix, local, ok := strings.Cut(strings.Trim(name, xpathSpace), ":")
	return ok && local == "Signature" && prefix != "" && lookup(prefix) == dsigURI
}

const xpathSpace = " \t\r\n"

// tokens takes the wanted tokens off the front of an expression.
func tokens(expression string, wanted ...string) (rest string, ok bool) {
	rest = expression
	for _, token := range wanted {
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, xpathSpace), token); !ok {
			return "", false
		}
	}
	return rest, true
}
