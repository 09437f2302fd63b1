package xmltext

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// firstBad is where a document has the first character that is not allowed, its length if there is none.
func firstBad(doc []byte) int {
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		if r == utf8.RuneError && size <= 1 || !isChar(r) {
			return i
		}
		i += size
	}
	return len(doc)
}

// pieces are characters and broken ones from which documents for the classification are put together.
var pieces = []string{"a", "b", "Z", "0", "9", "-", ".", "_", ":", " ", "\t", "\n", "\r", "<", ">", "&", "]", "\"", "'", "/", "=",
	"@", "`", "[", "{", "\x7F", "Ж", "я", "é", "\u0340", "\u07FF", "\u0800", "\u1000", "№", "—", "\uD7FF", "\uE000", "\uFFFD",
	"\U00010000", "\U0001F600", "\U0010FFFF", "plain text of some length, ", "Кириллица и знаки «»; "}

var broken = []string{"\x00", "\x08", "\x0B", "\x0C", "\x0E", "\x1F", "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xD0 ",
	"\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xEF\xBF\xBE", "\xEF\xBF\xBF", "\xE2\x80", "\xE2\x80a", "\xF0\x8F\xBF\xBF",
	"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xD0\xB0\xB0", "\xF0\x9F\x98"}

func classifiers() map[string]func(*index, []byte, int, int) int {
	return map[string]func(*index, []byte, int, int) int{
		"default":  (*index).classify,
		"portable": (*index).classifyPortable,
		"word":     func(_ *index, _ []byte, first, _ int) int { return first },
	}
}

// Every way to classify says the same of every octet, and finds what is not allowed.
func TestClassification(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := classifiers()
	for round := range 3000 {
		var doc []byte
		for size := random.IntN(700); len(doc) < size; {
			doc = append(doc, pieces[random.IntN(len(pieces))]...)
			if round%3 == 0 && random.IntN(100) == 0 {
				doc = append(doc, broken[random.IntN(len(broken))]...)
			}
		}
		if round%50 == 0 { // more than a block, with characters across the border
			for len(doc) < 3*blockSize {
				doc = append(doc, pieces[random.IntN(len(pieces))]...)
			}
		}
		bad := firstBad(doc)
		for name, f := range all {
			x := new(index)
			for w := 0; w<<6 < min(len(doc), blockSize); {
				part := doc[:min(len(doc), blockSize)]
				if full := len(part) >> 6; w < full {
					if w = f(x, part, w, full); w == full {
						continue
					}
				}
				good := x.word(part, w)
				if good < len(part) && good != bad && !(len(doc) > blockSize && good > blockSize-4) {
					t.Fatalf("%s: bad at %d, want %d, in %q", name, good, bad, doc)
				}
				if good < len(part) {
					break
				}
				w++
			}
			for i, c := range doc[:min(bad, blockSize-4)] {
				k := class[c]
				for _, m := range []struct {
					marks *marks
					want  bool
				}{{&x.text, k&stopText != 0}, {&x.value, k&stopValue != 0}, {&x.name, k&namePart == 0}} {
					if got := m.marks[i>>6]>>(i&63)&1 != 0; got != m.want {
						t.Fatalf("%s: %q at %d: marked %t in %q", name, c, i, got, doc)
					}
				}
			}
		}
		tok := NewTokenizer(doc, Limits{})
		for pos, i := 0, 0; ; i++ { // scans stop at every marked octet and at the first bad one
			next := tok.stop(&tok.index.text, pos)
			for ; pos < next; pos++ {
				if class[doc[pos]]&stopText != 0 {
					t.Fatalf("scan went over %d in %q", pos, doc)
				}
			}
			if next == bad {
				break
			}
			if class[doc[next]]&stopText == 0 || next > bad {
				t.Fatalf("scan stopped at %d in %q", next, doc)
			}
			pos = next + 1
		}
	}
}

// What is broken is found wherever it lies in a word or across two, whatever comes before and after it.
func TestBrokenCharacters(t *testing.T) {
	for _, piece := range broken {
		for at := range 200 {
			for _, around := range []string{"a", "Ж", "€", "\U0001F600"} {
				var doc []byte
				for len(doc)+len(around) <= at {
					doc = append(doc, around...)
				}
				for len(doc) < at {
					doc = append(doc, 'a')
				}
				doc = append(doc, piece...)
				for _, rest := range []string{"", "<", "a", "Ж", strings.Repeat("a", 100), strings.Repeat("Ж", 50) + "<"} {
					doc := append(bytes.Clone(doc), rest...)
					bad := firstBad(doc)
					tok := NewTokenizer(doc, Limits{})
					pos := tok.stop(&tok.index.text, 0)
					for pos < bad {
						pos = tok.stop(&tok.index.text, pos+1)
					}
					if pos != bad {
						t.Fatalf("%q: stopped at %d, want %d", doc, pos, bad)
					}
				}
			}
		}
	}
	// at the end of a block too
	for at := blockSize - 80; at < blockSize+80; at++ {
		for _, piece := range broken {
			doc := append(bytes.Repeat([]byte("a"), at), piece+"<aЖ"...)
			bad := firstBad(doc)
			tok := NewTokenizer(doc, Limits{})
			if pos := tok.stop(&tok.index.text, 0); pos != min(bad, len(doc)-4) {
				t.Fatalf("%q after %d octets: stopped at %d, want %d", piece, at, pos, bad)
			}
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	doc := make([]byte, 0, blockSize)
	for len(doc)+200 < blockSize {
		doc = append(doc, "<q:Person number=\"17\" kind=\"ФЛ\"><q:Name>Иванов &amp; Петров</q:Name>\n"...)
	}
	doc = doc[:len(doc)>>6<<6]
	for name, f := range classifiers() {
		b.Run(name, func(b *testing.B) {
			x := new(index)
			b.SetBytes(int64(len(doc)))
			for b.Loop() {
				for w := 0; w < len(doc)>>6; w++ {
					if w = f(x, doc, w, len(doc)>>6); w < len(doc)>>6 {
						x.word(doc, w)
					}
				}
			}
		})
	}
}
