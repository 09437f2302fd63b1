package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

const healthPrefix = "/grpc.health.v1.Health/"

// around is what is around every call that is no stream.
func (s *Server) around(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return s.guard(ctx, req, info, func(ctx context.Context, req any) (any, error) { return s.admit(ctx, req, info, handler) })
}

// guard turns a panic into an internal error, and writes one line per call.
func (s *Server) guard(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	begun := time.Now()
	ctx = s.trace.began(ctx, info.FullMethod)
	defer func() {
		if v := recover(); v != nil {
			resp, err = nil, s.panicked(ctx, info.FullMethod, v)
		}
		s.report(ctx, info.FullMethod)
		c := Call{Method: info.FullMethod, Code: status.Code(err), Took: time.Since(begun)}
		s.trace.ended(ctx, c)
		if !s.log.Enabled(ctx, slog.LevelDebug) { // what follows allocates
			return
		}
		s.log.LogAttrs(ctx, slog.LevelDebug, "call", slog.String("method", info.FullMethod), slog.String("peer", address(ctx)),
			slog.String("code", c.Code.String()), slog.Duration("duration", c.Took))
	}()
	return handler(ctx, req)
}

// guardStream is guard for streams.
func (s *Server) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	if err := refusal(stream.Context()); err != nil {
		return err
	}
	begun := time.Now()
	ctx := s.trace.began(stream.Context(), info.FullMethod)
	defer func() {
		if v := recover(); v != nil {
			err = s.panicked(ctx, info.FullMethod, v)
		}
		c := Call{Method: info.FullMethod, Code: status.Code(err), Took: time.Since(begun)}
		s.trace.ended(ctx, c)
		s.log.LogAttrs(ctx, slog.LevelDebug, "stream", slog.String("method", info.FullMethod), slog.String("peer", address(ctx)),
			slog.String("code", c.Code.String()), slog.Duration("duration", c.Took))
	}()
	return handler(srv, carried{within{stream, ctx}, s, s.room(info.FullMethod), !info.IsClientStream})
}

func (s *Server) panicked(ctx context.Context, method string, v any) error {
	// A panic's value may be anything, a piece of a message too; only the runtime's own are known to be harmless.
	what := fmt.Sprintf("%T", v)
	if e, ok := v.(runtime.Error); ok {
		what = e.Error()
	}
	incident := rand.Text()
	s.log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("incident", incident), slog.String("method", method),
		slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	return internal(incident).Err()
}

type callerKey struct{}

func callerOf(ctx context.Context) *signer.Caller {
	c, _ := ctx.Value(callerKey{}).(*signer.Caller)
	return c
}

// admit finds out who calls and takes places for the work. Health is for everybody who got through TLS: it must answer when
// all places are taken.
func (s *Server) admit(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return handler(ctx, req)
	}
	caller, err := s.recognise(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	// A call that its peer has given up leaves its first place while it is still at work.
	size := s.work.size(req)
	if err := s.occupy(caller, size); err != nil {
		return nil, err
	}
	defer s.vacate(caller, size)
	return handler(context.WithValue(ctx, callerKey{}, caller), req)
}

// occupy takes places for work, of all and of the caller's share.
func (s *Server) occupy(caller *signer.Caller, size int64) error {
	if !s.work.take(size) {
		s.trace.refused(RefusedOverload)
		return overload(s.work.most.Load())
	}
	if !s.load.take(caller.Name(), size) {
		s.work.leave(size)
		s.trace.refused(RefusedOverload)
		return overload(s.load.bound())
	}
	return nil
}

func (s *Server) vacate(caller *signer.Caller, size int64) {
	s.load.leave(caller.Name(), size)
	s.work.leave(size)
}

// admitStream finds out who calls; streams take their places themselves.
func (s *Server) admitStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if strings.HasPrefix(info.FullMethod, healthPrefix) {
		return handler(srv, stream)
	}
	caller, err := s.recognise(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	known := context.WithValue(stream.Context(), callerKey{}, caller)
	return handler(srv, within{stream, known})
}

// recognise identifies the caller, or says why not. Who is not known leaves nothing but a line in the log, and of many only some.
func (s *Server) recognise(ctx context.Context, method string) (*signer.Caller, error) {
	caller, err := s.identify(ctx)
	if err == nil {
		return caller, nil
	}
	if untold, ok := s.unknown.now(); ok {
		s.log.LogAttrs(ctx, slog.LevelWarn, "caller refused", slog.String("method", short(method)), slog.String("peer", address(ctx)),
			slog.Any("names", some(namesOf(ctx))), slog.String("error", err.Error()), slog.Int("untold_before", untold))
	}
	s.trace.refused(RefusedCaller)
	return nil, statusOf(err, "", "").Err()
}

// some are as many names as a line of the log takes.
func some(names []string) []string {
	const most = 8
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return names
}

// fail renders an error for the caller and logs what the caller is not told.
func (s *Server) fail(ctx context.Context, err error, field string) error {
	incident := ""
	var e *report.Error
	known := errors.As(err, &e)
	if k, _ := kindOf(code(e)); !known || k.code == codes.Internal || k.code == codes.Unknown || k.code == codes.OK {
		incident = rand.Text()
		s.log.LogAttrs(ctx, slog.LevelError, "internal fault", slog.String("incident", incident),
			slog.String("caller", callerOf(ctx).Name()), slog.String("error", err.Error()))
	}
	return statusOf(err, field, incident).Err()
}

func code(e *report.Error) report.Code {
	if e == nil {
		return report.Internal
	}
	return e.Code
}

func address(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}
