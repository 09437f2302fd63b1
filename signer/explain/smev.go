package explain

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/epov-signer/epov/canon/xmltext"
)

// smevVariant is a way in which implementations of the SMEV transform are known to go wrong; the zero value is none of them.
// The right transform is canon's: this one serves to tell what somebody else has done.
type smevVariant struct {
	what     string // what goes wrong, for people
	mistakes []Mistake

	attributes func(a, b *smevAttr) int // order, nil: the right one
	declared   bool                     // declarations are sorted by namespace, and come in the order of numbers elsewhere

	noPop      bool // an end tag does not forget the prefixes of its element
	countBack  bool // an end tag gives the numbers back
	attrsFirst bool // namespaces of attributes get their numbers before that of the element
	first      int  // number of the first prefix, less one

	bareEmpty    bool // elements without a namespace get xmlns:nsK=""
	bareKeep     bool // or no prefix
	textGT       greater
	valueGT      bool              // '>' is escaped in attributes
	values, text map[rune]string   // what is written for characters that the right transform writes otherwise
	blank        func(string) bool // which texts are dropped, nil: the right ones
	change       func(string) string
	alone        bool // text beside elements is dropped
	pieces       bool // a text is split at its references, and blank pieces are dropped
}

// greater is how '>' is written in text.
type greater uint8

const (
	byRule9 greater = iota
	always
	never
)

type smevAttr struct {
	space, local, prefix, value string
}

// Wrong orders of attributes.
var (
	byLocal       = func(a, b *smevAttr) int { return strings.Compare(a.local, b.local) }
	qualifiedLast = func(a, b *smevAttr) int {
		return cmp.Or(strings.Compare(a.space, b.space), strings.Compare(a.local, b.local))
	}
	byPrefix = func(a, b *smevAttr) int {
		return cmp.Or(strings.Compare(a.prefix, b.prefix), strings.Compare(a.local, b.local))
	}
	backwards = func(a, b *smevAttr) int { return -rightOrder(a, b) }
)

func rightOrder(a, b *smevAttr) int {
	if (a.space == "") != (b.space == "") {
		return cmp.Compare(len(b.space), len(a.space))
	}
	return cmp.Or(compareUTF16(a.space, b.space), compareUTF16(a.local, b.local))
}

func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

// Ways to write characters.
var (
	rawValues     = map[rune]string{'\t': "\t", '\n': "\n", '\r': "\r"}
	upperValues   = map[rune]string{'\t': "&#x9;", '\n': "&#xA;", '\r': "&#xD;"}
	decimalValues = map[rune]string{'\t': "&#9;", '\n': "&#10;", '\r': "&#13;"}
	nothing       = map[rune]string{'&': "&", '<': "<", '>': ">", '"': `"`, '\t': "\t", '\n': "\n", '\r': "\r"}
)

// smevVariants are single deviations first, then what whole implementations do.
var smevVariants = []smevVariant{
	{what: "attributes without a namespace come first", mistakes: []Mistake{SMEVAttributes}, attributes: qualifiedLast},
	{what: "attributes are sorted by their local names", mistakes: []Mistake{SMEVAttributes}, attributes: byLocal},
	{what: "attributes are sorted by their original prefixes", mistakes: []Mistake{SMEVAttributes}, attributes: byPrefix},
	{what: "attributes are in the reverse order", mistakes: []Mistake{SMEVAttributes}, attributes: backwards},
	{what: "declarations are sorted by namespace", mistakes: []Mistake{SMEVAttributes}, declared: true},
	{what: "end tags do not forget prefixes", mistakes: []Mistake{SMEVPrefixes}, noPop: true},
	{what: "end tags give numbers back", mistakes: []Mistake{SMEVPrefixes}, countBack: true},
	{what: "attributes are numbered before their element", mistakes: []Mistake{SMEVPrefixes}, attrsFirst: true},
	{what: "numbers start at 0", mistakes: []Mistake{SMEVPrefixes}, first: -1},
	{what: "numbers start at 2", mistakes: []Mistake{SMEVPrefixes}, first: 1},
	{what: `elements without a namespace get xmlns:nsK=""`, mistakes: []Mistake{SMEVPrefixes}, bareEmpty: true},
	{what: "elements without a namespace keep their names", mistakes: []Mistake{SMEVPrefixes}, bareKeep: true},
	{what: "'>' is always escaped in text", mistakes: []Mistake{SMEVEscaping}, textGT: always},
	{what: "'>' is never escaped in text", mistakes: []Mistake{SMEVEscaping}, textGT: never},
	{what: "'>' is escaped in attributes", mistakes: []Mistake{SMEVEscaping}, valueGT: true},
	{what: "'>' is always escaped", mistakes: []Mistake{SMEVEscaping}, textGT: always, valueGT: true},
	{what: "quotation marks are escaped in text", mistakes: []Mistake{SMEVEscaping}, text: map[rune]string{'"': "&quot;"}},
	{what: "line feeds and tabs in attributes are written as they are", mistakes: []Mistake{SMEVEscaping}, values: rawValues},
	{what: "references are in upper case", mistakes: []Mistake{SMEVEscaping}, values: upperValues, text: map[rune]string{'\r': "&#xD;"}},
	{what: "references are decimal", mistakes: []Mistake{SMEVEscaping}, values: decimalValues, text: map[rune]string{'\r': "&#13;"}},
	{what: "nothing is escaped", mistakes: []Mistake{SMEVEscaping}, textGT: never, values: nothing, text: nothing},
	{what: "carriage returns are dropped", mistakes: []Mistake{SMEVText}, text: map[rune]string{'\r': ""}},
	{what: "carriage returns are written as line feeds", mistakes: []Mistake{SMEVText}, text: map[rune]string{'\r': "\n"}},
	{what: "carriage returns are written as they are", mistakes: []Mistake{SMEVText}, text: map[rune]string{'\r': "\r"}},
	{what: "line feeds are written as CR LF", mistakes: []Mistake{SMEVText}, text: map[rune]string{'\n': "\r\n"}},
	{what: "line feeds in text are deleted", mistakes: []Mistake{SMEVText}, text: map[rune]string{'\n': ""}},
	{what: "blank texts are kept", mistakes: []Mistake{SMEVText}, blank: func(string) bool { return false }},
	{what: "texts are trimmed", mistakes: []Mistake{SMEVText}, change: strings.TrimSpace},
	{what: "texts of any Unicode white space are dropped", mistakes: []Mistake{SMEVText}, blank: unicodeBlank},
	{what: "texts without a letter or digit are dropped", mistakes: []Mistake{SMEVText}, blank: wordless},
	{what: "text beside elements is dropped", mistakes: []Mistake{SMEVText}, alone: true},
	{what: "texts are split at references, and blank pieces dropped", mistakes: []Mistake{SMEVText}, pieces: true},

	{what: "'>' is always escaped, line feeds and tabs in attributes are written as they are, text is split at references, as older official clients do",
		mistakes: []Mistake{SMEVEscaping, SMEVText}, textGT: always, valueGT: true, values: rawValues, text: map[rune]string{'\r': ""},
		bareEmpty: true, pieces: true},
	{what: "prefixes are not forgotten and attributes are sorted by local names, as in the listing of the recommendations 3.3",
		mistakes: []Mistake{SMEVAttributes, SMEVPrefixes}, noPop: true, attributes: byLocal},
	{what: "'>' is always escaped and prefixes are not forgotten", mistakes: []Mistake{SMEVEscaping, SMEVPrefixes},
		textGT: always, noPop: true},
	{what: "nothing is escaped and line feeds in text are deleted", mistakes: []Mistake{SMEVEscaping, SMEVText},
		textGT: never, values: nothing,
		text: map[rune]string{'&': "&", '<': "<", '>': ">", '\r': "\r", '\n': ""}, blank: unicodeBlank, bareKeep: true},
	{what: "'>' is always escaped and values are written as they are; texts without a letter or digit and text beside elements are dropped",
		mistakes: []Mistake{SMEVEscaping, SMEVText}, textGT: always, values: nothing,
		text: map[rune]string{'\r': "&#xD;"}, blank: wordless, alone: true},
	{what: "'>' and quotation marks are escaped, references are decimal", mistakes: []Mistake{SMEVEscaping}, textGT: always, valueGT: true,
		values: decimalValues, text: map[rune]string{'\r': "&#13;", '"': "&quot;"}},
	{what: "'>' is never escaped, line feeds and tabs in attributes are written as they are, CR as a line feed",
		mistakes: []Mistake{SMEVEscaping},
		textGT:   never, values: map[rune]string{'\t': "\t", '\n': "\n", '\r': "\n"}, text: map[rune]string{'\r': "\n"},
		bareKeep: true, blank: unicodeBlank},
	{what: "'>' is always escaped, references are in upper case", mistakes: []Mistake{SMEVEscaping}, textGT: always, values: upperValues,
		text: map[rune]string{'\r': "&#xD;"}, bareEmpty: true},
}

func unicodeBlank(s string) bool { return strings.TrimSpace(s) == "" }

func wordless(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// smevBlank is the right rule: Java's trim.
func smevBlank(s string) bool {
	return strings.Trim(s, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f"+
		"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ") == ""
}

var errNoNamespace = errors.New("an element or attribute that the transform does not support")

type smevFrame struct {
	uris     []string
	prefixes []string
	name     string
	counter  int
	filled   bool // has held an element
}

// smevRun transforms canonical octets.
type smevRun struct {
	*smevVariant
	out     bytes.Buffer
	frames  []smevFrame
	popped  [][2]string // with noPop: what is still believed to be in scope
	counter int
	held    []byte
}

// apply transforms octets, which are canonical XML.
func (v *smevVariant) apply(octets []byte, limits xmltext.Limits) ([]byte, error) {
	r := &smevRun{smevVariant: v, counter: v.first}
	t := xmltext.NewTokenizer(octets, limits)
	for {
		kind, err := t.Next()
		if err != nil {
			return nil, err
		}
		switch kind {
		case xmltext.EOF:
			return r.out.Bytes(), nil
		case xmltext.StartElement:
			r.endText(true)
			err = r.start(t)
		case xmltext.EndElement:
			r.endText(false)
			r.end()
		case xmltext.Text:
			r.held = append(r.held, t.Text()...)
		case xmltext.ProcInst:
			r.endText(false)
		}
		if err != nil {
			return nil, err
		}
	}
}

func (r *smevRun) prefix(uri string) string {
	for i := range r.frames {
		if k := slices.Index(r.frames[i].uris, uri); k >= 0 {
			return r.frames[i].prefixes[k]
		}
	}
	for _, p := range r.popped {
		if p[0] == uri {
			return p[1]
		}
	}
	r.counter++
	p := "ns" + strconv.Itoa(r.counter)
	f := &r.frames[len(r.frames)-1]
	f.uris, f.prefixes = append(f.uris, uri), append(f.prefixes, p)
	return p
}

func (r *smevRun) start(t *xmltext.Tokenizer) error {
	if len(r.frames) > 0 {
		r.frames[len(r.frames)-1].filled = true
	}
	r.frames = append(r.frames, smevFrame{counter: r.counter})
	name := t.Name()
	space := string(name.Space)
	if space == "" && !r.bareEmpty && !r.bareKeep {
		return errNoNamespace
	}
	var attrs []smevAttr
	for _, a := range t.Attrs() {
		attrs = append(attrs, smevAttr{string(a.Space), string(a.Local), string(a.Prefix), string(a.Value)})
	}
	order := rightOrder
	if r.attributes != nil {
		order = r.attributes
	}
	slices.SortStableFunc(attrs, func(a, b smevAttr) int { return order(&a, &b) })
	own := func() string {
		if space == "" && r.bareKeep {
			return string(name.Local)
		}
		return r.prefix(space) + ":" + string(name.Local)
	}
	var element string
	if !r.attrsFirst {
		element = own()
	}
	for i := range attrs {
		if attrs[i].space != "" {
			attrs[i].prefix = r.prefix(attrs[i].space)
		}
	}
	if r.attrsFirst {
		element = own()
	}
	f := &r.frames[len(r.frames)-1]
	f.name = element
	r.out.WriteString("<" + element)
	declarations := make([]int, len(f.uris))
	for i := range declarations {
		declarations[i] = i
	}
	if r.declared {
		slices.SortFunc(declarations, func(a, b int) int { return strings.Compare(f.uris[a], f.uris[b]) })
	}
	for _, i := range declarations {
		r.out.WriteString(" xmlns:" + f.prefixes[i] + `="`)
		r.value(f.uris[i])
		r.out.WriteByte('"')
	}
	for _, a := range attrs {
		r.out.WriteByte(' ')
		if a.space != "" {
			r.out.WriteString(a.prefix + ":")
		}
		r.out.WriteString(a.local + `="`)
		r.value(a.value)
		r.out.WriteByte('"')
	}
	r.out.WriteByte('>')
	return nil
}

func (r *smevRun) end() {
	f := r.frames[len(r.frames)-1]
	r.out.WriteString("</" + f.name + ">")
	r.frames = r.frames[:len(r.frames)-1]
	if r.noPop {
		for i := range f.uris {
			r.popped = append(r.popped, [2]string{f.uris[i], f.prefixes[i]})
		}
	}
	if r.countBack {
		r.counter = f.counter
	}
}

var rightValues = map[rune]string{'&': "&amp;", '<': "&lt;", '"': "&quot;", '\t': "&#x9;", '\n': "&#xa;", '\r': "&#xd;"}

func (r *smevRun) value(s string) {
	for _, c := range s {
		if w, ok := r.values[c]; ok {
			r.out.WriteString(w)
		} else if w, ok := rightValues[c]; ok {
			r.out.WriteString(w)
		} else if c == '>' && r.valueGT {
			r.out.WriteString("&gt;")
		} else {
			r.out.WriteRune(c)
		}
	}
}

// endText writes the text that has come since the last tag. beforeElement says that an element follows.
func (r *smevRun) endText(beforeElement bool) {
	if len(r.held) == 0 {
		return
	}
	text := string(r.held)
	r.held = r.held[:0]
	blank := smevBlank
	if r.blank != nil {
		blank = r.blank
	}
	if blank(text) || r.alone && len(r.frames) > 0 && (beforeElement || r.frames[len(r.frames)-1].filled) {
		return
	}
	if r.change != nil {
		text = r.change(text)
	}
	if !r.pieces {
		r.block(text)
		return
	}
	for len(text) > 0 { // the references of canonical XML are &amp; &lt; &gt; &#xD;
		i := strings.IndexAny(text, "&<>\r")
		switch {
		case i < 0:
			i = len(text)
		case i == 0:
			i = 1
			r.block(text[:1])
			text = text[1:]
			continue
		}
		if piece := text[:i]; !smevBlank(piece) {
			r.block(piece)
		}
		text = text[i:]
	}
}

// block writes a text with the escaping of rule 9, as far as the variant keeps to it.
func (r *smevRun) block(text string) {
	long := len(utf16.Encode([]rune(text))) >= 12
	special, unit := true, 0
	for _, c := range text {
		if long && unit%512 == 0 {
			special = true
		}
		escaped := ""
		switch w, other := r.text[c]; {
		case other:
			escaped = w
			r.out.WriteString(w)
		case c == '>' && (r.textGT == always || r.textGT == byRule9 && special):
			escaped = "&gt;"
		case c == '&':
			escaped = "&amp;"
		case c == '<':
			escaped = "&lt;"
		case c == '\r':
			escaped = "&#xd;"
		case c >= 0x7F && c <= 0x9F:
			escaped = "&#x" + strconv.FormatInt(int64(c), 16) + ";"
		default:
			r.out.WriteRune(c)
		}
		if _, other := r.text[c]; !other && escaped != "" {
			r.out.WriteString(escaped)
		}
		special = c == ']' || long && escaped != ""
		unit += utf16.RuneLen(c)
	}
}
