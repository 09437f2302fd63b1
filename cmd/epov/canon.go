package main

import (
	"encoding/base64"
	"io"
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/transcode"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
)

type canonCmd struct {
	ID        string   `name:"id" placeholder:"ID" help:"The element with this Id, ID, id, wsu:Id or xml:id; default: the whole document."`
	Transform []string `default:"exc-c14n" placeholder:"LIST" help:"The chain of transforms, by commas: exc-c14n, c14n, c14n11, each also with -comments; enveloped, which leaves out the one ds:Signature inside; without-signatures, which leaves out all; smev; or their URIs. SMEV 3: exc-c14n,smev."`
	Prefixes  []string `placeholder:"LIST" help:"InclusiveNamespaces PrefixList of exclusive canonicalization; #default is the default namespace."`
	Comments  bool     `help:"Let comments reach the transforms; references to an Id or to \"\" leave them out before."`
	Digest    string   `placeholder:"NAME" help:"Print the digest instead, as a DigestValue has it: streebog256, streebog512 or gostr3411-94."`
	ToUTF8    bool     `name:"to-utf8" help:"Convert windows-1251, KOI8-R, UTF-16 and some other encodings first."`
	Out       string   `short:"o" placeholder:"FILE" help:"Where to write; default: standard output."`
	File      string   `arg:"" help:"XML; - is standard input."`
}

// transforms are the names of the URIs.
var transforms = map[string]string{
	"exc-c14n": canon.ExclusiveURI, "exc-c14n-comments": canon.ExclusiveCommentsURI,
	"c14n": canon.InclusiveURI, "c14n-comments": canon.InclusiveCommentsURI,
	"c14n11": canon.Inclusive11URI, "c14n11-comments": canon.Inclusive11CommentsURI,
	"enveloped": canon.EnvelopedURI, "without-signatures": canon.XPathURI, "smev": canon.SMEVURI,
}

// digestNames are the digests under names that are easy to type.
var digestNames = map[string]*gost.Digest{
	"streebog256": gost.Streebog256, "streebog512": gost.Streebog512, "gostr3411-94": gost.GOSTR341194,
}

func (c *canonCmd) Run(con *console) error { return about(c.File, c.run(con)) }

func (c *canonCmd) run(con *console) error {
	chain, err := c.chain()
	if err != nil {
		return err
	}
	digest := digestNames[c.Digest]
	if c.Digest != "" && digest == nil {
		return usagef("--digest %s: the digests are streebog256, streebog512 and gostr3411-94", printable(c.Digest))
	}
	run := c.stream
	if c.ID != "" || c.ToUTF8 || slices.ContainsFunc(chain, func(t canon.Transform) bool { return t.URI == canon.EnvelopedURI }) {
		run = c.inMemory
	}
	if digest == nil {
		return con.writeBy(c.Out, false, func(w io.Writer) error { return run(con, w, chain) })
	}
	h := digest.New()
	if err := run(con, h, chain); err != nil {
		return err
	}
	return con.write(c.Out, []byte(base64.StdEncoding.EncodeToString(h.Sum(nil))+"\n"), false)
}

func (c *canonCmd) chain() ([]canon.Transform, error) {
	var chain []canon.Transform
	for _, name := range c.Transform {
		t := canon.Transform{URI: name}
		if uri, ok := transforms[name]; ok {
			t.URI = uri
		}
		switch {
		case !canon.Known(t.URI):
			return nil, usagef("--transform %s: no such transform", printable(name))
		case t.URI == canon.XPathURI || t.URI == canon.Filter2URI:
			t.OmitSignatures = true
		case t.URI == canon.ExclusiveURI || t.URI == canon.ExclusiveCommentsURI:
			t.PrefixList = c.Prefixes
		}
		chain = append(chain, t)
	}
	return chain, nil
}

// stream works on a document of any length.
func (c *canonCmd) stream(con *console, w io.Writer, chain []canon.Transform) error {
	r, err := con.open(c.File)
	if err != nil {
		return err
	}
	defer r.Close()
	return canon.ApplyReader(w, r, canon.Node{Whole: true, Comments: c.Comments}, chain, xmltext.Limits{})
}

// inMemory works on a document in which something has to be found before.
func (c *canonCmd) inMemory(con *console, w io.Writer, chain []canon.Transform) error {
	doc, err := con.read(c.File)
	if err != nil {
		return err
	}
	if c.ToUTF8 {
		if doc, _, err = transcode.ToUTF8(doc); err != nil {
			return err
		}
	}
	node := canon.Node{Whole: true, Comments: c.Comments}
	found, err := survey(doc, c.ID)
	if err != nil {
		return err
	}
	span := xmltext.Span{End: len(doc)}
	if c.ID != "" {
		switch len(found.named) {
		case 0:
			return usagef("no element has the Id %s", printable(c.ID))
		case 1:
			span = found.named[0]
			node.Whole, node.Element = false, span.Start
		default:
			return usagef("%d elements have the Id %s", len(found.named), printable(c.ID))
		}
	}
	for i := range chain {
		if chain[i].URI != canon.EnvelopedURI {
			continue
		}
		inside := slices.DeleteFunc(found.signatures, func(at int) bool { return at < span.Start || at >= span.End })
		if len(inside) != 1 {
			return usagef("the enveloped-signature transform leaves out one ds:Signature; there are %d inside", len(inside))
		}
		chain[i].Signature = inside[0]
	}
	return canon.Apply(w, doc, node, chain, xmltext.Limits{})
}

// found is what a document holds of what is asked for.
type found struct {
	named      []xmltext.Span // elements with the Id
	signatures []int          // offsets of ds:Signature elements
}

func survey(doc []byte, id string) (f found, err error) {
	t := xmltext.NewTokenizer(doc, xmltext.Limits{})
	type entry struct {
		start int
		named bool
	}
	var open []entry
	for {
		kind, err := t.Next()
		if err != nil {
			return f, err
		}
		switch kind {
		case xmltext.EOF:
			return f, nil
		case xmltext.StartElement:
			e := entry{start: t.Span().Start, named: id != "" && slices.ContainsFunc(t.Attrs(), func(a xmltext.Attr) bool {
				return string(a.Value) == id && names(a.Name)
			})}
			open = append(open, e)
			if n := t.Name(); string(n.Local) == "Signature" && string(n.Space) == "http://www.w3.org/2000/09/xmldsig#" {
				f.signatures = append(f.signatures, e.start)
			}
		case xmltext.EndElement:
			e := open[len(open)-1]
			open = open[:len(open)-1]
			if e.named {
				f.named = append(f.named, xmltext.Span{Start: e.start, End: t.Span().End})
			}
		}
	}
}

// names tells whether an attribute is one by which references name elements.
func names(n xmltext.Name) bool {
	switch string(n.Space) {
	case "":
		return strings.EqualFold(string(n.Local), "id")
	case "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd":
		return string(n.Local) == "Id"
	case "http://www.w3.org/XML/1998/namespace":
		return string(n.Local) == "id"
	}
	return false
}
