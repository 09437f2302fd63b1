package explain

import "github.com/epov-signer/epov/signer/report"

// Mistake names something that is known to go wrong when signatures are made or carried about. Names are a contract: they
// never change meaning and are never reused. What each means is in [Mistakes].
type Mistake string

// Unknown says that none of the known mistakes makes the signature verify.
const Unknown Mistake = "unknown"

// Exhausted says that the search came to the end of its budget before that of its list.
const Exhausted Mistake = "exhausted"

// What was done to the content.
const (
	ContentEdited       Mistake = "content.edited"
	ContentIndented     Mistake = "content.indented"
	ContentUnindented   Mistake = "content.unindented"
	ContentTrimmed      Mistake = "content.trimmed"
	ContentLineEnds     Mistake = "content.line-ends"
	ContentBOM          Mistake = "content.bom"
	ContentNewline      Mistake = "content.newline"
	ContentDeclaration  Mistake = "content.declaration"
	ContentCharset      Mistake = "content.charset"
	ContentText         Mistake = "content.text"
	ContentBase64       Mistake = "content.base64"
	ContentEmptyTags    Mistake = "content.empty-tags"
	ContentAttributes   Mistake = "content.attributes"
	ContentEscaping     Mistake = "content.escaping"
	NamespacesMoved     Mistake = "namespaces.moved"
	SignatureBlanks     Mistake = "signature.blanks"
	SignatureLater      Mistake = "signature.later"
	TargetOther         Mistake = "target.other"
	TargetDuplicate     Mistake = "target.duplicate"
	TargetIDAdded       Mistake = "target.id-added"
	TargetIDName        Mistake = "target.id-name"
	SignedInfoIndented  Mistake = "signed-info.indented"
	SignedInfoDigest    Mistake = "signed-info.digest"
	SignedInfoMethod    Mistake = "signed-info.method"
	SignedInfoTransform Mistake = "signed-info.smev"
)

// How octets were made of it.
const (
	C14NInclusive    Mistake = "c14n.inclusive"
	C14NExclusive    Mistake = "c14n.exclusive"
	C14NVersion      Mistake = "c14n.version"
	C14NComments     Mistake = "c14n.comments"
	C14NPrefixList   Mistake = "c14n.prefix-list"
	TransformSkipped Mistake = "transform.skipped"
	TransformAdded   Mistake = "transform.added"
	TransformOrder   Mistake = "transform.order"
	SMEVAttributes   Mistake = "smev.attributes"
	SMEVPrefixes     Mistake = "smev.prefixes"
	SMEVEscaping     Mistake = "smev.escaping"
	SMEVText         Mistake = "smev.text"
)

// What became of the octets.
const (
	DigestAlgorithm Mistake = "digest.algorithm"
	DigestReversed  Mistake = "digest.reversed"
	DigestHex       Mistake = "digest.hex"
	DigestAlphabet  Mistake = "digest.alphabet"
	DigestTwice     Mistake = "digest.twice"
	ValueSwapped    Mistake = "value.swapped"
	ValueReversed   Mistake = "value.reversed"
	ValueHalves     Mistake = "value.halves-reversed"
	ValueDER        Mistake = "value.der"
	ValueTrailing   Mistake = "value.trailing"
	ValueAlphabet   Mistake = "value.alphabet"
	MethodOther     Mistake = "method.other"
	KeyOther        Mistake = "key.other"
	SignedContent   Mistake = "signed.content"
	SignedDigest    Mistake = "signed.digest"
)

// Of CMS alone.
const (
	AttributesOrder   Mistake = "attributes.order"
	AttributesTag     Mistake = "attributes.tag"
	AttributesBare    Mistake = "attributes.bare"
	AttributesLate    Mistake = "attributes.digest"
	ContentBase64Text Mistake = "content.base64-text"
	ContentEncoding   Mistake = "content.encoding"
)

// Sentence says something in every language that reports have.
type Sentence struct{ English, Russian string }

// In returns the sentence in a language.
func (s Sentence) In(l report.Language) string {
	if l == report.Russian {
		return s.Russian
	}
	return s.English
}

// MistakeInfo says what a mistake is, and what to do.
type MistakeInfo struct {
	Mistake Mistake
	What    Sentence // without a final period
	Advice  Sentence // without a final period; empty where there is none
}

// Info returns the row of a mistake; the zero MistakeInfo for an unknown one.
func (m Mistake) Info() MistakeInfo {
	for _, i := range Mistakes {
		if i.Mistake == m {
			return i
		}
	}
	return MistakeInfo{Mistake: m}
}
