package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Policies that mean more, or other, than they seem to are refused, each by a finding at its place; none takes the checker's time or
// memory.
func TestPolicyAttacks(t *testing.T) {
	const good = `roles:
  - {name: all, allow: [{keys: [keys/EXMP01/*], operations: [sign-xml]}], limits: {rate: 5, burst: 5, concurrent: 5}}
clients:
  - {name: gateway, san: ["gw.example.ru"], roles: [all]}
`
	file := filepath.Join(t.TempDir(), "policy.yaml")
	load := func(text string) error {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadPolicy(file)
		return err
	}
	if err := load(good); err != nil {
		t.Fatal(err)
	}
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		bomb += string(rune('b'+i)) + ": &" + string(rune('b'+i)) + " [" + strings.Repeat("*"+string(rune('a'+i))+", ", 9) + "]\n"
	}
	for name, change := range map[string][2]string{
		"a Cyrillic letter in a role":   {"name: all", "name: аll"},
		"a role of another alphabet":    {"roles: [all]", "roles: [аll]"},
		"a full-width letter":           {"name: gateway", "name: ｇateway"},
		"a line break in a name":        {"name: gateway", `name: "gate\nway"`},
		"a bidirectional override":      {"name: gateway", `name: "gate\u202eway"`},
		"no name":                       {"name: gateway", `name: ""`},
		"a name of dots":                {"name: gateway", `name: ".."`},
		"a long name":                   {"name: gateway", "name: " + strings.Repeat("x", 65)},
		"a role twice":                  {"roles:\n", "roles:\n  - {name: all, allow: [{keys: [keys/*], operations: [sign-digest]}]}\n"},
		"a setting twice":               {"name: gateway,", "name: gateway, name: gateway2,"},
		"a role of a client twice":      {"roles: [all]", "roles: [all, all]"},
		"a client without roles' list":  {"roles: [all]", "roles: all"},
		"an unknown setting":            {"name: gateway,", "name: gateway, admin: true,"},
		"a section that is none":        {"clients:", "defaults: {}\nclients:"},
		"a name by a merge key":         {"name: gateway,", "<<: {name: gateway},"},
		"an anchor":                     {"roles: [all]", "roles: &r [all]"},
		"an alias":                      {"roles: [all]", "roles: *r"},
		"a tag":                         {"roles: [all]", "roles: !!set {all}"},
		"a bomb":                        {"roles:", bomb + "roles:"},
		"deep":                          {"roles: [all]", "roles: " + strings.Repeat("[", 20000)},
		"two documents":                 {"clients:", "---\nclients:"},
		"all keys by one star":          {"keys/EXMP01/*", "*"},
		"a star within":                 {"keys/EXMP01/*", "keys/EXMP*/*"},
		"a star for the system":         {"keys/EXMP01/*", "keys/*/ov"},
		"two stars":                     {"keys/EXMP01/*", "keys/**"},
		"a version":                     {"keys/EXMP01/*", "keys/EXMP01/ov/versions/1"},
		"a slash at the end":            {"keys/EXMP01/*", "keys/EXMP01/"},
		"a way up":                      {"keys/EXMP01/*", "keys/../*"},
		"a system in Cyrillic":          {"keys/EXMP01/*", "keys/ЕХМР01/*"},
		"an operation in capitals":      {"[sign-xml]", "[SIGN-XML]"},
		"every operation":               {"[sign-xml]", `["*"]`},
		"no operations":                 {"[sign-xml]", "[]"},
		"no keys":                       {"keys: [keys/EXMP01/*]", "keys: []"},
		"rate 0":                        {"rate: 5", "rate: 0"},
		"a negative rate":               {"rate: 5", "rate: -5"},
		"rate not a number":             {"rate: 5", "rate: .nan"},
		"rate infinite":                 {"rate: 5", "rate: .inf"},
		"rate too high":                 {"rate: 5", "rate: 18446744073709551617"},
		"a rate of a day":               {"rate: 5", "rate: 5/day"},
		"a rate of nothing":             {"rate: 5", "rate: 5/"},
		"burst 0":                       {"burst: 5", "burst: 0"},
		"a burst that overflows":        {"burst: 5", "burst: 9223372036854775808"},
		"concurrent 0":                  {"concurrent: 5", "concurrent: 0"},
		"a negative number":             {"concurrent: 5", "concurrent: -1"},
		"a broken number":               {"concurrent: 5", "concurrent: 5.0"},
		"a number in quotes":            {"concurrent: 5", `concurrent: "5"`},
		"a number of base 16":           {"concurrent: 5", "concurrent: 0x5"},
		"a number that may be octal":    {"concurrent: 5", "concurrent: 010"},
		"a SAN that is any":             {"gw.example.ru", "*"},
		"a SAN that is any of a domain": {"gw.example.ru", "*.example.ru"},
		"a SAN with a dot at the end":   {"gw.example.ru", "gw.example.ru."},
		"a SAN with a dot at the front": {"gw.example.ru", ".example.ru"},
		"a SAN with an empty label":     {"gw.example.ru", "gw..example.ru"},
		"a SAN with a blank":            {"gw.example.ru", " gw.example.ru"},
		"a SAN in Cyrillic":             {"gw.example.ru", "gw.ехample.ru"},
		"an address as a SAN":           {"gw.example.ru", "10.0.0.1"},
		"a trust domain alone":          {"gw.example.ru", "spiffe://example.ru"},
		"a SPIFFE path with a slash":    {"gw.example.ru", "spiffe://example.ru/gw/"},
		"a SPIFFE path with a way up":   {"gw.example.ru", "spiffe://example.ru/a/../gw"},
		"a SPIFFE path that is escaped": {"gw.example.ru", "spiffe://example.ru/g%77"},
		"a SPIFFE ID with a port":       {"gw.example.ru", "spiffe://example.ru:1/gw"},
		"a SPIFFE ID in capitals":       {"gw.example.ru", "SPIFFE://example.ru/gw"},
		"a trust domain in capitals":    {"gw.example.ru", "spiffe://EXAMPLE.ru/gw"},
		"a SPIFFE ID with a star":       {"gw.example.ru", "spiffe://example.ru/*"},
		"the same SAN in other letters": {`["gw.example.ru"]`, `["gw.example.ru", "GW.example.RU"]`},
		"no SAN":                        {`["gw.example.ru"]`, `[]`},
		"anyone":                        {`san: ["gw.example.ru"]`, "anyone: true"},
		"share 0":                       {"roles: [all]", "roles: [all], share: 0"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if name == "anyone" {
			text = "listen: 127.0.0.1:0\n" + text // a policy of its own may be for a loopback listener
		}
		if text == good {
			t.Fatalf("%s changes nothing", name)
		}
		if err := load(text); err == nil {
			t.Errorf("%s is taken", name)
		} else if len(err.Error()) > 4000 {
			t.Errorf("%s: %d octets of findings", name, len(err.Error()))
		}
	}
	// A file beyond all bounds.
	if err := load(good + strings.Repeat("# "+strings.Repeat("x", 1022)+"\n", 5<<10)); err == nil ||
		!strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}
