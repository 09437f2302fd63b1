// Package canon turns parts of XML documents into the octets that signatures digest: canonical XML and the transforms of
// XML signatures.
//
// Apply runs a chain of transforms, in the order stated, over a document or one element of it; ApplyAll serves several
// references in one scan, and ApplyReader reads the document as it comes. They work on a stream of tokens, so that memory
// grows with the depth of the document; only what passes from one octet-producing transform to the next is held in memory.
//
// Standards: Canonical XML 1.0 (W3C, 15 March 2001), Canonical XML 1.1 (2 May 2008), Exclusive XML Canonicalization 1.0
// (18 July 2002), XML Signature Syntax and Processing 1.1 (11 April 2013, here "XMLDSig"), and the transform of the
// methodical recommendations for SMEV 3.
package canon

import "strings"

// Identifiers of the transforms and canonicalization methods.
const (
	ExclusiveURI           = "http://www.w3.org/2001/10/xml-exc-c14n#"
	ExclusiveCommentsURI   = "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"
	InclusiveURI           = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
	InclusiveCommentsURI   = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments"
	Inclusive11URI         = "http://www.w3.org/2006/12/xml-c14n11"
	Inclusive11CommentsURI = "http://www.w3.org/2006/12/xml-c14n11#WithComments"
	EnvelopedURI           = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	SMEVURI                = "urn://smev-gov-ru/xmldsig/transform"
	XPathURI               = "http://www.w3.org/TR/1999/REC-xpath-19991116"
	Filter2URI             = "http://www.w3.org/2002/06/xmldsig-filter2"
)

// form is a canonical form.
type form struct {
	uri       string
	exclusive bool
	inherits  bool // the apex takes xml: attributes over from its ancestors
	version11 bool // by the rules of Canonical XML 1.1
	comments  bool
}

var forms = []form{
	{uri: InclusiveURI, inherits: true},
	{uri: InclusiveCommentsURI, inherits: true, comments: true},
	{uri: Inclusive11URI, inherits: true, version11: true},
	{uri: Inclusive11CommentsURI, inherits: true, version11: true, comments: true},
	{uri: ExclusiveURI, exclusive: true},
	{uri: ExclusiveCommentsURI, exclusive: true, comments: true},
}

// implicit is the form of a node-set that has to become octets (XMLDSig section 4.4.3.2).
var implicit = &forms[0]

func findForm(uri string) *form {
	for i := range forms {
		if forms[i].uri == uri {
			return &forms[i]
		}
	}
	return nil
}

// Transform is one step of a chain: which transform, and its parameters.
type Transform struct {
	URI string
	// PrefixList is the InclusiveNamespaces PrefixList of the exclusive forms; "#default" stands for the default namespace.
	PrefixList []string
	// Signature is, for EnvelopedURI, the offset of the '<' of the ds:Signature to leave out. It is without effect when it
	// lies outside of what the chain starts from.
	Signature int
	// OmitSignatures says, for XPathURI, that the expression is not(ancestor-or-self::ds:Signature), and for Filter2URI that
	// //ds:Signature is subtracted: every ds:Signature is left out. No other expression is supported. OmitsSignatures tells
	// these from others.
	OmitSignatures bool
}

// Known reports whether uri names a transform of this package whose output speaks of all that it was made of. Base64URI is
// not among them: its octets come from the text alone, whatever the tags about it. Who accepts that decides on it by itself.
func Known(uri string) bool {
	switch uri {
	case EnvelopedURI, SMEVURI, XPathURI, Filter2URI:
		return true
	}
	return findForm(uri) != nil
}

// IsCanonicalization reports whether uri names a canonicalization method, fit for ds:CanonicalizationMethod.
func IsCanonicalization(uri string) bool { return findForm(uri) != nil }

// Node selects what a chain starts from.
type Node struct {
	Whole   bool // the whole document, processing instructions outside the root included (URI="")
	Element int  // else: offset of the '<' of the element's start tag
	// Comments keeps comments in the node-set; same-document references "" and "#id" never do (XMLDSig section 4.4.3.3).
	// Octets from elsewhere that a chain parses keep them: Whole and Comments.
	Comments bool
}

// TransformError says which transform refused its input and why.
type TransformError struct {
	URI     string
	Message string
	Err     error
}

func (e *TransformError) Error() string {
	var b strings.Builder
	b.WriteString("transform")
	if e.URI != "" {
		b.WriteString(" " + e.URI)
	}
	b.WriteString(": " + e.Message)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *TransformError) Unwrap() error { return e.Err }
