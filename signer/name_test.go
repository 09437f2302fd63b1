package signer

import (
	"regexp"
	"strings"
	"testing"
)

// grammar of names, written down a second time.
var grammar = regexp.MustCompile(`\Akeys/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/([a-z0-9][a-z0-9-]{0,31})(?:/versions/([1-9][0-9]{0,8}))?\z`)

var names = []string{
	"keys/EXMP01/ov", "keys/EXMP01/ov/versions/1", "keys/a/b/versions/999999999", "keys/a/b/versions/1000000000", "keys/a/b/versions/0",
	"keys/a/b/versions/01", "keys/a/b/versions/", "keys/a/b/versions/1/", "keys/a/b/versions/+1",
	"keys/a/b/versions/1x", "keys/a/b/version/1",
	"keys/a/b/", "keys/a/", "keys/a", "keys//b", "keys/", "", "key/a/b", "/keys/a/b", "keys/a/b\n", "keys/a/B",
	"keys/a/b_c", "keys/a.b_C-d/e-f",
	"keys/.a/b", "keys/-a/b", "keys/_a/b", "keys/a/-b", "keys/ы/b", "keys/a/ы", "keys/a\x00/b", "keys/a/b/c/d", "keys/*", "keys/a/*",
	"keys/" + strings.Repeat("S", 64) + "/" + strings.Repeat("k", 32) + "/versions/123456789", "keys/" + strings.Repeat("S", 65) + "/k",
	"keys/s/" + strings.Repeat("k", 33),
}

func TestParseKeyName(t *testing.T) {
	for _, s := range names {
		checkKeyName(t, s)
	}
}

func checkKeyName(t *testing.T, s string) {
	n, err := ParseKeyName(s)
	if good := grammar.MatchString(s); good != (err == nil) {
		t.Fatalf("%q: %v", s, err)
	}
	if err == nil && n.String() != s {
		t.Fatalf("%q became %q", s, n)
	}
	if err != nil && n != (KeyName{}) {
		t.Fatalf("%q: refused, and %v", s, n)
	}
}

func FuzzParseKeyName(f *testing.F) {
	for _, s := range names {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkKeyName(t, s) })
}

func BenchmarkParseKeyName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseKeyName("keys/EXMP01/ov/versions/1"); err != nil {
			b.Fatal(err)
		}
	}
}
