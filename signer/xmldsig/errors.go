package xmldsig

import (
	"errors"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/signer/report"
)

// syntaxCodes maps the tokenizer's reasons.
var syntaxCodes = map[xmltext.Reason]report.Code{
	xmltext.Malformed: report.XMLSyntax,
	xmltext.Encoding:  report.XMLEncoding,
	xmltext.Doctype:   report.XMLDoctype,
	xmltext.Limit:     report.XMLLimit,
}

// asError turns an error of canon or xmltext into a *report.Error.
func asError(err error) *report.Error {
	var ready *report.Error
	if errors.As(err, &ready) {
		return ready
	}
	var transform *canon.TransformError
	if errors.As(err, &transform) {
		return &report.Error{Code: report.ReferenceTransform, Message: "the transform " + transform.URI + " refuses its input: " +
			transform.Message}
	}
	var syntax *xmltext.SyntaxError
	if errors.As(err, &syntax) {
		return &report.Error{
			Code:    syntaxCodes[syntax.Reason],
			Place:   report.Place{Offset: syntax.Offset, End: syntax.Offset, Line: syntax.Line, Column: syntax.Column},
			Message: syntax.Message,
		}
	}
	return &report.Error{Code: report.Internal, Message: "canonicalization failed", Err: err}
}

// place says where an element is.
func (o *outline) place(n int) report.Place {
	span := o.nodes[n].span()
	line, column := xmltext.Position(o.doc, span.Start)
	return report.Place{Offset: span.Start, End: span.End, Line: line, Column: column, Path: o.path(n)}
}

// fail makes an error about an element.
func (o *outline) fail(code report.Code, n int, format string, args ...any) *report.Error {
	return report.Errorf(code, o.place(n), format, args...)
}
