package tpm

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func example() *Sealed {
	return &Sealed{
		Serial: testSerial, Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), PCRs: map[int]Digest{7: {1}, 11: {2}},
		key: make([]byte, digestSize), public: []byte{1, 2, 3}, private: []byte{4, 5, 6},
	}
}

func TestParse(t *testing.T) {
	good, err := example().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		`"version": 1`: `"version": 2`, fileFormat: "another", `"sha256"`: `"sha1"`, `"7"`: `"24"`, `"11"`: `"-1"`,
		testSerial: "", `"AQID"`: `""`, `"BAUG"`: `"` + strings.Repeat("A", 2000) + `"`, `"serial"`: `"cereal"`,
		`AAAAAAAA`: `AAAA`, "}\n": "}{}\n", `2026`: `x`, `"time"`: `"time":null,"t"`,
	} {
		bad := strings.Replace(string(good), old, new, 1)
		if bad == string(good) {
			t.Fatalf("%s is not in %s", old, good)
		}
		_, err := Parse([]byte(bad))
		wantKind(t, err, Damaged, "sealed PIN")
	}
	for n := range len(good) - 2 {
		_, err := Parse(good[:n])
		wantKind(t, err, Damaged, "sealed PIN")
	}
	_, err = Parse(make([]byte, MaxFile+1))
	wantKind(t, err, Damaged, "longer than")
}

// Whatever parses is written as it was read.
func FuzzParse(f *testing.F) {
	good, err := example().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format": "epov sealed PIN"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		again, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s2, err := Parse(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := s2.Marshal(); err != nil || !bytes.Equal(again, third) {
			t.Errorf("%s\n%s\n%v", again, third, err)
		}
	})
}
