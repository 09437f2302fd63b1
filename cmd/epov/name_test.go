package main

import "testing"

func TestKeyName(t *testing.T) {
	n, err := parseKeyName("keys/EXMP01/ov/versions/12")
	if err != nil || n.String() != "keys/EXMP01/ov/versions/12" || n.id() != "EXMP01/ov/12" {
		t.Errorf("%v, %v", n, err)
	}
	if m, ok := parseKeyID(n.id()); !ok || m != n {
		t.Errorf("%v, %v", m, ok)
	}
	for _, bad := range []string{
		"", "keys/EXMP01/ov", "keys/EXMP01/ov/versions/", "keys/EXMP01/ov/versions/0", "keys/EXMP01/ov/versions/01",
		"keys/EXMP01/ov/versions/-1", "keys//ov/versions/1", "keys/EXMP01/OV/versions/1", "keys/EX MP/ov/versions/1",
		"EXMP01/ov/1", "keys/EXMP01/ov/versions/1/", "keys/.hidden/ov/versions/1", "keys/EXMP01/ov/versions/99999999999999999999",
	} {
		if n, err := parseKeyName(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, n)
		}
	}
	for _, bad := range []string{"", "x", "EXMP01/ov/1/2", "EXMP01/ov/x"} {
		if n, ok := parseKeyID(bad); ok {
			t.Errorf("%q is taken for %v", bad, n)
		}
	}
}
