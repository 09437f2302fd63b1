package explain

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"
)

// edit is something that may have been done to octets before they were digested, and not to those that are signed here; or
// the other way round.
type edit struct {
	mistake Mistake
	what    string
	do      func(octets []byte) []byte // nil when it changes nothing
}

// octetEdits are those that know nothing of XML.
var octetEdits = []edit{
	{ContentLineEnds, "line ends are CR LF", func(b []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}},
	{ContentLineEnds, "line ends are LF", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }},
	{ContentLineEnds, "line ends are CR", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r")) }},
	{ContentNewline, "a line feed follows", func(b []byte) []byte { return append(bytes.Clone(b), '\n') }},
	{ContentNewline, "CR LF follows", func(b []byte) []byte { return append(bytes.Clone(b), "\r\n"...) }},
	{ContentNewline, "the line end at the end is left out", func(b []byte) []byte { return bytes.TrimRight(b, "\r\n") }},
	{ContentBOM, "a byte order mark precedes", func(b []byte) []byte { return append([]byte(utf8BOM), b...) }},
	{ContentBOM, "the byte order mark is left out", func(b []byte) []byte { return bytes.TrimPrefix(b, []byte(utf8BOM)) }},
	{ContentCharset, "UTF-16, little-endian", func(b []byte) []byte { return asUTF16(b, binary.LittleEndian) }},
	{ContentCharset, "UTF-16, big-endian", func(b []byte) []byte { return asUTF16(b, binary.BigEndian) }},
	{ContentCharset, "windows-1251", asWindows1251},
}

const utf8BOM = "\ufeff"

// xmlEdits are those of canonical XML.
var xmlEdits = []edit{
	{ContentIndented, "without white space between tags", stripBlanks},
	{ContentIndented, "without white space between tags, except in elements that hold nothing else", stripBetween},
	{ContentTrimmed, "without white space around texts", trimTexts},
	{ContentLineEnds, "line feeds in text come after &#xD;", func(b []byte) []byte {
		return bytes.ReplaceAll(b, []byte("\n"), []byte("&#xD;\n"))
	}},
	{ContentLineEnds, "without &#xD;", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("&#xD;"), nil) }},
	{ContentLineEnds, "&#xD; written as it is", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("&#xD;"), []byte("\r")) }},
	{ContentDeclaration, `<?xml version="1.0" encoding="UTF-8"?> precedes`, prefixed(`<?xml version="1.0" encoding="UTF-8"?>`)},
	{ContentDeclaration, `<?xml version="1.0" encoding="utf-8"?> precedes`, prefixed(`<?xml version="1.0" encoding="utf-8"?>`)},
	{ContentDeclaration, `<?xml version="1.0" encoding="UTF-8"?> precedes, on a line of its own`,
		prefixed(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")},
	{ContentDeclaration, `<?xml version="1.0" encoding="UTF-8" standalone="no"?> precedes`,
		prefixed(`<?xml version="1.0" encoding="UTF-8" standalone="no"?>`)},
	{ContentDeclaration, `<?xml version="1.0"?> precedes`, prefixed(`<?xml version="1.0"?>`)},
	{ContentBase64, "base64 in one line", func(b []byte) []byte { return foldTexts(b, 0, "") }},
	{ContentBase64, "base64 in lines of 76", func(b []byte) []byte { return foldTexts(b, 76, "\n") }},
	{ContentBase64, "base64 in lines of 64", func(b []byte) []byte { return foldTexts(b, 64, "\n") }},
	{ContentBase64, "base64 in lines of 76 that end with CR LF", func(b []byte) []byte { return foldTexts(b, 76, "&#xD;\n") }},
	{ContentBase64, "base64 in lines of 64 that end with CR LF", func(b []byte) []byte { return foldTexts(b, 64, "&#xD;\n") }},
	{ContentEmptyTags, "<a/>", func(b []byte) []byte { return emptyTags(b, "/>") }},
	{ContentEmptyTags, "<a />", func(b []byte) []byte { return emptyTags(b, " />") }},
	{ContentAttributes, "attributes sorted by their names as written", func(b []byte) []byte { return sortTags(b, false, byQName) }},
	{ContentAttributes, "declarations after attributes", func(b []byte) []byte { return sortTags(b, true, nil) }},
	{ContentAttributes, "declarations and attributes sorted together", func(b []byte) []byte { return sortTags(b, true, byQName) }},
	{ContentEscaping, "'>' as it is", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("&gt;"), []byte(">")) }},
	{ContentEscaping, "quotation marks in text as &quot;", func(b []byte) []byte {
		return eachText(b, func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(`"`), []byte("&quot;")) })
	}},
	{ContentEscaping, "apostrophes as &apos;", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("'"), []byte("&apos;")) }},
	{ContentEscaping, "'>' in attributes as &gt;", func(b []byte) []byte {
		return eachTag(b, func(tag []byte) []byte { return valueReplaced(tag, ">", "&gt;") })
	}},
}

// indentations are the layouts of pretty-printers, of an element that lies at a depth in its document (0: the root).
func indentations(depth int) []edit {
	var out []edit
	for _, step := range []struct{ what, text string }{{"two spaces", "  "}, {"four spaces", "    "}, {"tabs", "\t"}, {"nothing", ""}} {
		for _, base := range slices.Compact([]int{depth, 0}) {
			if base > 0 && step.text == "" {
				continue
			}
			out = append(out, edit{ContentUnindented, "indented by " + step.what,
				func(b []byte) []byte { return indent(b, step.text, base) }})
		}
	}
	return out
}

func prefixed(s string) func([]byte) []byte {
	return func(b []byte) []byte { return append([]byte(s), b...) }
}

func asUTF16(b []byte, order binary.AppendByteOrder) []byte {
	units := utf16.Encode([]rune(string(b)))
	out := make([]byte, 0, 2*len(units))
	for _, u := range units {
		out = order.AppendUint16(out, u)
	}
	return out
}

// asWindows1251 is nil where a character has no place.
func asWindows1251(b []byte) []byte {
	out, changed := make([]byte, 0, len(b)), false
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			out = append(out, byte(r))
			continue
		case r >= 'А' && r <= 'я':
			out = append(out, byte(r-'А')+0xC0)
		case r == 'Ё':
			out = append(out, 0xA8)
		case r == 'ё':
			out = append(out, 0xB8)
		case r == '№':
			out = append(out, 0xB9)
		case r == '«', r == '»', r == '\u00A0', r == '§', r == '©', r == '®', r == '°', r == '±', r == '·':
			out = append(out, byte(r))
		case r == '–':
			out = append(out, 0x96)
		case r == '—':
			out = append(out, 0x97)
		case r == '“':
			out = append(out, 0x93)
		case r == '”':
			out = append(out, 0x94)
		case r == '…':
			out = append(out, 0x85)
		default:
			return nil
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return out
}

// pieces walks canonical XML, or text much like it, and hands out tags (comments and the like among them) and texts.
func pieces(b []byte, tag, text func([]byte)) {
	for len(b) > 0 {
		if b[0] != '<' {
			end := bytes.IndexByte(b, '<')
			if end < 0 {
				end = len(b)
			}
			text(b[:end])
			b = b[end:]
			continue
		}
		end := tagEnd(b)
		tag(b[:end])
		b = b[end:]
	}
}

// tagEnd measures the markup that b starts with.
func tagEnd(b []byte) int {
	for _, m := range [][2]string{{"<!--", "-->"}, {"<?", "?>"}, {"<![CDATA[", "]]>"}} {
		if bytes.HasPrefix(b, []byte(m[0])) {
			if end := bytes.Index(b, []byte(m[1])); end >= 0 {
				return end + len(m[1])
			}
			return len(b)
		}
	}
	quote := byte(0)
	for i, c := range b {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(b)
}

func eachText(b []byte, change func([]byte) []byte) []byte {
	out := make([]byte, 0, len(b))
	pieces(b, func(tag []byte) { out = append(out, tag...) }, func(text []byte) { out = append(out, change(text)...) })
	return out
}

func eachTag(b []byte, change func([]byte) []byte) []byte {
	out := make([]byte, 0, len(b))
	pieces(b, func(tag []byte) { out = append(out, change(tag)...) }, func(text []byte) { out = append(out, text...) })
	return out
}

func blank(text []byte) bool { return len(bytes.Trim(text, " \t\r\n")) == 0 }

func stripBlanks(b []byte) []byte {
	return eachText(b, func(text []byte) []byte {
		if blank(text) || blank(bytes.ReplaceAll(text, []byte("&#xD;"), nil)) {
			return nil
		}
		return text
	})
}

// stripBetween leaves blank texts in elements that hold nothing else.
func stripBetween(b []byte) []byte {
	out := make([]byte, 0, len(b))
	start, held := false, []byte(nil) // the last tag was a start tag, and what blank text followed
	pieces(b, func(tag []byte) {
		closing := bytes.HasPrefix(tag, []byte("</"))
		if start && closing {
			out = append(out, held...)
		}
		out, held = append(out, tag...), nil
		start = !closing
	}, func(text []byte) {
		if blank(text) {
			held = text
		} else {
			out, start = append(out, text...), false
		}
	})
	return out
}

func trimTexts(b []byte) []byte {
	return eachText(b, func(text []byte) []byte { return bytes.Trim(text, " \t\r\n") })
}

// maxIndented bounds what indent makes of an octet: of many tags deep inside each other white space alone would be left.
const maxIndented = 8

// indent lays tags out as pretty-printers do: one on each line, but those about a text. It returns nil where that would be
// many times as long.
func indent(b []byte, step string, depth int) []byte {
	out := make([]byte, 0, 2*len(b))
	first, inline, long := true, false, false
	line := func() {
		if long = long || len(out) > maxIndented*len(b)+4096; long {
			return
		}
		if !first {
			out = append(out, '\n')
			for range depth {
				out = append(out, step...)
			}
		}
		first = false
	}
	pieces(stripBlanks(b), func(tag []byte) {
		switch {
		case bytes.HasPrefix(tag, []byte("</")):
			depth--
			if !inline {
				line()
			}
			out, inline = append(out, tag...), false
		case bytes.HasPrefix(tag, []byte("<!")) || bytes.HasPrefix(tag, []byte("<?")):
			line()
			out = append(out, tag...)
		case bytes.HasSuffix(tag, []byte("/>")): // in text that is not canonical
			line()
			out, inline = append(out, tag...), false
		default:
			line()
			out = append(out, tag...)
			depth++
			inline = true // until something stands on the next line
		}
	}, func(text []byte) { out, inline = append(out, text...), true })
	if long {
		return nil
	}
	return out
}

// foldTexts folds base64 of some length, or unfolds it where width is 0.
func foldTexts(b []byte, width int, end string) []byte {
	const least = 64
	return eachText(b, func(text []byte) []byte {
		joined := bytes.ReplaceAll(text, []byte("&#xD;"), nil)
		joined = bytes.Join(bytes.Fields(joined), nil)
		if len(joined) < least {
			return text
		}
		for i := range joined {
			if strings.IndexByte(base64Alphabet+"=", joined[i]) < 0 {
				return text
			}
		}
		if width == 0 {
			return joined
		}
		var out []byte
		for len(joined) > width {
			out = append(append(out, joined[:width]...), end...)
			joined = joined[width:]
		}
		return append(out, joined...)
	})
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// emptyTags writes empty elements as one tag.
func emptyTags(b []byte, end string) []byte {
	out := make([]byte, 0, len(b))
	open := false // the last piece is a start tag
	pieces(b, func(tag []byte) {
		if open && bytes.HasPrefix(tag, []byte("</")) {
			out = append(out[:len(out)-1], end...)
			open = false
			return
		}
		out = append(out, tag...)
		open = len(tag) > 1 && tag[1] != '/' && tag[1] != '!' && tag[1] != '?'
	}, func(text []byte) { out, open = append(out, text...), false })
	return out
}

// attributeText is one attribute or declaration as written, with the blank before it.
type attributeText struct{ name, text string }

func byQName(a, b attributeText) int { return strings.Compare(a.name, b.name) }

// sortTags puts declarations after attributes, or sorts; compare nil leaves the order within both.
func sortTags(b []byte, together bool, compare func(a, b attributeText) int) []byte {
	return eachTag(b, func(tag []byte) []byte {
		head, attrs, tail := attributesOf(tag)
		if len(attrs) < 2 {
			return tag
		}
		isDeclaration := func(a attributeText) int {
			if a.name == "xmlns" || strings.HasPrefix(a.name, "xmlns:") {
				return 0
			}
			return 1
		}
		slices.SortStableFunc(attrs, func(x, y attributeText) int {
			switch {
			case compare == nil:
				return cmp.Compare(isDeclaration(y), isDeclaration(x))
			case together:
				return compare(x, y)
			}
			return cmp.Or(cmp.Compare(isDeclaration(x), isDeclaration(y)), compare(x, y))
		})
		out := []byte(head)
		for _, a := range attrs {
			out = append(out, a.text...)
		}
		return append(out, tail...)
	})
}

// attributesOf divides a start tag.
func attributesOf(tag []byte) (head string, attrs []attributeText, tail string) {
	if len(tag) < 2 || tag[1] == '/' || tag[1] == '!' || tag[1] == '?' {
		return string(tag), nil, ""
	}
	i := bytes.IndexAny(tag, " \t\r\n/>")
	if i < 0 {
		return string(tag), nil, ""
	}
	head = string(tag[:i])
	for {
		rest := bytes.TrimLeft(tag[i:], " \t\r\n")
		start := len(tag) - len(rest)
		eq := bytes.IndexByte(rest, '=')
		if len(rest) == 0 || rest[0] == '/' || rest[0] == '>' || eq < 0 {
			return head, attrs, string(tag[i:])
		}
		open := bytes.IndexAny(rest[eq:], `"'`)
		if open < 0 {
			return head, attrs, string(tag[i:])
		}
		open += eq
		closing := bytes.IndexByte(rest[open+1:], rest[open])
		if closing < 0 {
			return head, attrs, string(tag[i:])
		}
		end := start + open + 1 + closing + 1
		attrs = append(attrs, attributeText{strings.TrimSpace(string(rest[:eq])), string(tag[i:end])})
		i = end
	}
}

func valueReplaced(tag []byte, old, with string) []byte {
	head, attrs, tail := attributesOf(tag)
	out := []byte(head)
	for _, a := range attrs {
		out = append(out, strings.ReplaceAll(a.text, old, with)...)
	}
	return append(out, tail...)
}
