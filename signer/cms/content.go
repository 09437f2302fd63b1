package cms

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/gost/gostr341194"
	"github.com/epov-signer/epov/signer/report"
)

// content is what signatures are about: octets in memory, octets that went by, or a digest alone. The zero value is none.
type content struct {
	contentType asn1.ObjectIdentifier // nil: the content is a signature, and what is about it a countersignature
	place       report.Place
	present     bool
	octets      []byte // nil unless in memory
	length      int64  // 0 when it is not known
	digests     map[*digest][][]byte
	attributes  suspicion
}

// suspicion is whether content is signed attributes; see [content.checkNoAttributes].
type suspicion uint8

const (
	innocent  suspicion = iota
	guilty              // it is
	uncertain           // there is no telling from a digest
)

// inMemory makes a content of octets.
func inMemory(octets []byte, contentType asn1.ObjectIdentifier, place report.Place) content {
	c := content{
		contentType: contentType, place: place, present: true, octets: octets, length: int64(len(octets)),
		digests: make(map[*digest][][]byte),
	}
	if octets == nil {
		c.octets = []byte{}
	}
	if isSignedAttributes(octets) {
		c.attributes = guilty
	}
	return c
}

// sums returns the digests of the content that may stand for it, nil when they are not to be had. There is one, except for
// empty content under GOST R 34.11-94, which implementations have digested in two ways.
func (c *content) sums(d *digest) [][]byte {
	if d == nil || !c.present {
		return nil
	}
	if _, ok := c.digests[d]; !ok && c.octets != nil {
		c.add(d, sum(d.new(), c.octets))
	}
	return c.digests[d]
}

func (c *content) add(d *digest, sum []byte) {
	c.digests[d] = [][]byte{sum}
	if d.gost == gost.GOSTR341194 && c.octets != nil && c.length == 0 {
		c.digests[d] = append(c.digests[d], gostr341194.EmptyEngine[:])
	}
}

// checkNoAttributes is for a signature without signed attributes. A signature has no mark that tells the two cases of RFC
// 5652 section 5.4 apart, so whoever leaves the attributes of a message away and puts them where the content was keeps its
// signature.
func (c *content) checkNoAttributes(s *report.Signature) {
	switch c.attributes {
	case guilty:
		s.Add(report.Check{Code: report.CMSAttributes, Status: report.Failed, Place: c.place,
			Message: "the content is the signed attributes of another message: its signer has not signed them as content"})
	case uncertain:
		s.Add(report.Check{Code: report.CMSAttributes, Status: report.NotChecked, Place: c.place,
			Message: "there are no signed attributes, and a digest does not tell whether the content is those of another message"})
	}
}

// isSignedAttributes reports whether octets are what a signature covers when there are signed attributes: a SET OF them with
// those that are required.
func isSignedAttributes(octets []byte) bool {
	r := reader{message: octets, end: len(octets), depth: 1, limit: maxNesting}
	e, err := r.expect(tagSet, "")
	if err != nil || !r.empty() {
		return false
	}
	set, err := parseAttributes(r.inside(e), "")
	if err != nil {
		return false
	}
	has := func(oid asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(set, func(a attribute) bool { return a.oid.Equal(oid) })
	}
	return has(oidMessageDigest) // contentType is missing in those of a countersignature
}

// findContent settles what was signed: attached content, supplied content, or both when they are equal.
func (v *verifier) findContent() (report.Check, error) {
	p, sd := &v.policy, v.message
	c := report.Check{Code: report.CMSContent, Place: sd.contentPlace, Message: "the content is attached"}
	v.content.contentType, v.content.place = sd.contentType, sd.contentPlace
	attached := sd.content != nil || sd.streamed != nil
	supplied := p.Detached || len(p.Content) > 0
	if n := count(supplied, p.Reader != nil, p.Digest != nil); n > 1 {
		return c, report.Errorf(report.RequestInvalid, report.Place{}, "more than one of content, reader and digest is given")
	}
	if p.Digest != nil && (p.DigestMethod == nil || len(p.Digest) != p.DigestMethod.Size) {
		return c, report.Errorf(report.RequestInvalid, report.Place{}, "the digest is not of the length of its method")
	}
	switch {
	case attached:
		if sd.streamed != nil {
			v.content = *sd.streamed
		} else {
			v.content = inMemory(sd.content, sd.contentType, sd.contentPlace)
		}
		same, err := v.sameAsSupplied()
		if err != nil {
			return c, err
		}
		if !same {
			c.Status, c.Message = report.Failed, "the attached content differs from the content supplied beside the message"
			v.content.present = false // it is not certain which one is meant
			v.content.attributes = innocent
		}
		return c, nil
	case supplied:
		v.content = inMemory(p.Content, sd.contentType, sd.contentPlace)
	case p.Reader != nil:
		if err := v.content.read(p.Reader, sd.digestMethods()); err != nil {
			return c, err
		}
	case p.Digest != nil:
		v.content.present, v.content.attributes = true, uncertain
		v.content.digests = map[*digest][][]byte{digestByOID(p.DigestMethod.OID): {p.Digest}}
		c.Message = "the digest of the content was supplied beside the message"
		return c, nil
	default:
		c.Status, c.Message = report.Failed, "the signature is detached and no content was supplied"
		return c, nil
	}
	c.Message = "the content was supplied beside the message"
	return c, nil
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// sameAsSupplied compares the attached content with what was supplied, if anything was.
func (v *verifier) sameAsSupplied() (bool, error) {
	p := &v.policy
	switch {
	case p.Digest != nil:
		return anyEqual(p.Digest, v.content.sums(digestByOID(p.DigestMethod.OID))), nil
	case p.Reader != nil && v.content.octets != nil:
		m := matcher{rest: v.content.octets}
		if _, err := copyContent(p.Reader, m.write); err != nil && !errors.Is(err, errDiffers) {
			return false, err
		} else if err != nil {
			return false, nil
		}
		return len(m.rest) == 0, nil
	case p.Reader != nil: // both went by: their digests tell
		other := content{contentType: oidData}
		var methods []*digest
		for d := range v.content.digests {
			methods = append(methods, d)
		}
		if err := other.read(p.Reader, methods); err != nil {
			return false, err
		}
		for d, sums := range v.content.digests {
			if !bytes.Equal(sums[0], other.digests[d][0]) {
				return false, nil
			}
		}
		return len(methods) > 0 && other.length == v.content.length, nil
	case p.Detached || len(p.Content) > 0:
		if v.content.octets != nil {
			return bytes.Equal(v.content.octets, p.Content), nil
		}
		other := inMemory(p.Content, oidData, report.Place{})
		for d, sums := range v.content.digests {
			if !bytes.Equal(sums[0], other.sums(d)[0]) {
				return false, nil
			}
		}
		return len(v.content.digests) > 0 && other.length == v.content.length, nil
	}
	return true, nil
}

var errDiffers = errors.New("the contents differ")

// matcher compares octets that come in pieces with those in memory.
type matcher struct{ rest []byte }

func (m *matcher) write(piece []byte) error {
	if !bytes.HasPrefix(m.rest, piece) {
		return errDiffers
	}
	m.rest = m.rest[len(piece):]
	return nil
}

// digestMethods lists the digests that the signers name, each once.
func (sd *signedData) digestMethods() (list []*digest) {
	for i := range sd.signers {
		if d := digestByOID(sd.signers[i].digestAlgorithm.oid); d != nil && d.gost != nil && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// chunkSize is how much of a content is in memory at a time.
const chunkSize = 256 << 10

// copyContent reads to the end and hands out the pieces.
func copyContent(r io.Reader, take func([]byte) error) (n int64, err error) {
	buffer := make([]byte, chunkSize)
	for {
		m, err := r.Read(buffer)
		if m > 0 {
			n += int64(m)
			if err := take(buffer[:m]); err != nil {
				return n, err
			}
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// read digests a content while it goes by.
func (c *content) read(r io.Reader, methods []*digest) error {
	d := newDigester(methods)
	if _, err := copyContent(r, d.write); err != nil {
		return err
	}
	d.finish(c)
	return nil
}

// maxHead bounds the signed attributes that a content which goes by is searched for.
const maxHead = 64 << 10

// digester digests content that goes by, and looks whether it is signed attributes.
type digester struct {
	methods []*digest
	hashes  []hash.Hash
	head    []byte // the first maxHead octets
	length  int64
}

func newDigester(methods []*digest) *digester {
	d := &digester{methods: methods}
	for _, m := range methods {
		d.hashes = append(d.hashes, m.new())
	}
	return d
}

func (d *digester) write(piece []byte) error {
	d.length += int64(len(piece))
	if n := maxHead - len(d.head); n > 0 {
		d.head = append(d.head, piece[:min(n, len(piece))]...)
	}
	for _, h := range d.hashes {
		h.Write(piece)
	}
	return nil
}

func (d *digester) finish(c *content) {
	c.present, c.length, c.digests = true, d.length, make(map[*digest][][]byte)
	if d.length == 0 {
		c.octets = []byte{}
	}
	for i, m := range d.methods {
		c.add(m, d.hashes[i].Sum(nil))
	}
	switch {
	case d.length <= maxHead && isSignedAttributes(d.head), d.length > maxHead && looksLikeAttributes(d.head, d.length):
		c.attributes = guilty
	}
}

// looksLikeAttributes is the test for a content of which only the head is at hand: a SET that spans it and begins with an
// attribute.
func looksLikeAttributes(head []byte, length int64) bool {
	n, size, ok := lengthOctets(head)
	if !ok || head[0] != tagSet || int64(n)+size != length {
		return false
	}
	head = head[n:]
	n, _, ok = lengthOctets(head)
	return ok && head[0] == tagSequence && n < len(head) && head[n] == tagOID
}

// lengthOctets reads a one-octet tag and a definite length at the start of data.
func lengthOctets(data []byte) (header int, size int64, ok bool) {
	if len(data) < 2 || data[1] == 0x80 {
		return 0, 0, false
	}
	if data[1] < 0x80 {
		return 2, int64(data[1]), true
	}
	n := int(data[1] & 0x7F)
	if n > 7 || len(data) < 2+n {
		return 0, 0, false
	}
	for _, b := range data[2 : 2+n] {
		size = size<<8 | int64(b)
	}
	return 2 + n, size, true
}
