package cms

import (
	"bufio"
	"io"
	"slices"

	"github.com/epov-signer/epov/signer/report"
)

// VerifyStream is [Verify] of a message whose content may be of any size: it is digested while it goes by, and memory does
// not grow with it. Limits.Size does not apply; what is beside the content is bounded. The message is read to its end, once,
// unless digestAlgorithms, which stands before the content, lacks a digest that a signer behind it used: then a message that
// is an io.Seeker is read once more, and of another the content counts as not checked. Trace gets no content.
func VerifyStream(message io.Reader, policy Policy) (*report.Report, error) {
	limits := policy.Limits.withDefaults()
	sd, err := parseStream(message, nil, limits)
	if err != nil {
		return nil, err
	}
	if missing := sd.notDigested(); len(missing) > 0 {
		if seeker, ok := message.(io.Seeker); ok {
			if _, err := seeker.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
			if sd, err = parseStream(message, sd.digestMethods(), limits); err != nil {
				return nil, err
			}
		}
	}
	return verify(sd, policy)
}

// notDigested lists the digests that signers use and that were not made of the content.
func (sd *signedData) notDigested() []*digest {
	if sd.streamed == nil {
		return nil
	}
	return slices.DeleteFunc(sd.digestMethods(), func(d *digest) bool { return sd.streamed.digests[d] != nil })
}

// parseStream reads a message and digests its content with the given digests; nil: those of digestAlgorithms.
func parseStream(message io.Reader, methods []*digest, limits Limits) (*signedData, error) {
	s := &source{r: bufio.NewReaderSize(message, chunkSize), limit: limits.Depth}
	sd := new(signedData)
	if err := s.head(sd); err != nil {
		return nil, err
	}
	if methods == nil {
		methods = sd.announced()
	}
	if err := s.content(sd, methods); err != nil {
		return nil, err
	}
	r, base, err := s.rest()
	if err != nil {
		return nil, err
	}
	if err := sd.parseRest(r, limits); err != nil {
		return nil, moved(err, base)
	}
	for i := range sd.signers {
		sd.signers[i].move(base)
	}
	return sd, nil
}

// head reads everything before encapContentInfo.
func (s *source) head(sd *signedData) error {
	if err := s.enter(tagSequence, "ContentInfo"); err != nil {
		return err
	}
	r, err := s.element("contentType")
	if err != nil {
		return err
	}
	contentType, at, err := r.oid("contentType")
	if err != nil {
		return err
	}
	if !contentType.Equal(oidSignedData) {
		return report.Errorf(report.CMSContentType, at, "the content type is %s, not SignedData", contentType)
	}
	if err := s.enter(tagContext0, "content"); err != nil {
		return err
	}
	if err := s.enter(tagSequence, "SignedData"); err != nil {
		return err
	}
	if r, err = s.element("SignedData.version"); err != nil {
		return err
	}
	if _, err := r.integer("SignedData.version"); err != nil {
		return err
	}
	if r, err = s.element("digestAlgorithms"); err != nil {
		return err
	}
	return sd.parseDigestAlgorithms(&r)
}

// announced lists the digests that digestAlgorithms names; when it names none that is known, all of GOST.
func (sd *signedData) announced() (list []*digest) {
	for _, raw := range sd.digestAlgorithms {
		r := reader{message: raw, end: len(raw), depth: 1, limit: maxNesting}
		a, err := r.algorithm("digestAlgorithms")
		if d := digestByOID(a.oid); err == nil && d != nil && d.gost != nil && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	if list == nil {
		list = gostMethods
	}
	return list
}

// content reads encapContentInfo and digests what is in it.
func (s *source) content(sd *signedData, methods []*digest) error {
	if err := s.enter(tagSequence, "encapContentInfo"); err != nil {
		return err
	}
	r, err := s.element("eContentType")
	if err != nil {
		return err
	}
	if sd.contentType, _, err = r.oid("eContentType"); err != nil {
		return err
	}
	if s.atEnd() {
		return s.leave()
	}
	if err := s.enter(tagContext0, "eContent"); err != nil {
		return err
	}
	start := s.pos
	if s.atEnd() {
		return malformed(int(start), "eContent ends too early")
	}
	tag, size, err := s.header("eContent")
	if err != nil {
		return err
	}
	if tag&^constructed != tagOctetString {
		return malformed(int(start), "eContent is not an OCTET STRING")
	}
	if tag == tagOctetString {
		start = s.pos
	}
	d := newDigester(methods)
	if err := s.octets(tag, size, d.write); err != nil {
		return err
	}
	sd.contentPlace = report.Place{Offset: int(start), End: int(s.pos), Path: "encapContentInfo.eContent"}
	sd.streamed = &content{contentType: sd.contentType, place: sd.contentPlace}
	d.finish(sd.streamed)
	if err := s.leave(); err != nil {
		return err
	}
	return s.leave()
}
