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
	if p, known := o.places[n]; known {
		return p
	}
	span := o.nodes[n].span()
	line, column := o.position(span.Start)
	p := report.Place{Offset: span.Start, End: span.End, Line: line, Column: column, Path: o.path(n)}
	o.places[n] = p
	return p
}

// position turns an offset into line and column. It notes what it found, so that further places are counted from the nearest
// one before and not from the start of a long document.
func (o *outline) position(offset int) (line, column int) {
	i, known := slices.BinarySearchFunc(o.marks, offset, func(m mark, at int) int { return m.offset - at })
	if known {
		return o.marks[i].line, o.marks[i].column
	}
	from := mark{0, 1, 1}
	if i > 0 {
		from = o.marks[i-1]
	}
	line, column = xmltext.Position(o.doc[from.offset:], offset-from.offset)
	if line == 1 {
		column += from.column - 1
	}
	line += from.line - 1
	o.marks = slices.Insert(o.marks, i, mark{offset, line, column})
	return line, column
}

// mark is the position of an element's start.
type mark struct{ offset, line, column int }

// fail makes an error about an element.
func (o *outline) fail(code report.Code, n int, format string, args ...any) *report.Error {
	return report.Errorf(code, o.place(n), format, args...)
}
