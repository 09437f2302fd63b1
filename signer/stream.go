package signer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// UnknownSize says that nobody knows how long a content is before it has come.
const UnknownSize = cms.UnknownSize

// SignCMSStreamRequest asks for a CMS message about content of any size.
type SignCMSStreamRequest struct {
	Key     string
	Profile string    // name of a profile of cms
	Size    int64     // octets of the content; or [UnknownSize]
	Time    time.Time // signingTime; zero: now

	// RequestID is as in SignXMLRequest; the content has to come again, and is compared.
	RequestID string
}

// SignCMSStream reads content to its end and writes the message, in memory that does not grow: of a detached message all at
// the end, of an attached one as the content comes. The end of the message is written once the signature is recorded; without
// it what was written is no message. Nothing is signed unless content ends with io.EOF. Signed has no Bytes. Errors are
// *report.Error; those of content and message are in their chains.
func (s *Service) SignCMSStream(ctx context.Context, caller *Caller, req SignCMSStreamRequest,
	content io.Reader, message io.Writer) (Signed, error) {
	a := &act{caller: caller, op: OpSignCMS, name: req.Key, profile: req.Profile, request: req.RequestID}
	most := s.settings.Load().Limits.StreamBytes
	b := &building{s: s, req: req, content: &bounded{from: content, left: most, most: most}, message: message}
	if req.RequestID != "" {
		a.sum = func() requestSum {
			h := hashRequest(OpSignCMS, "stream", req.Key, req.Profile, strconv.FormatInt(req.Size, 10))
			h.time(req.Time)
			return h.sum()
		}
		a.remember = b.remember
		a.again = func(c *replay) ([]byte, error) {
			b.content = s.paced(ctx, a.in, b.content)
			return b.again(c)
		}
	}
	out, err := s.sign(ctx, a, true, "", func(key Key) (prepared, error) {
		b.content = s.paced(ctx, a.in, b.content)
		return b.prepare(key)
	})
	if err != nil {
		return Signed{}, err
	}
	if _, err := message.Write(out.Bytes); err != nil {
		return Signed{}, asError(err)
	}
	out.Bytes = nil
	return out, nil
}

// building is a message whose content goes by.
type building struct {
	s       *Service
	req     SignCMSStreamRequest
	content io.Reader
	message io.Writer
	input   cms.Input
}

func (b *building) prepare(key Key) (prepared, error) {
	p := cms.ProfileByName(b.req.Profile)
	if p == nil {
		return nil, unknownProfile(b.req.Profile, known(cms.Profiles, func(p *cms.Profile) string { return p.Name }))
	}
	by, err := b.s.stamper(p.Name, p.TimeStamp)
	if err != nil {
		return nil, err
	}
	if most := b.s.settings.Load().Limits.StreamBytes; b.req.Size > most {
		return nil, report.Errorf(report.CMSLimit, report.Place{Path: "size"}, "%d bytes, the limit is %d", b.req.Size, most)
	}
	b.input = cms.Input{Certificate: key.Certificate(), Chain: key.Chain(), Time: b.s.timeOr(b.req.Time)}
	made, err := b.take(p)
	if err != nil || !p.TimeStamp {
		return made, err
	}
	return stampedCMS(made.(*cms.Prepared), by), nil
}

// take reads the content to its end, and writes it where the message has it.
func (b *building) take(p *cms.Profile) (prepared, error) {
	if p.Detached {
		in := b.input
		in.Reader = b.content
		if b.req.Size != UnknownSize {
			in.Reader = &measured{from: b.content, size: b.req.Size}
		}
		return p.Prepare(in)
	}
	a := &attached{w: b.message}
	var err error
	if a.stream, err = p.NewStream(a, b.input, b.req.Size); err != nil {
		return nil, err
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := b.content.Read(buffer)
		if n > 0 {
			if _, err := a.stream.Write(buffer[:n]); err != nil {
				return nil, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if a.digest, err = a.stream.Prepare(); err != nil {
		return nil, err
	}
	return a, nil
}

// remember keeps a detached message, and of an attached one what it takes to make it again around the content.
func (b *building) remember(c *replay, answer []byte) {
	in := b.input
	c.stream = &in
	if cms.ProfileByName(b.req.Profile).Detached {
		c.recipe = recipeOf(nil, answer)
	}
}

// again makes the message of the first time: the same certificate, time and signature around the content, which is the same
// exactly if its signed attributes are.
func (b *building) again(c *replay) ([]byte, error) {
	p := cms.ProfileByName(b.req.Profile)
	b.input = *c.stream
	made, err := b.take(p)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(made.Digest(), c.digest) {
		return nil, report.Errorf(report.RequestIDReused, report.Place{Path: "request_id"},
			"a request about other content has this request_id")
	}
	if p.Detached {
		return c.recipe.apply(nil), nil
	}
	return made.CompleteVerified(c.value)
}

// attached is a message whose content is written already; what remains is the answer.
type attached struct {
	w      io.Writer
	rest   *bytes.Buffer // nil: not completed yet
	stream *cms.Stream
	digest []byte
}

func (a *attached) Write(octets []byte) (int, error) {
	if a.rest != nil {
		return a.rest.Write(octets)
	}
	return a.w.Write(octets)
}

func (a *attached) Digest() []byte     { return a.digest }
func (a *attached) Contents() [][]byte { return a.stream.Contents() }

func (a *attached) CompleteVerified(value gost.Verified) ([]byte, error) {
	a.rest = new(bytes.Buffer)
	if err := a.stream.CompleteVerified(value); err != nil {
		return nil, err
	}
	return a.rest.Bytes(), nil
}

// measured refuses content that is not of the announced length.
type measured struct {
	from io.Reader
	size int64
	read int64
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if m.read += int64(n); m.read > m.size {
		return n, report.Errorf(report.CMSContent, report.Place{}, "the content is longer than the %d octets announced", m.size)
	}
	if err == io.EOF && m.read != m.size {
		return n, report.Errorf(report.CMSContent, report.Place{}, "the content has %d octets, not the %d announced", m.read, m.size)
	}
	return n, err
}

// bounded refuses more than there may be.
type bounded struct {
	from       io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, report.Errorf(report.CMSLimit, report.Place{}, "more than the limit of %d bytes", b.most)
	}
	return n, err
}

// VerifyCMSStreamRequest asks what the signatures of a CMS message of any size are worth.
type VerifyCMSStreamRequest struct {
	Detached     bool // what is read is the content of Message; otherwise it is the message
	Message      []byte
	Time         time.Time // when to judge certificates; zero: now
	Certificates [][]byte  // DER, among which to look for signers
	Profile      string    // what every signature must be like; empty: as it comes
}

// VerifyCMSStream is VerifyCMS in memory that does not grow with what it reads.
func (s *Service) VerifyCMSStream(ctx context.Context, caller *Caller, req VerifyCMSStreamRequest, from io.Reader) (*report.Report, error) {
	in, err := s.enter(ctx, caller, OpVerify, len(req.Message))
	if err != nil {
		return nil, err
	}
	defer func() { in.leave(s.now()) }()
	certificates, err := parseCertificates(req.Certificates)
	if err != nil {
		return nil, err
	}
	policy := s.cmsPolicy(false, nil, certificates, req.Time)
	if req.Profile != "" {
		if policy.Profile = cms.ProfileByName(req.Profile); policy.Profile == nil {
			return nil, unknownProfile(req.Profile, known(cms.Profiles, func(p *cms.Profile) string { return p.Name }))
		}
	}
	policy.Stop = func() error { return expired(ctx) }
	most := s.settings.Load().Limits.StreamBytes
	from = s.paced(ctx, in, &bounded{from: from, left: most, most: most})
	var r *report.Report
	if req.Detached {
		if len(req.Message) == 0 {
			return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "message"}, "the message is empty")
		}
		if err := s.fits("message", req.Message, report.CMSLimit); err != nil {
			return nil, err
		}
		policy.Reader = from
		r, err = cms.Verify(req.Message, policy)
	} else {
		r, err = cms.VerifyStream(from, policy)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, from) // what comes after is no part of it, and may be an error
	}
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = &report.Error{Code: report.CMSSyntax, Message: "the message ends too early", Err: err}
		}
		return nil, asError(err)
	}
	return r, nil
}
