package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

// octets is a codec that sends what it is given, as a message of any kind.
type octets struct{}

func (octets) Name() string { return "proto" }
func (octets) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (octets) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = octets{}

// raw makes a call of messages as they are, and gives its end.
func (c *client) raw(ctx context.Context, method string, messages [][]byte, opts ...grpc.CallOption) error {
	s, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method,
		append(opts, grpc.ForceCodecV2(octets{}))...)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := s.SendMsg(m); err != nil {
			break // receiving tells why
		}
	}
	s.CloseSend()
	for {
		var answer []byte
		if err := s.RecvMsg(&answer); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// told holds an error against what each of ours carries.
func told(t *testing.T, what string, err error, code codes.Code, reason, hint string) {
	t.Helper()
	s := status.Convert(err)
	info, local := detail[errdetails.ErrorInfo](err), detail[errdetails.LocalizedMessage](err)
	if s.Code() != code || info.GetReason() != reason || info.GetDomain() != Domain || local.GetLocale() != "ru" ||
		!strings.Contains(s.Message(), hint) {
		t.Errorf("%s: %v, %v, %v", what, err, info, local)
	}
	if bad := detail[errdetails.BadRequest](err).GetFieldViolations(); (len(bad) == 1) != (code == codes.InvalidArgument) {
		t.Errorf("%s: BadRequest %v", what, bad)
	}
}

// What is too large, or no message, is refused by us, with a reason, over every kind of call, and leaves nothing behind.
func TestRequestsThatDoNotFit(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 1 << 20})
	c := w.dial(t, "admin.example.ru")
	good, err := proto.Marshal(&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()})
	if err != nil {
		t.Fatal(err)
	}
	wild := []byte{0x0a, 0x03, 'k', 0xff, 0xfe} // field 1, no UTF-8
	for _, method := range []string{
		epovpb.SignService_SignXml_FullMethodName, epovpb.SignService_SignBatch_FullMethodName,
		epovpb.SignService_SignCmsStream_FullMethodName,
		epovpb.VerifyService_VerifyCms_FullMethodName, epovpb.VerifyService_VerifyBatch_FullMethodName,
		epovpb.VerifyService_VerifyCmsStream_FullMethodName, epovpb.KeyService_WatchKeys_FullMethodName,
		epovpb.MonitorService_WatchState_FullMethodName, healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName,
	} {
		told(t, method+" too large", c.raw(t.Context(), method, [][]byte{make([]byte, 5<<20)}), codes.InvalidArgument, "REQUEST_LIMIT",
			fmt.Sprintf("5242880 bytes, the limit is %d; larger", w.server.room(method))+" content goes by SignCmsStream")
		told(t, method+" torn", c.raw(t.Context(), method, [][]byte{{0x0a, 0x7f}}), codes.InvalidArgument, "REQUEST_INVALID", "not one ")
		told(t, method+" compressed", c.raw(t.Context(), method, [][]byte{good}, grpc.UseCompressor(gzip.Name)), codes.InvalidArgument,
			"REQUEST_INVALID", "compressed")
	}
	for _, method := range []string{epovpb.SignService_SignXml_FullMethodName, epovpb.KeyService_GetKey_FullMethodName,
		healthpb.Health_Check_FullMethodName} {
		told(t, method+" wild", c.raw(t.Context(), method, [][]byte{wild}), codes.InvalidArgument, "REQUEST_INVALID", "UTF-8")
	}
	for _, method := range []string{
		epovpb.SignService_SignXml_FullMethodName, epovpb.KeyService_WatchKeys_FullMethodName, healthpb.Health_Check_FullMethodName,
	} {
		told(t, method+" none", c.raw(t.Context(), method, nil), codes.InvalidArgument, "REQUEST_INVALID", "none was sent")
		told(t, method+" two", c.raw(t.Context(), method, [][]byte{nil, nil}), codes.InvalidArgument, "REQUEST_INVALID", "more than one")
	}
	for _, method := range []string{
		"/epov.v1.SignService/Nothing", "/no.Service/At", "/no/Service/At", "/grpc.health.v1.Health/Nothing", "/epov.v1.AdminService/Drain",
	} {
		told(t, method, c.raw(t.Context(), method, [][]byte{good}), codes.Unimplemented, "METHOD_UNKNOWN", "is not served here")
	}
	if err := c.raw(t.Context(), epovpb.SignService_SignXml_FullMethodName, [][]byte{good}); err != nil {
		t.Error(err)
	}
	await.True(t, "an idle server", w.idle)
}

// A batch answers what it has taken before it tells of the message that did not fit.
func TestBatchBeforeAMisfit(t *testing.T) {
	w := newWorld(t, Limits{MessageBytes: 1 << 20})
	c := w.dial(t, "admin.example.ru")
	item, err := proto.Marshal(&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{{CorrelationId: 9, Request: &epovpb.SignItem_Xml{
		Xml: &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}}}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		epovpb.SignService_SignBatch_FullMethodName, grpc.ForceCodecV2(octets{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range [][]byte{item, {0x0a, 0x7f}} {
		if err := s.SendMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	var first, rest []byte
	if err := s.RecvMsg(&first); err != nil {
		t.Fatal(err)
	}
	answer := new(epovpb.SignBatchResponse)
	if err := proto.Unmarshal(first, answer); err != nil || len(answer.Items) != 1 || answer.Items[0].GetXml() == nil {
		t.Error(answer, err)
	}
	told(t, "the misfit", s.RecvMsg(&rest), codes.InvalidArgument, "REQUEST_INVALID", "SignBatchRequest")
}

// A call whose time is over when it comes is told so by us.
func TestNoTimeLeft(t *testing.T) {
	w := newWorld(t, Limits{})
	ended, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	_, err := w.server.tapped(ended, tapOf(epovpb.SignService_SignXml_FullMethodName))
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := w.server.tapped(ended, tapOf(epovpb.SignService_SignXml_FullMethodName))
	told(t, "late", refusal(ctx), codes.DeadlineExceeded, "DEADLINE", "ran out")
}

// Calls that are refused as they come leave nothing behind, however long they meant to wait.
func TestRefusedCallsLeaveNothing(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "stranger.example.ru")
	refuse := func(n int) {
		for range n {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("y", 1000))
			ctx, cancel := context.WithTimeout(ctx, 1000*time.Hour)
			_, err := c.SignXml(ctx, &epovpb.SignXmlRequest{})
			cancel()
			if status.Code(err) != codes.PermissionDenied {
				t.Fatal(err)
			}
		}
	}
	refuse(200)
	before := heap()
	const calls = 4000
	refuse(calls)
	if after := heap(); after > before+calls*100 {
		t.Errorf("%d octets a call are left", (after-before)/calls)
	}
}

// Where the stream is not gRPC's own there is still its own way.
func TestReceiveOtherwise(t *testing.T) {
	s := &Server{}
	called := false
	if err := s.receive(t.Context(), nil, 0, true, func(any) error { called = true; return io.EOF }); err != io.EOF || !called {
		t.Error(err, called)
	}
}

// FuzzUnpack: whatever the header says and the message is, nothing is read beyond the limit.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0}, []byte{})
	f.Add([]byte{1, 0, 0, 0, 2}, []byte{0x0a, 0x7f})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff}, []byte{})
	f.Fuzz(func(t *testing.T, header, content []byte) {
		if len(header) != 5 {
			return
		}
		from := &body{octets: content}
		err := unpack(from, header, new(epovpb.SignBatchRequest), 1<<12)
		if from.asked > 1<<12 {
			t.Errorf("%d octets were asked for", from.asked)
		}
		if want := binary.BigEndian.Uint32(header[1:]); err == nil && (int(want) > len(content) || header[0] != 0) {
			t.Error("a message came of nothing")
		}
	})
}

type body struct {
	octets []byte
	asked  int
}

func (b *body) ReadMessageHeader([]byte) error { return io.EOF }
func (b *body) Read(n int) (mem.BufferSlice, error) {
	b.asked = n
	if n > len(b.octets) {
		return nil, io.EOF
	}
	return mem.BufferSlice{mem.SliceBuffer(b.octets[:n])}, nil
}

func tapOf(method string) *tap.Info { return &tap.Info{FullMethodName: method} }
