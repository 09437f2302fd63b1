package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/signer/report"
)

// What arrives is received here. Left to gRPC, a message that is too large, or none of its type, would be answered by gRPC
// itself at that moment, in a status without a reason, before a handler or an interceptor could say more.

// arrival is the part of gRPC's stream that messages come from.
type arrival interface {
	ReadMessageHeader([]byte) error // of five octets: whether it is compressed, and its length
	Read(n int) (mem.BufferSlice, error)
}

// receive receives a message of so many octets at most; io.EOF when there are no more. Of those that are single nothing may
// follow. gRPC's own way is for streams that are not its own.
func (s *Server) receive(ctx context.Context, message any, most int, single bool, own func(any) error) error {
	from, ok := grpc.ServerTransportStreamFromContext(ctx).(arrival)
	if !ok {
		return own(message)
	}
	header := make([]byte, 5)
	err := from.ReadMessageHeader(header)
	if err == nil {
		err = unpack(from, header, message, most)
	} else if err == io.EOF && single {
		err = unfit(message, "none was sent")
	}
	if err == nil && single {
		switch err = from.ReadMessageHeader(header); err {
		case io.EOF:
			return nil
		case nil:
			err = unfit(message, "more than one was sent")
		}
	}
	if err == nil || err == io.EOF {
		return err
	}
	if end := ended(ctx); end != nil {
		err = end
	} else if err == io.ErrUnexpectedEOF {
		err = unfit(message, "it ends too early")
	}
	if _, ok := status.FromError(err); ok { // the connection is gone, nobody hears it
		return err
	}
	return statusOf(err, "", "").Err()
}

func unpack(from arrival, header []byte, message any, most int) error {
	n := binary.BigEndian.Uint32(header[1:])
	if int64(n) > int64(most) {
		return report.Errorf(report.RequestLimit, report.Place{Path: "request"},
			"it has %d bytes, the limit is %d; larger content goes by SignCmsStream and VerifyCmsStream", n, most)
	}
	if header[0] != 0 {
		return unfit(message, "it is compressed, which is not done here")
	}
	octets, err := from.Read(int(n))
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	defer octets.Free()
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", message)
	}
	buffer := octets.MaterializeToBuffer(buffers)
	defer buffer.Free()
	left := maxFields
	if within := countFields(buffer.ReadOnlyData(), m.ProtoReflect().Descriptor(), &left, 0); !within {
		return report.Errorf(report.RequestLimit, report.Place{Path: "request"},
			"it has more than the %d fields and elements that one message may have; send more messages", maxFields)
	}
	if err := proto.Unmarshal(buffer.ReadOnlyData(), m); err != nil { // copies what it keeps
		// The text names a field at most. Its spaces may be of another kind each time.
		return unfit(message, strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: "))
	}
	return nil
}

func unfit(message any, why string) error {
	name := "message"
	if m, ok := message.(proto.Message); ok {
		name = string(m.ProtoReflect().Descriptor().FullName())
	}
	return report.Errorf(report.RequestInvalid, report.Place{Path: "request"}, "not one %s: %s", name, why)
}

// registrar has the methods that are no streams received and answered here too: as streams of one message each way.
type registrar struct{ *Server }

func (r registrar) RegisterService(desc *grpc.ServiceDesc, service any) {
	ours := *desc
	ours.Methods, ours.Streams = nil, slices.Clone(desc.Streams)
	for _, m := range desc.Methods {
		method := "/" + desc.ServiceName + "/" + m.MethodName
		ours.Streams = append(ours.Streams,
			grpc.StreamDesc{StreamName: m.MethodName, Handler: func(service any, stream grpc.ServerStream) error {
				return r.unary(service, stream, method, m.Handler)
			}})
	}
	r.grpc.RegisterService(&ours, service)
}

func (s *Server) unary(service any, stream grpc.ServerStream, method string, handle grpc.MethodHandler) error {
	ctx := stream.Context()
	if err := refusal(ctx); err != nil {
		return err
	}
	answer, err := handle(service, ctx, func(message any) error {
		begun := time.Now()
		err := s.receive(ctx, message, s.room(method), true, stream.RecvMsg)
		if err != nil {
			s.undelivered(ctx, method, begun, err)
		}
		return err
	}, s.around)
	if err != nil {
		return err
	}
	return s.deliver(ctx, answer, stream.SendMsg)
}

// undelivered counts a call whose request did not come as it should.
func (s *Server) undelivered(ctx context.Context, method string, begun time.Time, err error) {
	ctx = s.trace.began(ctx, method)
	c := Call{Method: method, Code: status.Code(err), Took: time.Since(begun)}
	s.trace.ended(ctx, c)
	s.log.LogAttrs(ctx, slog.LevelDebug, "request not received", slog.String("method", method), slog.String("peer", address(ctx)),
		slog.String("code", c.Code.String()), slog.Duration("duration", c.Took))
}

// within is a stream with another context.
type within struct {
	grpc.ServerStream
	ctx context.Context
}

func (w within) Context() context.Context { return w.ctx }

// carried is a stream whose messages are received and delivered here.
type carried struct {
	within
	server *Server
	most   int  // octets of a message that comes
	single bool // one message is all that comes
}

func (c carried) RecvMsg(message any) error {
	return c.server.receive(c.ctx, message, c.most, c.single, c.ServerStream.RecvMsg)
}

func (c carried) SendMsg(message any) error {
	return c.server.deliver(c.ctx, message, c.ServerStream.SendMsg)
}

type refusedKey struct{}

// tapped is enter for gRPC. What is refused gets its answer from the handler: of a call that ends here gRPC would keep the timer
// of its deadline, hours for who wants it so.
func (s *Server) tapped(ctx context.Context, info *tap.Info) (context.Context, error) {
	entered, err := s.enter(ctx, info)
	if err != nil {
		return context.WithValue(ctx, refusedKey{}, err), nil
	}
	return entered, nil
}

// refusal is what enter said against a call.
func refusal(ctx context.Context) error {
	err, _ := ctx.Value(refusedKey{}).(error)
	return err
}

// unserved answers what no service serves, and enter has refused therefore.
func unserved(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return notServed(method)
}

func notServed(method string) error {
	return statusOf(report.Errorf(report.MethodUnknown, report.Place{}, "%s is not served here", short(method)), "", "").Err()
}
