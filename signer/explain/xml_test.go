package explain

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// data is an element with everything that canonical forms tell apart; envelope is about it.
const (
	data = `<x:data xmlns:x="urn:x" xmlns:u="urn:unused" Id="d" b="2" a="1"><x:item n="1">one &gt; "two"</x:item>` +
		`<x:empty></x:empty><p:q xmlns:p="urn:p" p:z="1" c="'">Проверка № 5</p:q><!-- note --><x:lines>first
second</x:lines></x:data>`
	envelope = `<r:root xmlns:r="urn:r" xmlns:o="urn:outer">` + data + `@SIG@</r:root>`
)

func TestReferenceMistakes(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	big := newIdentity(t, gost.GOST2012_512, "tc26-512-A")
	exc := canonical(t, data, "--exc-c14n")
	exc = strings.Replace(exc, "<!-- note -->", "", 1)
	inContext := strings.Replace(data, "<x:data", `<x:data xmlns:o="urn:outer" xmlns:r="urn:r"`, 1)
	inclusive := strings.Replace(canonical(t, inContext, "--c14n"), "<!-- note -->", "", 1)
	base := forge{doc: envelope, uri: "#d", transforms: exclusiveOnly, digested: exc, signer: id}
	if e := explainXML(t, base.make(t), Options{}); len(e.Findings) != 0 || e.Report.Integrity() != report.Valid {
		t.Fatalf("the forge forges: %v, %v", e.Findings, e.Report.Failures())
	}
	compact := `<x:data xmlns:x="urn:x" Id="d"><x:a>1</x:a><x:b><x:c>2</x:c></x:b></x:data>`
	pretty := canonicalOf(t, compact, "--format")
	mini := forge{doc: `<root>` + compact + `@SIG@</root>`, uri: "#d", transforms: exclusiveOnly, digested: compact, signer: id}

	for _, tc := range []struct {
		name  string
		forge func(f forge) forge
		want  []Mistake
	}{
		{"inclusive C14N", func(f forge) forge { f.digested = inclusive; return f }, []Mistake{C14NInclusive}},
		{"exclusive C14N where inclusive is stated", func(f forge) forge {
			f.transforms = []string{canon.InclusiveURI}
			return f
		}, []Mistake{C14NExclusive}},
		{"with comments", func(f forge) forge { f.digested = canonical(t, data, "--exc-c14n"); return f }, []Mistake{C14NComments}},
		{"1.1 where xml:id counts", func(f forge) forge {
			f.doc = `<r:root xmlns:r="urn:r" xml:id="top"><x:data xmlns:x="urn:x" Id="d"></x:data>@SIG@</r:root>`
			f.digested = `<x:data xmlns:r="urn:r" xmlns:x="urn:x" Id="d"></x:data>` // 1.1 does not inherit xml:id
			f.transforms = []string{canon.InclusiveURI}
			return f
		}, []Mistake{C14NVersion}},
		{"PrefixList stated and not used", func(f forge) forge { f.prefixList = "u"; return f }, []Mistake{C14NPrefixList}},
		{"PrefixList used and not stated", func(f forge) forge {
			f.digested = strings.Replace(exc, `<x:data `, `<x:data xmlns:u="urn:unused" `, 1)
			return f
		}, []Mistake{C14NPrefixList}},
		{"SMEV transform stated and not applied", func(f forge) forge {
			f.transforms = smev3
			return f
		}, []Mistake{TransformSkipped}},
		{"enveloped-signature not stated", func(f forge) forge {
			f.doc, f.digested = `<x:data xmlns:x="urn:x" Id="d">text@SIG@</x:data>`, `<x:data xmlns:x="urn:x" Id="d">text</x:data>`
			return f
		}, []Mistake{TransformAdded}},
		{"SMEV before C14N", func(f forge) forge {
			f.transforms, f.digested = []string{canon.SMEVURI, canon.ExclusiveURI}, smevOf(t, compact)
			f.doc = mini.doc
			return f
		}, []Mistake{TransformOrder}},
		{"the text", func(f forge) forge {
			f.doc, f.digested = `<root><data  Id='d'/>@SIG@</root>`, `<data  Id='d'/>`
			return f
		}, []Mistake{ContentText}},
		{"another element", func(f forge) forge {
			f.doc = strings.Replace(mini.doc, `<x:b>`, `<x:b Id="other">`, 1)
			f.digested = `<x:b xmlns:x="urn:x" Id="other"><x:c>2</x:c></x:b>`
			return f
		}, []Mistake{TargetOther}},
		{"the root", func(f forge) forge {
			f.doc = `<root Id="r"><x Id="d"></x><y></y>@SIG@</root>`
			f.transforms = enveloped
			f.digested = `<root Id="r"><x Id="d"></x><y></y></root>`
			return f
		}, []Mistake{TargetOther}},
		{"the Id came later", func(f forge) forge {
			f.doc, f.digested = mini.doc, strings.Replace(compact, ` Id="d"`, "", 1)
			return f
		}, []Mistake{TargetIDAdded}},
		{"two elements with the Id", func(f forge) forge {
			f.doc, f.digested = `<root><a Id="d">1</a><b Id="d">2</b>@SIG@</root>`, `<b Id="d">2</b>`
			return f
		}, []Mistake{TargetDuplicate}},
		{"an Id in other letters", func(f forge) forge { f.uri = "#D"; return f }, []Mistake{TargetIDName}},
		{"signed alone, then put into an envelope", func(f forge) forge {
			f.transforms = []string{canon.InclusiveURI}
			f.digested = strings.Replace(canonical(t, data, "--c14n"), "<!-- note -->", "", 1)
			return f
		}, []Mistake{NamespacesMoved}},
		{"blanks about an enveloped signature", func(f forge) forge {
			f.doc, f.digested = "<a>\n<b></b>\n  @SIG@\n</a>", "<a>\n<b></b></a>"
			f.uri, f.transforms = "", enveloped
			return f
		}, []Mistake{SignatureBlanks}},

		{"indented after signing", func(f forge) forge {
			f = mini
			f.doc = "<root>" + pretty + "@SIG@</root>"
			return f
		}, []Mistake{ContentIndented}},
		{"unindented after signing", func(f forge) forge {
			f = mini
			f.digested = pretty
			return f
		}, []Mistake{ContentUnindented}},
		{"texts moved to lines of their own", func(f forge) forge {
			f = mini
			f.doc = strings.NewReplacer(">1<", ">\n 1\n<").Replace(f.doc)
			return f
		}, []Mistake{ContentTrimmed}},
		{"CR LF digested", func(f forge) forge { f.digested = strings.ReplaceAll(exc, "\n", "\r\n"); return f },
			[]Mistake{ContentLineEnds}},
		{"CR LF as references", func(f forge) forge { f.digested = strings.ReplaceAll(exc, "\n", "&#xD;\n"); return f },
			[]Mistake{ContentLineEnds}},
		{"a BOM digested", func(f forge) forge { f.digested = "\ufeff" + exc; return f }, []Mistake{ContentBOM}},
		{"a line feed at the end", func(f forge) forge { f.digested = exc + "\n"; return f }, []Mistake{ContentNewline}},
		{"an XML declaration", func(f forge) forge {
			f.digested = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + exc
			return f
		}, []Mistake{ContentDeclaration}},
		{"UTF-16", func(f forge) forge { f.digested = iconv(t, exc, "UTF-16LE"); return f }, []Mistake{ContentCharset}},
		{"windows-1251", func(f forge) forge { f.digested = iconv(t, exc, "CP1251"); return f }, []Mistake{ContentCharset}},
		{"base64 folded after signing", func(f forge) forge {
			long := strings.Repeat("QUJD", 30)
			f.doc = `<root><a Id="d">` + long[:76] + "\n" + long[76:] + `</a>@SIG@</root>`
			f.digested = `<a Id="d">` + long + `</a>`
			return f
		}, []Mistake{ContentBase64}},
		{"base64 unfolded after signing", func(f forge) forge {
			long := strings.Repeat("QUJD", 30)
			f.doc = `<root><a Id="d">` + long + `</a>@SIG@</root>`
			f.digested = `<a Id="d">` + long[:64] + "\n" + long[64:] + `</a>`
			return f
		}, []Mistake{ContentBase64}},
		{"empty-element tags", func(f forge) forge {
			f.digested = strings.Replace(exc, "<x:empty></x:empty>", "<x:empty/>", 1)
			return f
		}, []Mistake{ContentEmptyTags}},
		{"declarations after attributes", func(f forge) forge {
			f.doc, f.digested = `<root><x:a xmlns:x="urn:x" Id="d" x:b="1"></x:a>@SIG@</root>`, `<x:a Id="d" x:b="1" xmlns:x="urn:x"></x:a>`
			return f
		}, []Mistake{ContentAttributes}},
		{"greater-than as it is", func(f forge) forge { f.digested = strings.Replace(exc, "&gt;", ">", 1); return f },
			[]Mistake{ContentEscaping}},

		{"the digest of another algorithm", func(f forge) forge {
			f.digest = func(b []byte) []byte { return opensslDigest(t, "md_gost94", b) }
			return f
		}, []Mistake{DigestAlgorithm}},
		{"SHA-256", func(f forge) forge {
			f.digest = func(b []byte) []byte { return opensslDigest(t, "sha256", b) }
			return f
		}, []Mistake{DigestAlgorithm}},
		{"Streebog-512 where 256 is stated", func(f forge) forge {
			f.digest = func(b []byte) []byte { return opensslDigest(t, "md_gost12_512", b) }
			return f
		}, []Mistake{DigestAlgorithm}},
		{"reversed", func(f forge) forge {
			f.digest = func(b []byte) []byte { return reversed(opensslDigest(t, "md_gost12_256", b)) }
			return f
		}, []Mistake{DigestReversed}},
		{"hexadecimal in base64", func(f forge) forge {
			f.written = func(d []byte) string { return base64Text([]byte(hex.EncodeToString(d))) }
			return f
		}, []Mistake{DigestHex}},
		{"hexadecimal", func(f forge) forge { f.written = hex.EncodeToString; return f }, []Mistake{DigestAlphabet}},
		{"base64url", func(f forge) forge {
			for n := 0; ; n++ { // until the two alphabets differ
				f.doc = strings.Replace(envelope, "Проверка", strings.Repeat("x", n), 1)
				f.digested = strings.Replace(exc, "Проверка", strings.Repeat("x", n), 1)
				if strings.ContainsAny(base64Text(streebog([]byte(f.digested))), "+/") {
					break
				}
			}
			f.written = base64.RawURLEncoding.EncodeToString
			return f
		}, []Mistake{DigestAlphabet}},
		{"digested twice", func(f forge) forge { f.digest = func(b []byte) []byte { return streebog(streebog(b)) }; return f },
			[]Mistake{DigestTwice}},

		{"two at once: inclusive and reversed", func(f forge) forge {
			f.digested = inclusive
			f.digest = func(b []byte) []byte { return reversed(streebog(b)) }
			return f
		}, []Mistake{C14NInclusive, DigestReversed}},
		{"two at once: inclusive and a line feed", func(f forge) forge { f.digested = inclusive + "\n"; return f },
			[]Mistake{C14NInclusive, ContentNewline}},
		{"two at once: another element, inclusive", func(f forge) forge {
			f.doc = `<root xmlns:u="urn:u"><a Id="d"></a><b Id="e"></b>@SIG@</root>`
			f.digested = `<b xmlns:u="urn:u" Id="e"></b>`
			return f
		}, []Mistake{TargetOther, C14NInclusive}},
		{"512 bits", func(f forge) forge {
			f.signer = big
			f.digest = func(b []byte) []byte { return reversed(opensslDigest(t, "md_gost12_512", b)) }
			return f
		}, []Mistake{DigestReversed}},
		{"nothing known", func(f forge) forge { f.digested = strings.Replace(exc, "one", "eleven", 1); return f }, []Mistake{Unknown}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := tc.forge(base)
			expectMistakes(t, explainXML(t, f.make(t), Options{}), 0, tc.want...)
		})
	}
}

func TestValueMistakes(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	big := newIdentity(t, gost.GOST2012_512, "tc26-512-A")
	old := newIdentity(t, gost.GOST2001, "CryptoPro-A")
	other := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	content := `<x:data xmlns:x="urn:x" Id="d"><x:a>1</x:a></x:data>`
	base := forge{doc: `<root xmlns:o="urn:o">` + content + `@SIG@</root>`, uri: "#d", transforms: exclusiveOnly,
		digested: content, signer: id}
	pretty := func(info string) string {
		out := strings.Replace(canonicalOf(t, info, "--format"), ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`, "", 1)
		return out
	}
	for _, tc := range []struct {
		name    string
		forge   func(f forge) forge
		options Options
		want    []Mistake
	}{
		{"halves swapped", func(f forge) forge { f.value = swapHalves; return f }, Options{}, []Mistake{ValueSwapped}},
		{"all reversed", func(f forge) forge { f.value = reversed; return f }, Options{}, []Mistake{ValueReversed}},
		{"each half reversed", func(f forge) forge {
			f.value = func(v []byte) []byte { return swapHalves(reversed(v)) }
			return f
		}, Options{}, []Mistake{ValueHalves}},
		{"512 bits reversed", func(f forge) forge { f.signer, f.value = big, reversed; return f }, Options{}, []Mistake{ValueReversed}},
		{"an octet too many", func(f forge) forge { f.value = func(v []byte) []byte { return append(v, 0) }; return f },
			Options{}, []Mistake{ValueTrailing}},
		{"SEQUENCE", func(f forge) forge { f.value = sequence; return f }, Options{}, []Mistake{ValueDER}},
		{"OCTET STRING", func(f forge) forge {
			f.value = func(v []byte) []byte { return append([]byte{4, byte(len(v))}, v...) }
			return f
		}, Options{}, []Mistake{ValueDER}},
		{"hexadecimal", func(f forge) forge { f.text = hex.EncodeToString; return f }, Options{}, []Mistake{ValueAlphabet}},
		{"without padding", func(f forge) forge { f.text = base64.RawStdEncoding.EncodeToString; return f },
			Options{}, []Mistake{ValueAlphabet}},

		{"another certificate, given", func(f forge) forge { f.named = other.cert; return f },
			Options{Certificates: []*gost.Certificate{id.cert}}, []Mistake{KeyOther}},
		{"another certificate, of the message", func(f forge) forge {
			f.named = other.cert
			f.doc = strings.Replace(f.doc, "</root>", `<w:BinarySecurityToken xmlns:w="http://docs.oasis-open.org/wss/2004/01/`+
				`oasis-200401-wss-wssecurity-secext-1.0.xsd">`+base64Text(id.cert.Raw)+`</w:BinarySecurityToken></root>`, 1)
			return f
		}, Options{}, []Mistake{KeyOther}},
		{"512 stated for a key of 256", func(f forge) forge { f.methodURI = gost.GOST2012_512.URI; return f },
			Options{}, []Mistake{MethodOther}},
		{"2012 stated for a key of 2001", func(f forge) forge {
			f.signer, f.methodURI = old, gost.GOST2012_256.URI
			return f
		}, Options{}, []Mistake{MethodOther}},

		{"indented after signing", func(f forge) forge { f.info = pretty; return f }, Options{}, []Mistake{SignedInfoIndented}},
		{"indented before signing, not after", func(f forge) forge {
			f.signed = func(info string) string { return canonical(t, canonicalOf(t, info, "--format"), "--c14n") }
			return f
		}, Options{}, []Mistake{SignedInfoIndented}},
		{"CR LF in SignedInfo", func(f forge) forge {
			f.info = func(info string) string { return strings.ReplaceAll(info, "><", ">\n<") }
			f.signed = func(info string) string { return strings.ReplaceAll(info, "><", ">\r\n<") }
			return f
		}, Options{}, []Mistake{ContentLineEnds}},
		{"a line feed after SignedInfo", func(f forge) forge { f.signed = func(info string) string { return info + "\n" }; return f },
			Options{}, []Mistake{ContentNewline}},
		{"inclusive C14N of SignedInfo", func(f forge) forge {
			f.signed = func(info string) string { return strings.Replace(info, `#">`, `#" xmlns:o="urn:o">`, 1) }
			return f
		}, Options{}, []Mistake{C14NInclusive}},
		{"exclusive C14N of SignedInfo where inclusive is stated", func(f forge) forge { f.c14nURI = canon.InclusiveURI; return f },
			Options{}, []Mistake{C14NExclusive}},
		{"the SMEV transform on SignedInfo", func(f forge) forge {
			f.signed = func(info string) string { return smevOf(t, info) }
			return f
		}, Options{}, []Mistake{SignedInfoTransform}},
		{"signed with an empty digest", func(f forge) forge {
			f.signed = func(info string) string { return strings.Replace(info, base64Text(streebog([]byte(content))), "", 1) }
			return f
		}, Options{}, []Mistake{SignedInfoDigest}},
		{"identifiers changed after signing", func(f forge) forge {
			f.signed = func(info string) string {
				return strings.NewReplacer(gost.GOST2012_256.URI, gost.GOST2001.URI, gost.Streebog256.URI,
					gost.GOSTR341194.URI).Replace(info)
			}
			return f
		}, Options{}, []Mistake{SignedInfoMethod}},
		{"the content is signed", func(f forge) forge { f.signed = func(string) string { return content }; return f },
			Options{}, []Mistake{SignedContent}},
		{"the digest value is signed", func(f forge) forge {
			f.hash = func([]byte) []byte { return streebog([]byte(content)) }
			return f
		}, Options{}, []Mistake{SignedContent}},
		{"digest of another algorithm", func(f forge) forge {
			f.hash = func(b []byte) []byte { return opensslDigest(t, "md_gost94", b) }
			return f
		}, Options{}, []Mistake{DigestAlgorithm}},
		{"digest reversed", func(f forge) forge {
			f.hash = func(b []byte) []byte { return reversed(streebog(b)) }
			return f
		}, Options{}, []Mistake{DigestReversed}},
		{"digested twice", func(f forge) forge { f.hash = func(b []byte) []byte { return streebog(streebog(b)) }; return f },
			Options{}, []Mistake{DigestTwice}},
		{"indented, and r and s swapped", func(f forge) forge { f.info, f.value = pretty, swapHalves; return f },
			Options{}, []Mistake{SignedInfoIndented, ValueSwapped}},
		{"nothing known", func(f forge) forge {
			f.signed = func(info string) string { return strings.Replace(info, "#d", "#e", 1) }
			return f
		}, Options{}, []Mistake{Unknown}},
		{"a stranger's key", func(f forge) forge { f.named = other.cert; return f }, Options{}, []Mistake{Unknown}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expectMistakes(t, explainXML(t, tc.forge(base).make(t), tc.options), -1, tc.want...)
		})
	}
}

// A digest changed after signing breaks both: SignedInfo tells that it was not so when it was signed.
func TestDigestChangedAfterSigning(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	content := `<data Id="d">1</data>`
	right := base64Text(streebog([]byte(content)))
	f := forge{doc: `<root>` + content + `@SIG@</root>`, uri: "#d", transforms: exclusiveOnly, digested: content, signer: id}
	f.info = func(info string) string {
		return strings.Replace(info, right, base64Text(reversed(streebog([]byte(content)))), 1)
	}
	e := explainXML(t, f.make(t), Options{})
	if len(e.Findings) != 2 || e.Findings[0].Mistakes[0] != DigestReversed || e.Findings[1].Mistakes[0] != SignedInfoDigest {
		t.Fatalf("%+v", e.Findings)
	}
}

// A second signature in what the first covers breaks it, unless both leave all signatures out.
func TestSignatureLater(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	f := forge{doc: `<a Id="d"><b>1</b>@SIG@</a>`, uri: "#d", transforms: enveloped, digested: `<a Id="d"><b>1</b></a>`, signer: id}
	first := string(f.make(t))
	f.doc = strings.Replace(first, "</a>", "@SIG@</a>", 1)
	f.digested = canonical(t, first, "--exc-c14n")
	e := explainXML(t, f.make(t), Options{})
	f0 := expectMistakes(t, e, 0, SignatureLater)
	if f0.Signature != 0 {
		t.Errorf("%+v", f0)
	}
}
