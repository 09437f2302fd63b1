package cms

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/signer/report"
)

func readAll(data []byte, limit int) (octets []byte, err error) {
	r := reader{message: data, end: len(data), depth: 1, limit: limit}
	e, err := r.next("value")
	if err != nil {
		return nil, err
	}
	if err := r.finish("value"); err != nil {
		return nil, err
	}
	if e.tag&^constructed != tagOctetString {
		return nil, nil
	}
	return r.octets(e, "value")
}

func TestOctetStrings(t *testing.T) {
	for name, in := range map[string]string{
		"primitive":             "\x04\x03abc",
		"length in two octets":  "\x04\x81\x03abc",
		"length in nine octets": "\x04\x88\x00\x00\x00\x00\x00\x00\x00\x03abc",
		"chunks":                "\x24\x07\x04\x01a\x04\x02bc",
		"indefinite":            "\x24\x80\x04\x01a\x04\x02bc\x00\x00",
		"nested":                "\x24\x80\x24\x03\x04\x01a\x24\x80\x04\x00\x04\x02bc\x00\x00\x00\x00",
		"zeros look like ends":  "\x24\x80\x24\x80\x04\x03abc\x00\x00\x00\x00",
	} {
		got, err := readAll([]byte(in), 8)
		if err != nil || string(got) != "abc" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := readAll([]byte("\x24\x80\x04\x04\x00\x00\x00\x00\x00\x00"), 8); err != nil || string(got) != "\x00\x00\x00\x00" {
		t.Errorf("zeros: got %q, %v", got, err)
	}
	if got, err := readAll([]byte("\x24\x00"), 8); err != nil || got == nil || len(got) != 0 {
		t.Errorf("no chunks: got %v, %v", got, err)
	}
}

func TestBERRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		in     string
		offset int
	}{
		"nothing":                     {"", 0},
		"tag alone":                   {"\x04", 1},
		"length cut short":            {"\x04\x82\x01", 2},
		"contents cut short":          {"\x04\x03ab", 0},
		"indefinite primitive":        {"\x04\x80ab\x00\x00", 0},
		"length of 9 octets":          {"\x04\x89\x00\x00\x00\x00\x00\x00\x00\x00\x01a", 0},
		"reserved length":             {"\x04\xFFa", 0},
		"length beyond 63 bits":       {"\x04\x88\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFa", 0},
		"no end-of-contents":          {"\x24\x80\x04\x01a", 5},
		"half an end-of-contents":     {"\x24\x80\x04\x01a\x00", 5},
		"end-of-contents alone":       {"\x00\x00", 0},
		"end-of-contents in definite": {"\x24\x02\x00\x00", 2},
		"something after":             {"\x04\x01ab", 3},
		"chunk of another type":       {"\x24\x03\x02\x01a", 2},
		"chunk longer than its whole": {"\x24\x03\x04\x02a", 2},
		"endless tag":                 {"\x1F\xFF\xFF\xFF\xFF\xFF\xFF\x01\x00", 0},
	} {
		_, err := readAll([]byte(tt.in), 8)
		var e *report.Error
		if !errors.As(err, &e) || e.Code != report.CMSSyntax || e.Place.Offset != tt.offset {
			t.Errorf("%s: got %v (offset %d), want offset %d", name, err, e.Place.Offset, tt.offset)
		}
	}
}

func TestBERLimits(t *testing.T) {
	deep := strings.Repeat("\x24\x80", 8) + "\x04\x00" + strings.Repeat("\x00\x00", 8)
	many := "\x24\x80" + strings.Repeat("\x04\x00", maxElements) + "\x00\x00"
	wide := strings.Repeat("\x04\x00", maxElements+1)
	wide = "\x24\x83\x20\x00\x02" + wide
	for name, in := range map[string]string{"deep": deep, "indefinite chunks": many, "definite chunks": wide} {
		_, err := readAll([]byte(in), 8)
		var e *report.Error
		if !errors.As(err, &e) || e.Code != report.CMSLimit {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := readAll([]byte(deep), 9); err != nil {
		t.Errorf("nesting as deep as allowed: %v", err)
	}
}

func TestIsDER(t *testing.T) {
	for in, want := range map[string]bool{
		"":                                 true,
		"\x30\x03\x04\x01a":                true,
		"\x30\x80\x04\x01a\x00\x00":        false,
		"\x30\x81\x03\x04\x01a":            false,
		"\x24\x03\x04\x01a":                false,
		"\xA0\x03\x04\x01a":                true,
		"\x30\x04\x04\x81\x01a":            false,
		"\x30\x02\x30\x05":                 false,
		strings.Repeat("\x30\x02", 3)[:5]:  false,
		"\x30\x04\x30\x02\x30\x00":         true,
		"\x30\x06\x30\x04\x30\x02\x30\x00": false, // deeper than allowed
	} {
		if got := isDER([]byte(in), 3); got != want {
			t.Errorf("%x: got %v", in, got)
		}
	}
}

// A message that is read can be read again after its lengths are written anew: both readings agree on the content.
func FuzzBER(f *testing.F) {
	for _, seed := range []string{"\x04\x03abc", "\x24\x80\x04\x01a\x04\x02bc\x00\x00", "\x24\x80\x24\x80\x04\x03abc\x00\x00\x00\x00"} {
		f.Add([]byte(seed))
	}
	for _, v := range readVectors(f) {
		f.Add(v.message(f))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		octets, err := readAll(data, maxNesting)
		if err != nil {
			var e *report.Error
			if !errors.As(err, &e) || e.Place.Offset < 0 || e.Place.Offset > len(data) {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if octets == nil {
			return
		}
		chunked := []byte{tagOctetString | constructed, 0x80}
		for chunk := range slices.Chunk(octets, 100) {
			chunked = append(chunked, tagOctetString, byte(len(chunk)))
			chunked = append(chunked, chunk...)
		}
		again, err := readAll(append(chunked, 0, 0), 2)
		if err != nil || !bytes.Equal(again, octets) {
			t.Fatalf("in chunks %x becomes %x, %v", octets, again, err)
		}
	})
}
