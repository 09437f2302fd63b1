package xmldsig

import (
	"errors"
	"slices"

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
	line, column := o.position(span.Start)
	return report.Place{Offset: span.Start, End: span.End, Line: line, Column: column, Path: o.path(n)}
}

// position turns an offset into line and column, and notes where the line starts, so that further places are counted from
// there and not from the start of a long document.
func (o *outline) position(offset int) (line, column int) {
	from := lineStart{0, 1}
	if i, _ := slices.BinarySearchFunc(o.lines, offset+1, func(l lineStart, at int) int { return l.offset - at }); i > 0 {
		from = o.lines[i-1]
	}
	line, column = xmltext.Position(o.doc[from.offset:], offset-from.offset)
	line += from.line - 1
	here := lineStart{offset - column + 1, line}
	if i, known := slices.BinarySearchFunc(o.lines, here.offset, func(l lineStart, at int) int { return l.offset - at }); !known {
		o.lines = slices.Insert(o.lines, i, here)
	}
	return line, column
}

type lineStart struct{ offset, line int }

// fail makes an error about an element.
func (o *outline) fail(code report.Code, n int, format string, args ...any) *report.Error {
	return report.Errorf(code, o.place(n), format, args...)
}
