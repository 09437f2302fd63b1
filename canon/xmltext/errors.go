package xmltext

import (
	"bytes"
	"fmt"
)

// Reason says which kind of rule a document breaks.
type Reason uint8

const (
	Malformed Reason = iota // not well-formed or not namespace-well-formed
	Encoding                // not UTF-8
	Doctype                 // a document type declaration
	Limit                   // a limit exceeded
)

func (r Reason) String() string {
	return [...]string{"malformed", "encoding", "doctype", "limit"}[r]
}

// SyntaxError is why a document was refused, and where. The message quotes names, never content.
type SyntaxError struct {
	Reason       Reason
	Offset       int // octets from the start of the document
	Line, Column int // 1-based; Column counts octets
	Message      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("xml: line %d, column %d (offset %d): %s", e.Line, e.Column, e.Offset, e.Message)
}

// fail makes the error that ends the reading. offset is that in doc.
func (t *Tokenizer) fail(reason Reason, offset int, format string, args ...any) error {
	line, column := t.position(offset)
	return &SyntaxError{
		Reason: reason, Offset: t.base + offset, Line: line, Column: column, Message: fmt.Sprintf(format, args...),
	}
}

// malformed is fail for the most frequent reason.
func (t *Tokenizer) malformed(offset int, format string, args ...any) error {
	return t.fail(Malformed, offset, format, args...)
}

// Position turns an offset into line and column, both counted from 1, the column in octets. LF, CR LF and CR end a line.
func Position(doc []byte, offset int) (line, column int) {
	offset = max(0, min(offset, len(doc)))
	if before := doc[:offset]; bytes.IndexByte(before, '\r') < 0 {
		return 1 + bytes.Count(before, []byte{'\n'}), offset - bytes.LastIndexByte(before, '\n')
	}
	line, start := 1, 0
	for i, c := range doc[:offset] {
		if c == '\n' || c == '\r' && (i+1 == len(doc) || doc[i+1] != '\n') {
			line, start = line+1, i+1
		}
	}
	return line, offset - start + 1
}
