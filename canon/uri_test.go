package canon

import "testing"

// Canonical XML 1.1 appendix A.
func TestRemoveDotSegments(t *testing.T) {
	for path, want := range map[string]string{
		"no/.././/pseudo-netpath/seg/file.ext":        "pseudo-netpath/seg/file.ext",
		"no/..//.///pseudo-netpath/seg/file.ext":      "pseudo-netpath/seg/file.ext",
		"yes/no//..//.///pseudo-netpath/seg/file.ext": "yes/pseudo-netpath/seg/file.ext",
		"no/../yes":                            "yes",
		"no/../yes/":                           "yes/",
		"no/../yes/no/..":                      "yes/",
		"../../no/../..":                       "../../../",
		"no/../..":                             "../",
		"no/..":                                "",
		"no/../":                               "",
		"/a/b/c/./../../g":                     "/a/g",
		"mid/content=5/../6":                   "mid/6",
		"../../..":                             "../../../",
		"no/../../":                            "../",
		"..yes/..no/..no/..no/../../../..yes":  "..yes/..yes",
		"..yes/..no/..no/..no/../../../..yes/": "..yes/..yes/",
		"../..":                                "../../",
		"../../../":                            "../../../",
		".":                                    "",
		"./":                                   "",
		"./.":                                  "",
		"//no/..":                              "/",
		"../../no/..":                          "../../",
		"../../no/../":                         "../../",
		"yes/no/../":                           "yes/",
		"yes/no/no/../..":                      "yes/",
		"yes/no/no/no/../../..":                "yes/",
		"yes/no/../yes/no/no/../..":            "yes/yes/",
		"yes/no/no/no/../../../yes":            "yes/yes",
		"yes/no/no/no/../../../yes/":           "yes/yes/",
		"/no/../":                              "/",
		"/yes/no/../":                          "/yes/",
		"/yes/no/no/../..":                     "/yes/",
		"/yes/no/no/no/../../..":               "/yes/",
		"../../..no/..":                        "../../",
		"../../..no/../":                       "../../",
		"..yes/..no/../":                       "..yes/",
		"..yes/..no/..no/../..":                "..yes/",
		"..yes/...no/..no/..no/../../..":       "..yes/",
		"..yes/..no/../..yes/..no/..no/../..":  "..yes/..yes/",
		"/..no/../":                            "/",
		"/..yes/..no/../":                      "/..yes/",
		"/..yes/..no/..no/../..":               "/..yes/",
		"/..yes/..no/..no/..no/../../..":       "/..yes/",
		"/":                                    "/",
		"/.":                                   "/",
		"/./":                                  "/",
		"/./.":                                 "/",
		"/..":                                  "/",
		"/../..":                               "/",
		"/../../..":                            "/",
		"//..":                                 "/",
		"//..//..":                             "/",
		"/./..":                                "/",
		"/./.././..":                           "/",
		"..":                                   "../",
		"../":                                  "../",
	} {
		if got := removeDotSegments(path); got != want {
			t.Errorf("removeDotSegments(%q) = %q, want %q", path, got, want)
		}
	}
}

// Canonical XML 1.1 sections 2.4 and 3.8, RFC 3986 section 5.4.1.
func TestJoinURIReferences(t *testing.T) {
	for _, test := range []struct{ base, ref, want string }{
		{"abc/", "../", ""},
		{"../", "../", "../../"},
		{"..", "..", "../../"},
		{"..", "../x", "../../x"},
		{"bar/", "foo", "bar/foo"},
		{"something/else", "bar/foo", "something/bar/foo"},
		{"a/", "b#fragment", "a/b"},
		{"a/", "#fragment", "a/"},
		{"a//b/", "c", "a/b/c"},
		{"http://a/b/c/d;p?q", "g:h", "g:h"},
		{"http://a/b/c/d;p?q", "g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "./g", "http://a/b/c/g"},
		{"http://a/b/c/d;p?q", "g/", "http://a/b/c/g/"},
		{"http://a/b/c/d;p?q", "/g", "http://a/g"},
		{"http://a/b/c/d;p?q", "//g", "http://g"},
		{"http://a/b/c/d;p?q", "?y", "http://a/b/c/d;p?y"},
		{"http://a/b/c/d;p?q", "g?y", "http://a/b/c/g?y"},
		{"http://a/b/c/d;p?q", ";x", "http://a/b/c/;x"},
		{"http://a/b/c/d;p?q", "", "http://a/b/c/d;p?q"},
		{"http://a/b/c/d;p?q", ".", "http://a/b/c/"},
		{"http://a/b/c/d;p?q", "..", "http://a/b/"},
		{"http://a/b/c/d;p?q", "../../g", "http://a/g"},
		{"http://a", "g", "http://a/g"},
		{"http://a?q", "g", "http://a/g"},
	} {
		if got := joinURIReferences(test.base, test.ref); got != test.want {
			t.Errorf("joinURIReferences(%q, %q) = %q, want %q", test.base, test.ref, got, test.want)
		}
	}
}
