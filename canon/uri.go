package canon

import "strings"

// reference is a URI reference in its parts (RFC 3986 section 5.2.1), without the fragment. Prefixes say whether a part is
// there: scheme ends with a colon, authority starts with "//", query with "?".
type reference struct{ scheme, authority, path, query string }

func splitReference(s string) (r reference) {
	s, _, _ = strings.Cut(s, "#")
	if i := strings.IndexAny(s, ":/?"); i > 0 && s[i] == ':' {
		r.scheme, s = s[:i+1], s[i+1:]
	}
	if strings.HasPrefix(s, "//") {
		end := strings.IndexAny(s[2:], "/?") + 2
		if end < 2 {
			end = len(s)
		}
		r.authority, s = s[:end], s[end:]
	}
	if i := strings.IndexByte(s, '?'); i >= 0 {
		s, r.query = s[:i], s[i:]
	}
	r.path = s
	return r
}

// joinURIReferences is join-URI-References of Canonical XML 1.1 section 2.4: the resolution of RFC 3986 section 5.2, but
// the base may be relative and its trailing ".." is "../", the reference's fragment goes, and dot segments are removed as
// removeDotSegments does.
func joinURIReferences(base, ref string) string {
	b, r := splitReference(base), splitReference(ref)
	if b.path == ".." || strings.HasSuffix(b.path, "/..") {
		b.path += "/"
	}
	switch {
	case r.scheme != "":
	case r.authority != "":
		r.scheme = b.scheme
	case r.path == "":
		if r.query == "" {
			r.query = b.query
		}
		r.scheme, r.authority, r.path = b.scheme, b.authority, b.path
	case r.path[0] == '/':
		r.scheme, r.authority = b.scheme, b.authority
	case b.authority != "" && b.path == "":
		r.scheme, r.authority, r.path = b.scheme, b.authority, "/"+r.path
	default:
		r.scheme, r.authority, r.path = b.scheme, b.authority, b.path[:strings.LastIndexByte(b.path, '/')+1]+r.path
	}
	return r.scheme + r.authority + removeDotSegments(r.path) + r.query
}

// removeDotSegments is remove_dot_segments of RFC 3986 section 5.2.4 as Canonical XML 1.1 section 2.4 changes it: leading
// "../" segments of a relative path stay, runs of "/" become one, a trailing ".." gets a "/".
func removeDotSegments(path string) string {
	rooted := strings.HasPrefix(path, "/")
	segments := strings.Split(path, "/")
	var kept []string
	for _, s := range segments {
		last := len(kept) - 1
		switch {
		case s == "" || s == ".":
		case s != "..":
			kept = append(kept, s)
		case last >= 0 && kept[last] != "..":
			kept = kept[:last]
		case !rooted:
			kept = append(kept, s)
		}
	}
	out := strings.Join(kept, "/")
	if last := segments[len(segments)-1]; out != "" && (last == "" || last == "." || last == "..") {
		out += "/"
	}
	if rooted {
		out = "/" + out
	}
	return out
}
