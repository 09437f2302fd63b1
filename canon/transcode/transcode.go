// Package transcode turns XML documents in other encodings into UTF-8, the only one that package xmltext reads.
//
// It is a step of its own, for callers who know that their documents come so: what was signed are the characters, in UTF-8
// (C14N section 2.1), but every place in a report then speaks of the converted document.
package transcode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// pages are the encodings of one octet a character that are converted, by their lower-case IANA names.
var pages = map[string]*charmap.Charmap{
	"windows-1251": charmap.Windows1251, "koi8-r": charmap.KOI8R, "iso-8859-5": charmap.ISO8859_5,
	"ibm866": charmap.CodePage866, "cp866": charmap.CodePage866, "iso-8859-1": charmap.ISO8859_1,
}

// ToUTF8 returns the document in UTF-8, without a byte order mark, its XML declaration saying UTF-8 where it named another
// encoding, and the name of the encoding it came in. UTF-8 comes back as it is, mark included. The encoding is what the byte
// order mark says, else the declaration, else UTF-8 (XML 1.0 appendix F); nothing is tried. UTF-16, windows-1251, KOI8-R,
// ISO-8859-5, IBM866 and ISO-8859-1 are known; any other is refused by name, and so is an octet that stands for no
// character. The result has at most three octets for each of doc.
func ToUTF8(doc []byte) (converted []byte, from string, err error) {
	switch {
	case bytes.HasPrefix(doc, []byte("\xEF\xBB\xBF")):
		return doc, "UTF-8", nil
	case bytes.HasPrefix(doc, []byte("\xFE\xFF")):
		converted, err = wide(doc[2:], binary.BigEndian)
		return declared(converted, "UTF-16", err)
	case bytes.HasPrefix(doc, []byte("\xFF\xFE")):
		converted, err = wide(doc[2:], binary.LittleEndian)
		return declared(converted, "UTF-16", err)
	}
	name, _, _ := declaration(doc)
	switch page := pages[strings.ToLower(name)]; {
	case name == "" || strings.EqualFold(name, "UTF-8"):
		return doc, "UTF-8", nil
	case strings.EqualFold(name, "UTF-16"):
		return nil, name, fmt.Errorf("transcode: UTF-16 without a byte order mark")
	case page != nil:
		converted, err = narrow(doc, page)
		return declared(converted, name, err)
	}
	return nil, name, fmt.Errorf("transcode: encoding %.64q is not known", name)
}

// narrow converts an encoding of one octet a character.
func narrow(doc []byte, page *charmap.Charmap) ([]byte, error) {
	out := make([]byte, 0, len(doc)*2)
	for i, c := range doc {
		r := page.DecodeByte(c)
		if r == utf8.RuneError {
			return nil, fmt.Errorf("transcode: octet %#02x at offset %d is no character of %s", c, i, page)
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// wide converts UTF-16.
func wide(doc []byte, order binary.ByteOrder) ([]byte, error) {
	if len(doc)%2 != 0 {
		return nil, fmt.Errorf("transcode: UTF-16 of an odd number of octets")
	}
	out := make([]byte, 0, len(doc)*3/2)
	for i := 0; i < len(doc); i += 2 {
		r := rune(order.Uint16(doc[i:]))
		if utf16.IsSurrogate(r) {
			next := rune(0)
			if i+4 <= len(doc) {
				next = rune(order.Uint16(doc[i+2:]))
			}
			if r = utf16.DecodeRune(r, next); r == utf8.RuneError {
				return nil, fmt.Errorf("transcode: half a surrogate pair at offset %d", i+2)
			}
			i += 2
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// declared makes the XML declaration of a converted document say UTF-8.
func declared(doc []byte, from string, err error) ([]byte, string, error) {
	if err != nil {
		return nil, from, err
	}
	if name, start, end := declaration(doc); name != "" {
		doc = append(append(append(make([]byte, 0, len(doc)+len("UTF-8")), doc[:start]...), "UTF-8"...), doc[end:]...)
	}
	return doc, from, nil
}

// declaration finds the encoding named in the XML declaration and where the name stands; empty when there is none. The
// declaration is ASCII in every encoding known here. Whether it is well-formed is for the tokenizer to say.
func declaration(doc []byte) (name string, start, end int) {
	const most = 256 // octets of a declaration that are looked at
	head := doc[:min(len(doc), most)]
	head, _, whole := bytes.Cut(head, []byte("?>"))
	if !whole || !bytes.HasPrefix(head, []byte("<?xml")) {
		return "", 0, 0
	}
	at := bytes.Index(head, []byte("encoding"))
	if at < 0 {
		return "", 0, 0
	}
	at += len("encoding")
	for at < len(head) && strings.IndexByte(" \t\r\n=", head[at]) >= 0 {
		at++
	}
	if at == len(head) || head[at] != '"' && head[at] != '\'' {
		return "", 0, 0
	}
	length := bytes.IndexByte(head[at+1:], head[at])
	if length < 0 {
		return "", 0, 0
	}
	return string(head[at+1 : at+1+length]), at + 1, at + 1 + length
}
