package cms

import (
	"bytes"
	"encoding/base64"
	"io"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// UnknownSize says that nobody knows how long a content is before it has been read.
const UnknownSize = -1

// Attach writes a detached message with its content in it. Signatures stay what they are, time-stamps and countersignatures
// too. size is the length of the content in octets, and the result then DER as far as the message is; with [UnknownSize] it
// is BER with indefinite lengths. The content is read once and not kept; that it is what was signed is checked on the way, and
// when it is not, an error says so after much has been written. Errors are *report.Error, or those of w and from.
func Attach(w io.Writer, detached []byte, from io.Reader, size int64) error {
	sd, err := parse(detached, Limits{}.withDefaults())
	if err != nil {
		return err
	}
	if sd.content != nil {
		return report.Errorf(report.CMSContent, report.Place{}, "the message has its content in it already")
	}
	a := sd.assembly()
	a.encapsulated = nil
	f := newFramer(w, a, size)
	d := newDigester(sd.digestMethods())
	if _, err := copyContent(from, func(piece []byte) error {
		if err := f.write(piece); err != nil {
			return err
		}
		return d.write(piece)
	}); err != nil {
		return err
	}
	var c content
	d.finish(&c)
	if err := allAgree(sd.signers, &c); err != nil {
		return err
	}
	return f.close(nil)
}

// AreAbout refuses a message of which a signer is about something else than the content, as far as messageDigest tells; nothing
// else is verified. Errors are *report.Error and those of reading the content.
func AreAbout(message []byte, from io.Reader) error {
	sd, err := parse(message, Limits{}.withDefaults())
	if err != nil {
		return err
	}
	var c content
	if err := c.read(from, sd.digestMethods()); err != nil {
		return err
	}
	return allAgree(sd.signers, &c)
}

func allAgree(signers []signerInfo, c *content) error {
	for i := range signers {
		if err := signers[i].signed.agrees(c, digestByOID(signers[i].digestAlgorithm.oid)); err != nil {
			return err
		}
	}
	return nil
}

// agrees checks the attribute messageDigest, when there is one, against a content.
func (as attributes) agrees(c *content, d *digest) error {
	value, at := as.value(oidMessageDigest)
	want := c.sums(d)
	if value == nil || want == nil {
		return nil // Verify judges such a signer
	}
	for _, sum := range want {
		if bytes.Equal(value, derOctets(sum)) {
			return nil
		}
	}
	return report.Errorf(report.CMSMessageDigest, at, "the content is not what was signed: its digest is %s",
		base64.StdEncoding.EncodeToString(want[0]))
}

func derOctets(octets []byte) []byte {
	return append(derHeader(tagOctetString, int64(len(octets))), octets...)
}

// framer writes a message around a content that comes in pieces.
type framer struct {
	w       io.Writer
	size    int64 // of the content; unknownSize
	written int64
	head    []byte // until it has been written
	tail    []byte
	chunk   []byte // of a content of unknown size: what is not written yet
}

func newFramer(w io.Writer, a *assembly, size int64) *framer {
	f := &framer{w: w, size: size}
	if size < 0 {
		f.size = unknownSize
		f.chunk = make([]byte, 0, chunkSize)
	}
	f.head, f.tail = a.frame(f.size)
	return f
}

func (f *framer) put(octets []byte) error {
	if f.head != nil {
		if _, err := f.w.Write(f.head); err != nil {
			return err
		}
		f.head = nil
	}
	if len(octets) == 0 {
		return nil
	}
	_, err := f.w.Write(octets)
	return err
}

func (f *framer) write(piece []byte) error {
	f.written += int64(len(piece))
	if f.size != unknownSize {
		if f.written > f.size {
			return report.Errorf(report.CMSContent, report.Place{}, "the content is longer than the %d octets announced", f.size)
		}
		return f.put(piece)
	}
	for len(piece) > 0 {
		n := min(len(piece), cap(f.chunk)-len(f.chunk))
		f.chunk = append(f.chunk, piece[:n]...)
		piece = piece[n:]
		if len(f.chunk) == cap(f.chunk) {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes a chunk.
func (f *framer) flush() error {
	if len(f.chunk) == 0 {
		return nil
	}
	if err := f.put(derHeader(tagOctetString, int64(len(f.chunk)))); err != nil {
		return err
	}
	err := f.put(f.chunk)
	f.chunk = f.chunk[:0]
	return err
}

// close writes what follows the content: tail, when it is known only now, otherwise that of the beginning.
func (f *framer) close(tail []byte) error {
	if f.size != unknownSize && f.written != f.size {
		return report.Errorf(report.CMSContent, report.Place{}, "the content has %d octets, not the %d announced", f.written, f.size)
	}
	if err := f.flush(); err != nil {
		return err
	}
	if tail == nil {
		tail = f.tail
	}
	return f.put(tail)
}

// Stream makes a message while its content goes by, in memory that does not grow: Write the content, then Prepare, let the key
// sign the digest, Complete. Not safe for concurrent use.
type Stream struct {
	profile  *Profile
	input    Input
	digester *digester
	framer   *framer // nil when detached
	w        io.Writer
	prepared *Prepared
}

// NewStream begins a message on w. The certificate, its chain and the time are taken from in, the content is what will be
// written. size is the length of an attached content in octets, and the message then DER; with [UnknownSize] it is BER with
// indefinite lengths. Nothing is written to w before the first Write; of a detached message nothing before Complete. Errors
// are those of Prepare. For a time-stamp, or a countersignature, of a long content, sign detached and [Attach].
func (p *Profile) NewStream(w io.Writer, in Input, size int64) (*Stream, error) {
	switch {
	case !p.Streams():
		return nil, report.Errorf(report.RequestInvalid, report.Place{}, "profile %s cannot be made while the content goes by", p.Name)
	case in.Content != nil || in.Digest != nil || in.Reader != nil:
		return nil, report.Errorf(report.RequestInvalid, report.Place{}, "content is given before it goes by")
	}
	if err := p.check(in); err != nil {
		return nil, err
	}
	a := in.Certificate.PublicKey.Algorithm
	s := &Stream{profile: p, input: in, w: w, digester: newDigester([]*digest{digestByOID(a.Digest.OID)})}
	if !p.Detached {
		// A digest and a signature of the same lengths stand for those to come, so that all lengths are known.
		stand := p.prepare(in, make([]byte, a.Digest.Size))
		s.framer = newFramer(w, stand.assembly(make([]byte, a.SignatureSize())), size)
	}
	return s, nil
}

// Streams reports whether [Profile.NewStream] makes such messages.
func (p *Profile) Streams() bool { return p != Countersignature && (p.Detached || !p.TimeStamp) }

// Write takes a piece of the content.
func (s *Stream) Write(piece []byte) (int, error) {
	if s.prepared != nil {
		return 0, report.Errorf(report.RequestInvalid, report.Place{}, "the content has ended already")
	}
	if s.framer != nil {
		if err := s.framer.write(piece); err != nil {
			return 0, err
		}
	}
	return len(piece), s.digester.write(piece)
}

// Prepare ends the content and returns the digest that the key must sign.
func (s *Stream) Prepare() ([]byte, error) {
	if s.framer != nil && s.framer.size != unknownSize && s.framer.written != s.framer.size {
		return nil, report.Errorf(report.CMSContent, report.Place{}, "the content has %d octets, not the %d announced",
			s.framer.written, s.framer.size)
	}
	if s.prepared == nil {
		s.prepared = s.profile.prepare(s.input, s.digester.hashes[0].Sum(nil))
	}
	return s.prepared.Digest(), nil
}

// Contents is that of [Prepared]; nil before Prepare.
func (s *Stream) Contents() [][]byte {
	if s.prepared == nil {
		return nil
	}
	return s.prepared.Contents()
}

// Complete checks the signature (s ‖ r) with the certificate's key and writes the rest of the message.
func (s *Stream) Complete(signature []byte) error {
	if s.prepared == nil {
		return report.Errorf(report.RequestInvalid, report.Place{}, "the content has not ended yet")
	}
	if err := s.prepared.verify(signature); err != nil {
		return err
	}
	return s.end(signature)
}

// CompleteVerified is Complete with a signature that need not be checked again; see [Prepared.CompleteVerified].
func (s *Stream) CompleteVerified(signature gost.Verified) error {
	if s.prepared == nil {
		return report.Errorf(report.RequestInvalid, report.Place{}, "the content has not ended yet")
	}
	value, err := s.prepared.accept(signature)
	if err != nil {
		return err
	}
	return s.end(value)
}

func (s *Stream) end(signature []byte) error {
	if s.framer == nil {
		_, err := s.w.Write(s.prepared.assemble(signature))
		return err
	}
	_, tail := s.prepared.assembly(signature).frame(s.framer.size)
	return s.framer.close(tail)
}
