// Package canon turns parts of XML documents into the octets that signatures digest: canonical XML and the transforms of
// XML signatures.
package canon

import (
	"io"

	"github.com/epov-signer/epov/canon/xmltext"
)

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
)

// Transform is one step of a chain: a row of the table of forms with its parameters.
type Transform struct {
	URI string
	// PrefixList is the InclusiveNamespaces PrefixList of the exclusive forms; "#default" stands for the default namespace.
	PrefixList []string
	// Signature is, for EnvelopedURI, the offset of the '<' of the ds:Signature to leave out.
	Signature int
}

// Known reports whether uri names a transform of this package.
func Known(uri string) bool { panic("skeleton") }

// IsCanonicalization reports whether uri names a canonicalization method, fit for ds:CanonicalizationMethod.
func IsCanonicalization(uri string) bool { panic("skeleton") }

// Node selects what a chain starts from.
type Node struct {
	Whole   bool // the whole document, processing instructions outside the root included (URI="")
	Element int  // else: offset of the '<' of the element's start tag
	// Comments keeps comments in the node-set; same-document references "" and "#id" never do (XMLDSig section 4.4.3.3).
	Comments bool
}

// Apply writes the octets that chain makes of node in doc. A chain that ends with a node-set is canonicalized with
// inclusive C14N 1.0 (XMLDSig section 4.4.3.2). Errors are *xmltext.SyntaxError for doc itself, *TransformError for what a
// transform refuses, and w's own.
func Apply(w io.Writer, doc []byte, node Node, chain []Transform, limits xmltext.Limits) error {
	panic("skeleton")
}

// TransformError says which transform refused its input and why.
type TransformError struct {
	URI     string
	Message string
	Err     error
}

func (e *TransformError) Error() string { panic("skeleton") }
func (e *TransformError) Unwrap() error { return e.Err }
