package api

import (
	"context"
	"hash/crc32"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

func (s *signService) SignCmsStream(stream grpc.BidiStreamingServer[epovpb.SignCmsStreamRequest, epovpb.SignCmsStreamResponse]) error {
	return s.streaming(stream.Context(), func(ctx context.Context) error {
		in := newChunks(ctx, s.limits.Load().StallTime, stream.Recv)
		first, err := in.next()
		if err != nil {
			return err
		}
		header := first.GetHeader()
		if header == nil {
			return errPart
		}
		at, err := moment(header.SigningTime, "signing_time")
		if err == nil {
			err = s.mayReceipt(header.Receipt)
		}
		if err != nil {
			return err
		}
		size := int64(signer.UnknownSize)
		if header.Size != nil {
			size = int64(min(*header.Size, 1<<62))
		}
		out := &pieces{send: func(piece []byte) error {
			return stream.Send(&epovpb.SignCmsStreamResponse{Part: &epovpb.SignCmsStreamResponse_Chunk{Chunk: piece}})
		}}
		signed, err := s.signing.SignCMSStream(ctx, callerOf(ctx), signer.SignCMSStreamRequest{
			Key: header.Key, Profile: header.Profile, Size: size, Time: at, RequestID: header.RequestId,
		}, in, out)
		if err == nil {
			err = out.flush()
		}
		if err != nil {
			return err
		}
		return stream.Send(&epovpb.SignCmsStreamResponse{Part: &epovpb.SignCmsStreamResponse_End{End: &epovpb.SignCmsEnd{
			Key: signed.Key, CertificateFingerprint: signed.Fingerprint, MessageCrc32C: out.sum, VerifiedCrc32C: in.verified,
			Act: s.encodeAct(ctx, &signed, header.Receipt),
		}}})
	})
}

func (s *verifyService) VerifyCmsStream(stream grpc.ClientStreamingServer[epovpb.VerifyCmsStreamRequest, epovpb.VerifyCmsResponse]) error {
	return s.streaming(stream.Context(), func(ctx context.Context) error {
		in := newChunks(ctx, s.limits.Load().StallTime, stream.Recv)
		first, err := in.next()
		if err != nil {
			return err
		}
		header := first.GetHeader()
		if header == nil {
			return errPart
		}
		at, err := moment(header.ValidationTime, "validation_time")
		if err != nil {
			return err
		}
		r, err := s.signing.VerifyCMSStream(ctx, callerOf(ctx), signer.VerifyCMSStreamRequest{
			Detached: header.Message != nil, Message: header.Message, Time: at, Certificates: header.Certificates, Profile: header.Profile,
		}, in)
		if err != nil {
			return err
		}
		return stream.SendAndClose(&epovpb.VerifyCmsResponse{
			Verdict: verdict(r.Verdict()), Integrity: verdict(r.Integrity()), Report: encodeReport(r),
		})
	})
}

// streaming runs the handler of a stream of content, within the time there is.
func (s *Server) streaming(ctx context.Context, handle func(context.Context) error) error {
	caller := callerOf(ctx)
	if err := s.occupy(caller, 1); err != nil { // its memory does not grow with the content
		return err
	}
	defer s.vacate(caller, 1)
	ctx, cancel := bound(ctx, s.limits.Load().StreamTime)
	defer cancel()
	err := handle(ctx)
	if err == nil {
		return nil
	}
	if end := ended(ctx); end != nil { // whatever followed from that
		return statusOf(end, "", "").Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return s.fail(ctx, err, "chunk")
}

var errPart = report.Errorf(report.RequestInvalid, report.Place{Path: "part"}, "a header comes first and once, then chunks, then the end")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunks are the content of a stream. io.EOF comes only after its end was sent, and its checksum compared.
type chunks[P streamPart] struct {
	ctx   context.Context
	stall time.Duration
	parts chan received[P]

	chunk    []byte // what is left of it
	sum      uint32
	verified bool
	err      error // for good
}

// streamPart is a message of a stream of content, after its header.
type streamPart interface {
	GetChunk() []byte
	GetEnd() *epovpb.StreamEnd
}

type received[P any] struct {
	part P
	err  error
}

// newChunks receives beside the work: the next chunk is on its way while one is worked on, and a stream that stands still is
// ended by us, with its cause. The goroutine ends with the stream at the latest.
func newChunks[P streamPart](ctx context.Context, stall time.Duration, receive func() (P, error)) *chunks[P] {
	c := &chunks[P]{ctx: ctx, stall: stall, parts: make(chan received[P])}
	go func() {
		for {
			part, err := receive()
			select {
			case c.parts <- received[P]{part, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// next is the next part, whatever it is.
func (c *chunks[P]) next() (P, error) {
	timer := time.NewTimer(c.stall)
	defer timer.Stop()
	return c.before(timer.C)
}

func (c *chunks[P]) before(late <-chan time.Time) (part P, err error) {
	select {
	case r := <-c.parts:
		if r.err == io.EOF {
			return part, report.Errorf(report.RequestInvalid, report.Place{Path: "part"}, "the stream was closed before its end was sent")
		}
		return r.part, r.err
	case <-late:
		return part, report.Errorf(report.Deadline, report.Place{}, "no content has come for %s", c.stall)
	case <-c.ctx.Done():
		return part, ended(c.ctx)
	}
}

func (c *chunks[P]) Read(p []byte) (int, error) {
	var timer *time.Timer // of all that comes until there is an octet: a chunk without any is no progress
	for len(c.chunk) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		if timer == nil {
			timer = time.NewTimer(c.stall)
			defer timer.Stop()
		}
		part, err := c.before(timer.C)
		if err != nil {
			c.err = err
			continue
		}
		chunk, end := part.GetChunk(), part.GetEnd()
		switch {
		case end != nil:
			c.err = c.close(end)
		case len(chunk) > maxChunk:
			c.err = report.Errorf(report.RequestLimit, report.Place{Path: "chunk"},
				"a chunk has %d bytes, the limit is %d", len(chunk), maxChunk)
		case chunk == nil:
			c.err = errPart
		default:
			c.chunk = chunk
			c.sum = crc32.Update(c.sum, castagnoli, chunk)
		}
	}
	n := copy(p, c.chunk)
	c.chunk = c.chunk[n:]
	return n, nil
}

func (c *chunks[P]) close(end *epovpb.StreamEnd) error {
	if end.Crc32C != nil {
		if err := checkSum("end.crc32c", c.sum, *end.Crc32C); err != nil {
			return err
		}
		c.verified = true
	}
	return io.EOF
}

// pieces are a message that goes out in chunks.
type pieces struct {
	send    func([]byte) error
	pending []byte
	sum     uint32
}

const pieceSize = 64 << 10

func (p *pieces) Write(octets []byte) (int, error) {
	total := len(octets)
	p.sum = crc32.Update(p.sum, castagnoli, octets)
	if p.pending == nil {
		p.pending = make([]byte, 0, pieceSize)
	}
	for len(octets) > 0 {
		n := min(len(octets), pieceSize-len(p.pending))
		p.pending = append(p.pending, octets[:n]...)
		octets = octets[n:]
		if len(p.pending) == pieceSize {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

func (p *pieces) flush() error {
	if len(p.pending) == 0 {
		return nil
	}
	err := p.send(p.pending)
	p.pending = p.pending[:0]
	return err
}

// sumOf is the CRC32C of octets.
func sumOf(octets []byte) uint32 { return crc32.Checksum(octets, castagnoli) }

func checkSum(field string, got, want uint32) error {
	if got != want {
		return report.Errorf(report.RequestChecksum, report.Place{Path: field}, "CRC32C is %08x, not %08x", got, want)
	}
	return nil
}

// checkPayload compares a payload with its checksum, if there is one.
func checkPayload(field string, payload []byte, want *uint32) error {
	if want == nil {
		return nil
	}
	return checkSum(field, sumOf(payload), *want)
}
