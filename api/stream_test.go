package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

func signHeader(h *epovpb.SignCmsHeader) *epovpb.SignCmsStreamRequest {
	return &epovpb.SignCmsStreamRequest{Part: &epovpb.SignCmsStreamRequest_Header{Header: h}}
}

func signChunk(octets []byte) *epovpb.SignCmsStreamRequest {
	return &epovpb.SignCmsStreamRequest{Part: &epovpb.SignCmsStreamRequest_Chunk{Chunk: octets}}
}

func signEnd(sum *uint32) *epovpb.SignCmsStreamRequest {
	return &epovpb.SignCmsStreamRequest{Part: &epovpb.SignCmsStreamRequest_End{End: &epovpb.StreamEnd{Crc32C: sum}}}
}

// signStream sends the parts while it reads the answer.
func (c *client) signStream(ctx context.Context, message io.Writer,
	parts func(yield func(*epovpb.SignCmsStreamRequest) bool)) (*epovpb.SignCmsEnd, error) {
	stream, err := c.SignCmsStream(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for p := range parts {
			if stream.Send(p) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	var end *epovpb.SignCmsEnd
	for {
		answer, err := stream.Recv()
		switch {
		case err == io.EOF:
			return end, nil
		case err != nil:
			return nil, err
		case end != nil:
			return nil, errors.New("something after the end")
		}
		message.Write(answer.GetChunk())
		end = answer.GetEnd()
	}
}

func list(parts ...*epovpb.SignCmsStreamRequest) func(func(*epovpb.SignCmsStreamRequest) bool) {
	return func(yield func(*epovpb.SignCmsStreamRequest) bool) {
		for _, p := range parts {
			if !yield(p) {
				return
			}
		}
	}
}

// verifyStream has a message of chunks examined; a detached one with its content.
func (c *client) verifyStream(ctx context.Context, header *epovpb.VerifyCmsHeader, octets []byte) (*epovpb.VerifyCmsResponse, error) {
	stream, err := c.VerifyCmsStream(ctx)
	if err != nil {
		return nil, err
	}
	stream.Send(&epovpb.VerifyCmsStreamRequest{Part: &epovpb.VerifyCmsStreamRequest_Header{Header: header}})
	sum := sumOf(octets)
	for len(octets) > 0 {
		n := min(len(octets), 100_000)
		stream.Send(&epovpb.VerifyCmsStreamRequest{Part: &epovpb.VerifyCmsStreamRequest_Chunk{Chunk: octets[:n]}})
		octets = octets[n:]
	}
	stream.Send(&epovpb.VerifyCmsStreamRequest{Part: &epovpb.VerifyCmsStreamRequest_End{End: &epovpb.StreamEnd{Crc32C: &sum}}})
	return stream.CloseAndRecv()
}

func TestCmsStreams(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 1 << 20})
	c := w.dial(t, "admin.example.ru")
	content := make([]byte, 3<<20) // more than a message may have
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	for _, profile := range []string{"pkcs7-detached", "pkcs7-attached", "cades-bes-detached", "cades-bes-attached"} {
		for _, n := range []int{0, 1, 65536, 65537, len(content)} {
			for _, known := range []bool{true, false} {
				content, sum := content[:n], sumOf(content[:n])
				header := &epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: profile}
				if known {
					header.Size = proto.Uint64(uint64(n))
				}
				var message bytes.Buffer
				end, err := c.signStream(t.Context(), &message, func(yield func(*epovpb.SignCmsStreamRequest) bool) {
					ok := yield(signHeader(header))
					for rest := content; ok && len(rest) > 0; {
						n := min(len(rest), 1+rand.IntN(200_000))
						ok = yield(signChunk(rest[:n]))
						rest = rest[n:]
					}
					_ = ok && yield(signEnd(&sum))
				})
				if err != nil || end.GetKey() != "keys/EXMP01/ov/versions/1" || !end.VerifiedCrc32C ||
					end.MessageCrc32C != sumOf(message.Bytes()) {
					t.Fatal(profile, n, known, end, err)
				}
				var r *epovpb.VerifyCmsResponse
				if profile == "pkcs7-detached" || profile == "cades-bes-detached" {
					r, err = c.verifyStream(t.Context(), &epovpb.VerifyCmsHeader{Message: message.Bytes(), Profile: profile}, content)
				} else {
					r, err = c.verifyStream(t.Context(), &epovpb.VerifyCmsHeader{Profile: profile}, message.Bytes())
				}
				if err != nil || r.Verdict != epovpb.Verdict_VERDICT_VALID || r.Report.Signatures[0].Coverage[0].Octets != int64(n) {
					t.Fatal(profile, n, known, r, err)
				}
			}
		}
	}
	await.True(t, "an idle server", w.idle)
}

// A content that is not as it was announced is not signed, and nothing without its end is a message.
func TestCmsStreamRefusals(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 1 << 16, StallTime: 300 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	attached := func() *epovpb.SignCmsHeader {
		return &epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached"}
	}
	sized := attached()
	sized.Size = proto.Uint64(4)
	detached := &epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", Size: proto.Uint64(4)}
	wrong := uint32(1)
	still := make(chan struct{})
	t.Cleanup(func() { close(still) })
	for name, tc := range map[string]struct {
		parts  func(func(*epovpb.SignCmsStreamRequest) bool)
		code   codes.Code
		reason epovpb.ErrorReason
	}{
		"no header": {list(signChunk([]byte("x"))), codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID},
		"nothing":   {list(), codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID},
		"an empty part": {list(signHeader(attached()), &epovpb.SignCmsStreamRequest{}), codes.InvalidArgument,
			epovpb.ErrorReason_REQUEST_INVALID},
		"two headers": {list(signHeader(attached()), signHeader(attached())), codes.InvalidArgument,
			epovpb.ErrorReason_REQUEST_INVALID},
		"no end": {list(signHeader(attached()), signChunk([]byte("x"))), codes.InvalidArgument,
			epovpb.ErrorReason_REQUEST_INVALID},
		"checksum": {list(signHeader(attached()), signChunk([]byte("x")), signEnd(&wrong)), codes.InvalidArgument,
			epovpb.ErrorReason_REQUEST_CHECKSUM},
		"longer": {list(signHeader(sized), signChunk([]byte("12345")), signEnd(nil)), codes.InvalidArgument,
			epovpb.ErrorReason_CMS_CONTENT},
		"shorter": {list(signHeader(sized), signChunk([]byte("123")), signEnd(nil)), codes.InvalidArgument,
			epovpb.ErrorReason_CMS_CONTENT},
		"longer, detached": {list(signHeader(detached), signChunk([]byte("12345")), signEnd(nil)), codes.InvalidArgument,
			epovpb.ErrorReason_CMS_CONTENT},
		"unknown profile": {list(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "x"}), signEnd(nil)),
			codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID},
		"a profile that cannot": {list(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "countersignature"}), signEnd(nil)),
			codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID},
		"no such key": {list(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/none", Profile: "pkcs7-detached"}), signEnd(nil)),
			codes.NotFound, epovpb.ErrorReason_KEY_UNKNOWN},
		"a receipt without a log": {list(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", Receipt: true}),
			signEnd(nil)),
			codes.InvalidArgument, epovpb.ErrorReason_REQUEST_INVALID},
		"silence": {func(yield func(*epovpb.SignCmsStreamRequest) bool) {
			_ = yield(signHeader(attached())) && yield(signChunk([]byte("x")))
			<-still
		}, codes.DeadlineExceeded, epovpb.ErrorReason_DEADLINE},
	} {
		t.Run(name, func(t *testing.T) {
			end, err := c.signStream(t.Context(), io.Discard, tc.parts)
			if end != nil || status.Code(err) != tc.code || detail[errdetails.ErrorInfo](err).GetReason() != tc.reason.String() {
				t.Errorf("%v, %v", end, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	stream, err := c.SignCmsStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(signHeader(attached()))
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || detail[errdetails.ErrorInfo](err).GetReason() != "DEADLINE" {
		t.Errorf("the true cause should come before the caller's clock: %v", err)
	}
	if _, err := w.dial(t, "spiffe://example.ru/gateway").signStream(t.Context(), io.Discard,
		list(signHeader(attached()), signEnd(nil))); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	await.True(t, "an idle server", w.idle)
}

// Whoever takes nothing of what he is sent is cut off, and keeps no place.
func TestSlowReader(t *testing.T) {
	w := newWorld(t, Limits{StallTime: 300 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	stream, err := c.SignCmsStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Send(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached"}))
	await.True(t, "a busy server", func() bool { return !w.idle() })
	go func() {
		chunk := make([]byte, 256<<10)
		for stream.Send(signChunk(chunk)) == nil { // until it is cut off; nothing is read
		}
	}()
	await.True(t, "an idle server", w.idle)
}

// Memory does not grow with the content, on the way in or out.
func TestStreamMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("256 MiB")
	}
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	chunk := make([]byte, 128<<10)
	const chunks = 2048
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	taken := 0
	end, err := c.signStream(t.Context(), writer(func(p []byte) (int, error) { taken += len(p); return len(p), nil }),
		func(yield func(*epovpb.SignCmsStreamRequest) bool) {
			ok := yield(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached"}))
			for i := 0; ok && i < chunks; i++ {
				ok = yield(signChunk(chunk))
				if i%256 == 0 {
					var now runtime.MemStats
					runtime.GC()
					if runtime.ReadMemStats(&now); now.HeapAlloc > peak.HeapAlloc {
						peak = now
					}
				}
			}
			_ = ok && yield(signEnd(nil))
		})
	if err != nil || end == nil || taken < chunks*len(chunk) {
		t.Fatal(end, err, taken)
	}
	if grown := int64(peak.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("%d MiB more were in use on the way", grown>>20)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// FuzzSignStream: parts in any order end in an answer or a refusal with a reason, and leave nothing behind.
func FuzzSignStream(f *testing.F) {
	w := newWorld(f, Limits{StallTime: time.Second})
	c := w.dial(f, "admin.example.ru")
	f.Add([]byte{0, 1, 1, 2})
	f.Add([]byte{2})
	f.Add([]byte{0, 0, 3, 1, 2, 2})
	f.Add([]byte{4, 1, 1, 1, 2, 5})
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 32 {
			return
		}
		var parts []*epovpb.SignCmsStreamRequest
		for i, s := range steps {
			switch s % 6 {
			case 0:
				parts = append(parts, signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached"}))
			case 1:
				parts = append(parts, signChunk(steps[:i]))
			case 2:
				parts = append(parts, signEnd(nil))
			case 3:
				parts = append(parts, &epovpb.SignCmsStreamRequest{})
			case 4:
				parts = append(parts, signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached",
					Size: proto.Uint64(uint64(s) / 6)}))
			case 5:
				sum := uint32(s)
				parts = append(parts, signEnd(&sum))
			}
		}
		end, err := c.signStream(t.Context(), io.Discard, list(parts...))
		if err == nil && end == nil || err != nil && detail[errdetails.ErrorInfo](err) == nil {
			t.Errorf("%v: %v, %v", steps, end, err)
		}
	})
}
