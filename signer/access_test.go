package signer

import (
	"strings"
	"testing"
)

func TestKeyNames(t *testing.T) {
	for _, s := range []string{"keys/EXMP01/ov", "keys/EXMP01/ov/versions/1", "keys/a_b.c-D/sp-2/versions/12"} {
		if n, err := ParseKeyName(s); err != nil || n.String() != s {
			t.Errorf("%s: %v, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "keys", "keys/EXMP01", "keys/EXMP01/", "keys//ov", "keys/EXMP01/OV", "keys/EXMP01/ov/", "keys/.x/ov",
		"keys/EXMP01/ov/versions/0", "keys/EXMP01/ov/versions/01", "keys/EXMP01/ov/versions/", "keys/EXMP01/ov/versions/1/x",
		"keys/EXMP01/ov/versions/9999999999", "keys/EXMP01/*", "Keys/EXMP01/ov", "keys/EXMP01/ov\n", "keys/../ov",
		"keys/" + strings.Repeat("x", 65) + "/ov", "keys/EXMP01/" + strings.Repeat("x", 33)} {
		if n, err := ParseKeyName(s); err == nil {
			t.Errorf("%q is %v", s, n)
		}
	}
	if n, _ := ParseKeyName("keys/EXMP01/ov"); n.WithVersion(3).ID() != "EXMP01/ov/3" {
		t.Error(n.WithVersion(3).ID())
	}
}

func TestGrants(t *testing.T) {
	sign := []Operation{OpSignXML}
	caller := func(g ...Grant) *Caller {
		return &Caller{account: &account{}, roles: []standing{{role: &Role{Grants: g}}}}
	}
	for _, tc := range []struct {
		caller *Caller
		op     Operation
		key    string
		want   bool
	}{
		{nil, OpSignXML, "keys/EXMP01/ov", false},
		{caller(), OpSignXML, "keys/EXMP01/ov", false},
		{caller(Grant{Keys: []string{"keys/EXMP01/ov"}, Operations: sign}), OpSignXML, "keys/EXMP01/ov", true},
		{caller(Grant{Keys: []string{"keys/EXMP01/ov"}, Operations: sign}), OpSignXML, "keys/EXMP01/ov/versions/7", true},
		{caller(Grant{Keys: []string{"keys/EXMP01/ov"}, Operations: sign}), OpSignXML, "keys/EXMP01/ov2", false},
		{caller(Grant{Keys: []string{"keys/EXMP01/ov"}, Operations: sign}), OpSignDigest, "keys/EXMP01/ov", false},
		{caller(Grant{Keys: []string{"keys/EXMP01/*"}, Operations: sign}), OpSignXML, "keys/EXMP01/sp", true},
		{caller(Grant{Keys: []string{"keys/EXMP01/*"}, Operations: sign}), OpSignXML, "keys/EXMP012/sp", false},
		{caller(Grant{Keys: []string{"keys/*"}, Operations: sign}), OpSignXML, "keys/ANY/sp", true},
		// Grants do not mix: the operation of one does not reach the keys of another.
		{caller(Grant{Keys: []string{"keys/A/ov"}, Operations: sign}, Grant{Keys: []string{"keys/B/ov"}, Operations: []Operation{OpList}}),
			OpSignXML, "keys/B/ov", false},
	} {
		n, err := ParseKeyName(tc.key)
		if err != nil {
			t.Fatal(err)
		}
		if got := tc.caller.can(tc.op, n); got != tc.want {
			t.Errorf("%v %s %s: %v", tc.caller, tc.op, tc.key, got)
		}
	}
	for _, g := range []Grant{
		{}, {Keys: []string{"keys/EXMP01/ov"}}, {Operations: sign},
		{Keys: []string{"keys/EXMP01/ov"}, Operations: []Operation{"administer"}},
		{Keys: []string{"EXMP01/ov"}, Operations: sign}, {Keys: []string{"keys/*/ov"}, Operations: sign},
		{Keys: []string{"keys/EXMP01/ov/versions/1"}, Operations: sign},
		{Keys: []string{"keys/EX*"}, Operations: sign}, {Keys: []string{"*"}, Operations: sign},
		{Keys: []string{"keys/EXMP01/o*"}, Operations: sign}, {Keys: []string{"keys//*"}, Operations: sign},
	} {
		if g.Check() == nil {
			t.Errorf("%v is taken for a grant", g)
		}
	}
	if err := (Grant{Operations: []Operation{OpVerify}}).Check(); err != nil {
		t.Error(err)
	}
}

func TestCallers(t *testing.T) {
	roles := []Role{{Name: "r"}, {Name: "s"}}
	a, err := NewAccess(roles, []Client{
		{Name: "gw", SANs: []string{"GW.example.ru", "spiffe://example.ru/gw"}, Roles: []string{"r", "s"}},
		{Name: "other", SANs: []string{"other.example.ru"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ sans, want string }{
		{"gw.example.ru", "gw"},
		{"gw.EXAMPLE.ru", "gw"},
		{"nobody.example.ru gw.example.ru", "gw"},
		{"spiffe://example.ru/gw gw.example.ru", "gw"},
		{"spiffe://example.ru/GW", ""},
		{"spiffe://example.ru/gw/x", ""},
		{"x.gw.example.ru", ""},
		{"*.example.ru", ""},
		{"", ""},
		{"gw.example.ru other.example.ru", ""}, // two clients at once
	} {
		c, err := a.Caller(strings.Fields(tc.sans))
		if c.Name() != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%q is %q, %v", tc.sans, c.Name(), err)
		}
	}
	if _, err := a.Anyone(); err == nil {
		t.Error("somebody is anyone")
	}
	for name, clients := range map[string][]Client{
		"one SAN of two": {{Name: "a", SANs: []string{"x.ru"}}, {Name: "b", SANs: []string{"X.ru"}}},
		"wildcard":       {{Name: "a", SANs: []string{"*.ru"}}},
		"empty SAN":      {{Name: "a", SANs: []string{""}}},
		"two of anyone":  {{Name: "a", Anyone: true}, {Name: "b", Anyone: true}},
		"one name":       {{Name: "a"}, {Name: "a"}},
		"no such role":   {{Name: "a", Roles: []string{"t"}}},
		"role twice":     {{Name: "a", Roles: []string{"r", "r"}}},
	} {
		if _, err := NewAccess(roles, clients); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, roles := range map[string][]Role{
		"one name": {{Name: "r"}, {Name: "r"}}, "empty grant": {{Name: "r", Grants: []Grant{{}}}},
		"negative rate": {{Name: "r", Quota: Quota{Rate: -1}}}, "burst alone": {{Name: "r", Quota: Quota{Burst: 1}}},
	} {
		if _, err := NewAccess(roles, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A client may do what any of its roles grants, under the first that grants it; profiles bound the operations that know them.
func TestRoles(t *testing.T) {
	a, err := NewAccess([]Role{
		{Name: "narrow", Weight: 8, Grants: []Grant{{Keys: []string{"keys/A/*"}, Operations: []Operation{OpSignXML},
			Profiles: []string{"smev3"}}}},
		{Name: "wide", Weight: 64, Grants: []Grant{{Keys: []string{"keys/A/ov"}, Operations: []Operation{OpSignXML, OpList}}}},
	}, []Client{
		{Name: "x", SANs: []string{"x.ru"}, Roles: []string{"narrow", "wide"}, Share: 2},
		{Name: "y", SANs: []string{"y.ru"}, Roles: []string{"wide", "narrow"}},
		{Name: "z", SANs: []string{"z.ru"}, Roles: []string{"narrow"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		san                string
		op                 Operation
		key, profile, want string
	}{
		{"x.ru", OpSignXML, "keys/A/ov", "smev3", "narrow"},
		{"x.ru", OpSignXML, "keys/A/ov", "smev2", "wide"},
		{"x.ru", OpSignXML, "keys/A/sp", "smev3", "narrow"},
		{"x.ru", OpSignXML, "keys/A/sp", "smev2", ""},
		{"x.ru", OpSignXML, "keys/A/sp", "", "narrow"},
		{"x.ru", OpList, "keys/A/ov", "", "wide"},
		{"y.ru", OpSignXML, "keys/A/ov", "smev3", "wide"},
		{"y.ru", OpSignXML, "keys/A/sp", "smev3", "narrow"},
		{"z.ru", OpSignXML, "keys/A/ov", "smev2", ""},
		{"z.ru", OpList, "keys/A/ov", "", ""},
	} {
		c, err := a.Caller([]string{tc.san})
		if err != nil {
			t.Fatal(err)
		}
		n, err := ParseKeyName(tc.key)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Under(tc.op, n, tc.profile); got != tc.want {
			t.Errorf("%s %s %s %q: %q, want %q", tc.san, tc.op, tc.key, tc.profile, got, tc.want)
		}
	}
	x, _ := a.Caller([]string{"x.ru"})
	if got := x.under(right{op: OpList, anyProfile: true}); got.weight != 128 || got.flow != "x wide" {
		t.Errorf("%+v", got)
	}
}
