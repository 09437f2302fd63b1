package xmltext

import "bytes"

// encodings are first octets that tell another encoding (XML 1.0 appendix F), the longer ones first.
var encodings = []struct{ octets, encoding string }{
	{"\x00\x00\xFE\xFF", "UTF-32"}, {"\xFF\xFE\x00\x00", "UTF-32"},
	{"\x00\x00\x00<", "UTF-32"}, {"<\x00\x00\x00", "UTF-32"},
	{"\xFE\xFF", "UTF-16"}, {"\xFF\xFE", "UTF-16"},
	{"\x00<", "UTF-16"}, {"<\x00", "UTF-16"},
	{"\x4C\x6F\xA7\x94", "EBCDIC"},
}

// prologue checks the document's size and encoding and reads the byte order mark and the XML declaration.
func (t *Tokenizer) prologue() error {
	if len(t.doc) > t.limits.Size {
		return t.fail(Limit, 0, "document of %d octets, more than %d", len(t.doc), t.limits.Size)
	}
	for _, mark := range encodings {
		if bytes.HasPrefix(t.doc, []byte(mark.octets)) {
			return t.fail(Encoding, 0, "encoded in %s; only UTF-8 is accepted", mark.encoding)
		}
	}
	if bytes.HasPrefix(t.doc, []byte("\xEF\xBB\xBF")) {
		t.pos = 3
	}
	if rest := t.doc[t.pos:]; len(rest) > 5 && string(rest[:5]) == "<?xml" && isSpace(rest[5]) {
		return t.xmlDeclaration()
	}
	return nil
}

// xmlDeclaration reads XMLDecl of XML 1.0 [23].
func (t *Tokenizer) xmlDeclaration() error {
	pos := t.pos + len("<?xml")
	version, end, err := t.pseudoAttribute(pos, "version")
	switch {
	case err != nil:
		return err
	case end == pos:
		return t.malformed(pos, "no version in the XML declaration")
	case string(version) != "1.0":
		return t.malformed(pos, "XML version %.16q; only 1.0 is accepted", version)
	}
	pos = end
	encoding, end, err := t.pseudoAttribute(pos, "encoding")
	switch {
	case err != nil:
		return err
	case end != pos && !bytes.EqualFold(encoding, []byte("UTF-8")):
		return t.fail(Encoding, pos, "encoding %.64q declared; only UTF-8 is accepted", encoding)
	}
	pos = end
	standalone, end, err := t.pseudoAttribute(pos, "standalone")
	switch {
	case err != nil:
		return err
	case end != pos && string(standalone) != "yes" && string(standalone) != "no":
		return t.malformed(pos, "standalone is neither yes nor no in the XML declaration")
	}
	pos = t.skipSpace(end)
	if !bytes.HasPrefix(t.doc[pos:], []byte("?>")) {
		return t.malformed(pos, "something unknown in the XML declaration")
	}
	t.pos = pos + len("?>")
	return nil
}

// pseudoAttribute reads white space, name, equals sign and quoted value at pos; without that name there, end is pos.
func (t *Tokenizer) pseudoAttribute(pos int, name string) (value []byte, end int, err error) {
	doc := t.doc
	at := t.skipSpace(pos)
	if at == pos || !bytes.HasPrefix(doc[at:], []byte(name)) {
		return nil, pos, nil
	}
	at = t.skipSpace(at + len(name))
	if at == len(doc) || doc[at] != '=' {
		return nil, 0, t.malformed(at, "no = after %s in the XML declaration", name)
	}
	at = t.skipSpace(at + 1)
	if at == len(doc) || doc[at] != '"' && doc[at] != '\'' {
		return nil, 0, t.malformed(at, "%s without quotes in the XML declaration", name)
	}
	length := bytes.IndexByte(doc[at+1:], doc[at])
	if length < 0 {
		return nil, 0, t.malformed(at, "document ends inside the XML declaration")
	}
	if length > t.limits.NameLength {
		return nil, 0, t.fail(Limit, at, "%s longer than %d octets in the XML declaration", name, t.limits.NameLength)
	}
	return doc[at+1 : at+1+length], at + length + 2, nil
}
