// Package tree canonicalizes documents that the caller built as trees with github.com/beevik/etree.
//
// A tree is written as octets, and these are read again by canon: there is one implementation of every canonical form, and
// what it refuses in a document it refuses in a tree. Use it for trees that a program has made. What was received should be
// verified from the octets received: etree reads through encoding/xml, which knows no offsets, lets of two equal attributes
// the last one win, and does not tell a TAB in an attribute from a reference to one.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/beevik/etree"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
)

// Document is a tree written as octets.
type Document struct {
	Octets  []byte // UTF-8; end tags are never left out
	offsets map[*etree.Element]int
}

// ErrElsewhere is returned for an element that is not in the tree.
var ErrElsewhere = errors.New("canon/tree: the element is not in the tree")

// Write writes the tree below root, the element that has no parent or a document as parent. Attributes and text come back
// from the octets as they are in the tree, white space included; a CR in a comment, a CDATA section or a processing
// instruction, where XML cannot write one, comes back as LF. Errors are *xmltext.SyntaxError, with offsets in the octets
// that the tree would have been, or say where tree and octets would differ.
func Write(root *etree.Element, limits xmltext.Limits) (*Document, error) {
	var out bytes.Buffer
	settings := etree.WriteSettings{CanonicalEndTags: true, CanonicalText: true, CanonicalAttrVal: true}
	root.WriteTo(&out, &settings)
	d := &Document{Octets: out.Bytes(), offsets: map[*etree.Element]int{}}
	tok := xmltext.NewTokenizer(d.Octets, limits)
	return d, d.match(tok, root)
}

// match reads the octets beside the tree and notes where elements start. A name in the tree that is none could be markup in
// the octets.
func (d *Document) match(tok *xmltext.Tokenizer, root *etree.Element) error {
	pending := []*etree.Element{root} // elements whose start tags are still to come, the next one last
	for {
		kind, err := tok.Next()
		if err != nil {
			return err
		}
		switch kind {
		case xmltext.EOF:
			if len(pending) > 0 {
				return fmt.Errorf("canon/tree: element %.64q of the tree is not one in the octets", pending[len(pending)-1].FullTag())
			}
			return nil
		case xmltext.StartElement:
			if len(pending) == 0 || pending[len(pending)-1].FullTag() != string(tok.QName()) {
				return fmt.Errorf("canon/tree: element %.64q in the octets is not one of the tree", tok.QName())
			}
			e := pending[len(pending)-1]
			if n := len(tok.Attrs()) + len(tok.Declared()); n > len(e.Attr) || n < len(e.Attr)-1 { // xmlns:xml is not told
				return fmt.Errorf("canon/tree: attributes of the element %.64q differ in the octets", tok.QName())
			}
			d.offsets[e] = tok.Span().Start
			children := e.ChildElements()
			pending = pending[:len(pending)-1]
			for i := len(children) - 1; i >= 0; i-- {
				pending = append(pending, children[i])
			}
		}
	}
}

// Offset is where the start tag of e begins in Octets: a canon.Node's Element, or a canon.Transform's Signature.
func (d *Document) Offset(e *etree.Element) (int, error) {
	if offset, ok := d.offsets[e]; ok {
		return offset, nil
	}
	return 0, ErrElsewhere
}

// Apply writes the octets that chain makes of e, as canon.Apply does; e inherits from the elements above it in its tree.
// A transform that names a Signature by its offset needs Write and Offset instead.
func Apply(w io.Writer, e *etree.Element, chain []canon.Transform, limits xmltext.Limits) error {
	root := e
	for p := root.Parent(); p != nil && p.Tag != ""; p = root.Parent() { // a document has no tag
		root = p
	}
	d, err := Write(root, limits)
	if err != nil {
		return err
	}
	return canon.Apply(w, d.Octets, canon.Node{Element: d.offsets[e]}, chain, limits)
}
