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
	caller := func(g ...Grant) *Caller { return &Caller{grants: g} }
	for _, tc := range []struct {
		caller *Caller
		op     Operation
		key    string
		want   bool
	}{
		{nil, OpSignXML, "keys/EXMP01/ov", false},
		{caller(), OpSignXML, "keys/EXMP01/ov", false},
		{caller(Grant{[]string{"keys/EXMP01/ov"}, sign}), OpSignXML, "keys/EXMP01/ov", true},
		{caller(Grant{[]string{"keys/EXMP01/ov"}, sign}), OpSignXML, "keys/EXMP01/ov/versions/7", true},
		{caller(Grant{[]string{"keys/EXMP01/ov"}, sign}), OpSignXML, "keys/EXMP01/ov2", false},
		{caller(Grant{[]string{"keys/EXMP01/ov"}, sign}), OpSignDigest, "keys/EXMP01/ov", false},
		{caller(Grant{[]string{"keys/EXMP01/*"}, sign}), OpSignXML, "keys/EXMP01/sp", true},
		{caller(Grant{[]string{"keys/EXMP01/*"}, sign}), OpSignXML, "keys/EXMP012/sp", false},
		{caller(Grant{[]string{"keys/*"}, sign}), OpSignXML, "keys/ANY/sp", true},
		// Grants do not mix: the operation of one does not reach the keys of another.
		{caller(Grant{[]string{"keys/A/ov"}, sign}, Grant{[]string{"keys/B/ov"}, []Operation{OpList}}), OpSignXML, "keys/B/ov", false},
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
		{}, {Keys: []string{"keys/EXMP01/ov"}}, {Operations: sign}, {[]string{"keys/EXMP01/ov"}, []Operation{"admin"}},
		{[]string{"EXMP01/ov"}, sign}, {[]string{"keys/*/ov"}, sign}, {[]string{"keys/EXMP01/ov/versions/1"}, sign},
		{[]string{"keys/EX*"}, sign}, {[]string{"*"}, sign}, {[]string{"keys/EXMP01/o*"}, sign}, {[]string{"keys//*"}, sign},
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
	a, err := NewAccess([]Client{
		{Name: "gw", SANs: []string{"GW.example.ru", "spiffe://example.ru/gw"}},
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
	for _, clients := range [][]Client{
		{{Name: "a", SANs: []string{"x.ru"}}, {Name: "b", SANs: []string{"X.ru"}}},
		{{Name: "a", SANs: []string{"*.ru"}}},
		{{Name: "a", SANs: []string{""}}},
		{{Name: "a", Anyone: true}, {Name: "b", Anyone: true}},
		{{Name: "a", Grants: []Grant{{}}}},
	} {
		if _, err := NewAccess(clients); err == nil {
			t.Errorf("%v are taken", clients)
		}
	}
}
