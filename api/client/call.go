package client

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/epov-signer/epov/api/epovpb"
)

// pause is that before a call is made again whose connection broke; it doubles each time.
const pause = 50 * time.Millisecond

// unary gives a call its deadline, makes it again where that is right, and types its error.
func (c *Client) unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, has := ctx.Deadline(); !has {
		bounded, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		ctx = bounded
	}
	id := requestID(req)
	if id != "" {
		ctx = context.WithValue(ctx, requestKey{}, id)
	}
	harmless := id != "" || changesNothing(method)
	opts = append([]grpc.CallOption{grpc.MaxCallRecvMsgSize(int(c.receive.Load()))}, opts...)
	for attempt := 1; ; attempt++ {
		err := invoke(ctx, method, req, reply, conn, opts...)
		if err == nil {
			c.budget.earn()
			return nil
		}
		e := AsError(err)
		if e == nil {
			return err
		}
		wait, again := e.again(attempt, harmless)
		if !again || attempt >= c.attempts || !c.budget.spend() || !sleep(ctx, wait) {
			return e
		}
	}
}

// again says whether and after what time a call that ended so may be made again.
func (e *Error) again(attempt int, harmless bool) (time.Duration, bool) {
	switch {
	case e.Code != codes.Unavailable && e.Code != codes.ResourceExhausted:
		return 0, false
	case e.ReasonName != "": // the service has refused it: nothing was signed
		return jitter(e.RetryAfter), e.RetryAfter > 0
	case e.Code == codes.Unavailable: // the connection broke: something may have been signed
		return jitter(pause << (attempt - 1)), harmless
	}
	return 0, false
}

// jitter keeps callers that were refused together from coming back together.
func jitter(d time.Duration) time.Duration { return d + time.Duration(rand.Int64N(int64(d)/2+1)) }

// sleep waits unless the deadline would pass meanwhile, in which case the error that is known says more.
func sleep(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// changesNothing tells calls that may be made twice.
func changesNothing(method string) bool {
	i := strings.LastIndexByte(method, '/')
	service, name := method[1:max(i, 1)], method[i+1:]
	switch service {
	case epovpb.VerifyService_ServiceDesc.ServiceName, epovpb.KeyService_ServiceDesc.ServiceName,
		epovpb.InfoService_ServiceDesc.ServiceName:
		return true
	}
	return name == "CheckSign"
}

type requestKey struct{}

// requestID is that of a request that has one.
func requestID(req any) string {
	if r, ok := req.(interface{ GetRequestId() string }); ok {
		return r.GetRequestId()
	}
	return ""
}

// stream types the errors of streams; they are not made again, and their deadline is their caller's.
func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	opts = append([]grpc.CallOption{grpc.MaxCallRecvMsgSize(int(c.receive.Load()))}, opts...)
	s, err := streamer(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, typed(err)
	}
	return typedStream{s}, nil
}

type typedStream struct{ grpc.ClientStream }

func (s typedStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		return nil
	}
	return typed(err)
}

// budget bounds repetitions to a tenth of the calls that succeed, and 100 at once, so that a service in trouble does not
// get several times the load.
type budget struct{ owed atomic.Int64 } // in tenths of a repetition

func (b *budget) earn() {
	if b.owed.Load() > 0 {
		b.owed.Add(-1)
	}
}

func (b *budget) spend() bool {
	if b.owed.Add(10) > 1000 {
		b.owed.Add(-10)
		return false
	}
	return true
}
