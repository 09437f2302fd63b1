package cms

import (
	"bytes"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/signer/report"
)

// assembly is SignedData in pieces (RFC 5652 section 5.1), each a whole encoding, on the way to a message. Pieces of a message
// that came from somewhere are kept octet for octet.
type assembly struct {
	contentType      asn1.ObjectIdentifier
	encapsulated     []byte // encapContentInfo as it came; nil: to be written
	digestAlgorithms [][]byte
	certificates     [][]byte
	crls             []byte // with its tag; nil when absent
	signers          [][]byte
	byKeyID          bool // a signer is named by subjectKeyIdentifier
}

// assembly takes a message apart.
func (sd *signedData) assembly() *assembly {
	a := &assembly{
		contentType: sd.contentType, encapsulated: sd.encapsulated, digestAlgorithms: slices.Clone(sd.digestAlgorithms),
		certificates: slices.Clone(sd.certificateSet), crls: sd.crls,
	}
	for i := range sd.signers {
		a.signers = append(a.signers, sd.signers[i].raw)
		a.byKeyID = a.byKeyID || sd.signers[i].serial == nil
	}
	return a
}

// version is CMSVersion as RFC 5652 section 5.1 derives it.
func (a *assembly) version() int64 {
	has := func(tag byte) bool {
		return slices.ContainsFunc(a.certificates, func(c []byte) bool { return c[0] == tag })
	}
	switch {
	case has(0xA3) || a.otherCRLs():
		return 5
	case has(0xA2):
		return 4
	case has(0xA1) || a.byKeyID || !a.contentType.Equal(oidData):
		return 3
	}
	return 1
}

// otherCRLs reports whether crls holds something else than CRLs (OtherRevocationInfoFormat).
func (a *assembly) otherCRLs() bool {
	if a.crls == nil {
		return false
	}
	r := reader{message: a.crls, end: len(a.crls), depth: 1, limit: maxNesting}
	e, err := r.next("crls")
	for in := r.inside(e); err == nil && !in.empty(); {
		if e, err = in.next("crls"); err == nil && e.tag == tagContext1 {
			return true
		}
	}
	return false
}

// before is what stands before encapContentInfo.
func (a *assembly) before() []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1Int64(a.version())
	b.AddBytes(encodeSet(tagSet, a.digestAlgorithms))
	return b.BytesOrPanic() // short, and in memory
}

// after is what stands after encapContentInfo.
func (a *assembly) after() []byte {
	var out []byte
	if len(a.certificates) > 0 {
		out = append(out, encodeSet(tagContext0, a.certificates)...)
	}
	out = append(out, a.crls...)
	return append(out, encodeSet(tagSet, a.signers)...)
}

// encodeSet writes a SET OF in the order of DER (X.690 section 11.6), each element once.
func encodeSet(tag byte, elements [][]byte) []byte {
	list := slices.SortedFunc(slices.Values(elements), bytes.Compare)
	list = slices.CompactFunc(list, bytes.Equal)
	size := 0
	for _, e := range list {
		size += len(e)
	}
	return slices.Concat(append([][]byte{derHeader(tag, int64(size))}, list...)...)
}

// derHeader is a tag and a length in the fewest octets.
func derHeader(tag byte, size int64) []byte {
	if size < 0x80 {
		return []byte{tag, byte(size)}
	}
	var octets []byte
	for n := size; n > 0; n >>= 8 {
		octets = append(octets, byte(n))
	}
	slices.Reverse(octets)
	return append([]byte{tag, 0x80 | byte(len(octets))}, octets...)
}

func encodeOID(oid asn1.ObjectIdentifier) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1ObjectIdentifier(oid)
	return b.BytesOrPanic() // read or fixed: an identifier that can be written
}

// Sizes of content that are none.
const (
	noContent   = -1 // detached
	unknownSize = -2
)

// frame returns the octets before and after a content of size octets. When the size is unknown, the frame is BER: indefinite
// lengths outside, and the content has to be written in chunks, each an OCTET STRING.
func (a *assembly) frame(size int64) (head, tail []byte) {
	oid := encodeOID(a.contentType)
	var open, close []byte
	switch {
	case a.encapsulated != nil:
		open, size = a.encapsulated, 0
	case size == noContent:
		open, size = slices.Concat(derHeader(tagSequence, int64(len(oid))), oid), 0
	case size == unknownSize:
		const indefinite = 0x80
		open = slices.Concat([]byte{tagSequence, indefinite}, oid,
			[]byte{tagContext0, indefinite, tagOctetString | constructed, indefinite})
		head = slices.Concat([]byte{tagSequence, indefinite}, encodeOID(oidSignedData),
			[]byte{tagContext0, indefinite, tagSequence, indefinite}, a.before(), open)
		return head, slices.Concat(make([]byte, 6), a.after(), make([]byte, 6)) // three ends of contents each
	default:
		octets := derHeader(tagOctetString, size)
		wrapper := derHeader(tagContext0, int64(len(octets))+size)
		outer := derHeader(tagSequence, int64(len(oid)+len(wrapper)+len(octets))+size)
		open = slices.Concat(outer, oid, wrapper, octets)
	}
	before, after := a.before(), a.after()
	total := int64(len(before)+len(open)+len(close)+len(after)) + size
	body := derHeader(tagSequence, total)
	wrapper := derHeader(tagContext0, int64(len(body))+total)
	signed := encodeOID(oidSignedData)
	outer := derHeader(tagSequence, int64(len(signed)+len(wrapper)+len(body))+total)
	return slices.Concat(outer, signed, wrapper, body, before, open), append(close, after...)
}

// message puts everything together around content in memory; nil: none.
func (a *assembly) message(content []byte) []byte {
	size := int64(noContent)
	if content != nil {
		size = int64(len(content))
	}
	head, tail := a.frame(size)
	return slices.Concat(head, content, tail)
}

// withUnsigned returns the SignerInfo with one more unsigned attribute, at the countersignature that path leads to, the index
// of one on each level. All else keeps its octets.
func (si *signerInfo) withUnsigned(path []int, attribute []byte) []byte {
	var list [][]byte
	for _, a := range si.unsigned {
		list = append(list, a.raw)
	}
	if len(path) == 0 {
		list = append(list, attribute)
	} else {
		c := &si.counters[path[0]]
		values := slices.Clone(si.unsigned[c.attribute].values)
		values[c.value] = c.withUnsigned(path[1:], attribute)
		list[c.attribute] = encodeAttribute(oidCountersignature, func(b *cryptobyte.Builder) {
			for _, v := range values {
				b.AddBytes(v)
			}
		})
	}
	set := encodeSet(tagContext1, list)
	return slices.Concat(derHeader(tagSequence, int64(len(si.before)+len(set))), si.before, set)
}

// signerAt finds a signer, or a countersignature: the index of the signer, then on each level that of a countersignature.
func (sd *signedData) signerAt(path []int) (*signerInfo, error) {
	list := sd.signers
	var found *signerInfo
	for _, i := range path {
		if i < 0 || i >= len(list) {
			return nil, report.Errorf(report.RequestInvalid, report.Place{}, "the message has no signature %s", numbered(path))
		}
		found = &list[i]
		list = found.counters
	}
	if found == nil {
		return nil, report.Errorf(report.RequestInvalid, report.Place{}, "no signature is named")
	}
	return found, nil
}

// numbered writes the way to a signature as reports number them, from 1: "2, countersignature 1".
func numbered(path []int) string {
	words := make([]string, len(path))
	for n, i := range path {
		words[n] = strconv.Itoa(i + 1)
	}
	return strings.Join(words, ", countersignature ")
}

// addUnsigned adds an unsigned attribute to a signer or countersignature.
func (sd *signedData) addUnsigned(path []int, attribute []byte) []byte {
	a := sd.assembly()
	a.signers[path[0]] = sd.signers[path[0]].withUnsigned(path[1:], attribute)
	return a.message(nil)
}

// SignatureValue returns the value of a signature of a message, counted from 0: what a time-stamp is about. Errors are
// *report.Error.
func SignatureValue(message []byte, signer int) ([]byte, error) {
	sd, err := parse(message, Limits{}.withDefaults())
	if err != nil {
		return nil, err
	}
	si, err := sd.signerAt([]int{signer})
	if err != nil {
		return nil, err
	}
	return bytes.Clone(si.signature), nil
}

// AddTimeStamp adds a time-stamp token to the signature of a message that it is about, as an unsigned attribute (CAdES-T, RFC
// 5126 section 6.1.1); that may be a countersignature. Signatures keep their octets, signers perhaps not their order, which is
// that of DER. The token's own signature is not looked at. Errors are *report.Error, TimeStampImprint when the token is about
// no signature of the message.
func AddTimeStamp(message, token []byte) ([]byte, error) {
	ts, err := ParseTimeStamp(token)
	if err != nil {
		return nil, err
	}
	sd, err := parse(message, Limits{}.withDefaults())
	if err != nil {
		return nil, err
	}
	path := stampedBy(sd.signers, ts)
	if path == nil {
		return nil, report.Errorf(report.TimeStampImprint, report.Place{}, "the time-stamp is about no signature of the message")
	}
	return sd.addUnsigned(path, encodeAttribute(oidSignatureTimeStamp, func(b *cryptobyte.Builder) { b.AddBytes(token) })), nil
}

// stampedBy finds the signature that a time-stamp is about; nil when there is none.
func stampedBy(list []signerInfo, ts *TimeStamp) []int {
	for i := range list {
		if ts.checkImprint(list[i].signature).Status == report.Passed {
			return []int{i}
		}
		if path := stampedBy(list[i].counters, ts); path != nil {
			return append([]int{i}, path...)
		}
	}
	return nil
}

// Merge puts the signers of several messages about one content into one, with their certificates: this is how a further
// signer is added. Every SignerInfo keeps its octets; a signer who comes twice is taken once. Content that is attached to any
// of the messages is attached to the result, and must be the same in all that have one. Signers whose messageDigest says that
// they are about something else are refused; where there is no content, those of another digest method only [Verify] or
// [AreAbout] can tell. Errors are *report.Error.
func Merge(messages ...[]byte) ([]byte, error) {
	var out *assembly
	var content []byte
	var signers []signerInfo
	for i, message := range messages {
		sd, err := parse(message, Limits{}.withDefaults())
		if err != nil {
			return nil, err
		}
		signers = append(signers, sd.signers...)
		a := sd.assembly()
		switch {
		case out == nil:
			out, content = a, sd.content
			continue
		case !out.contentType.Equal(a.contentType):
			return nil, report.Errorf(report.CMSContentType, report.Place{}, "message %d has another content type", i+1)
		case content != nil && sd.content != nil && !bytes.Equal(content, sd.content):
			return nil, report.Errorf(report.CMSContent, report.Place{}, "message %d has another content", i+1)
		case out.crls != nil && a.crls != nil && !bytes.Equal(out.crls, a.crls):
			return nil, report.Errorf(report.RequestInvalid, report.Place{}, "more than one of the messages brings revocation lists")
		}
		if content == nil && sd.content != nil {
			content, out.encapsulated = sd.content, a.encapsulated
		}
		out.digestAlgorithms = mergeAlgorithms(out.digestAlgorithms, a.digestAlgorithms)
		out.certificates = append(out.certificates, a.certificates...)
		out.signers = append(out.signers, a.signers...)
		out.byKeyID = out.byKeyID || a.byKeyID
		if out.crls == nil {
			out.crls = a.crls
		}
	}
	if out == nil {
		return nil, report.Errorf(report.RequestInvalid, report.Place{}, "there is no message")
	}
	if err := unanimous(signers, content, out.contentType); err != nil {
		return nil, err
	}
	return out.message(nil), nil
}

// unanimous refuses signers of one message who are not about one content, as far as messageDigest tells.
func unanimous(signers []signerInfo, octets []byte, contentType asn1.ObjectIdentifier) error {
	if octets != nil {
		c := inMemory(octets, contentType, report.Place{})
		return allAgree(signers, &c)
	}
	said := make(map[*digest][]byte)
	for i := range signers {
		d := digestByOID(signers[i].digestAlgorithm.oid)
		value, at := signers[i].signed.value(oidMessageDigest)
		if d == nil || value == nil {
			continue // Verify judges such a signer
		}
		if other, ok := said[d]; ok && !bytes.Equal(other, value) {
			return report.Errorf(report.CMSMessageDigest, at, "the signers are about different contents: their messageDigest differ")
		}
		said[d] = value
	}
	return nil
}

// mergeAlgorithms adds the algorithms that are missing; parameters that are NULL and those that are absent are the same.
func mergeAlgorithms(list, further [][]byte) [][]byte {
	oid := func(raw []byte) string {
		var body cryptobyte.String
		var oid asn1.ObjectIdentifier
		in := cryptobyte.String(raw)
		if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1ObjectIdentifier(&oid) {
			return string(raw) // BER that is not DER: compared as it is
		}
		return oid.String()
	}
	for _, f := range further {
		if !slices.ContainsFunc(list, func(l []byte) bool { return oid(l) == oid(f) }) {
			list = append(list, f)
		}
	}
	return list
}
