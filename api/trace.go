package api

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
)

// Trace is a set of optional functions called as things happen, for metrics and traces. They return at once. Concurrent calls
// are possible.
type Trace struct {
	// Began is called before a call is looked at; what it returns is the call's context.
	Began func(ctx context.Context, method string) context.Context
	// Ended is called at the end of each call that has begun, with the context that Began returned.
	Ended func(ctx context.Context, c Call)
	// Refused is called for what was turned away before it could begin.
	Refused func(r Refusal)
}

// Call describes a call that has ended.
type Call struct {
	Method string // "/epov.v1.SignService/SignXml": always one that is served, whatever was asked for
	Code   codes.Code
	Took   time.Duration
}

// Refusal is why something was turned away.
type Refusal string

// The refusals.
const (
	RefusedHandshake Refusal = "handshake" // a connection: TLS, or the client's certificate
	RefusedCaller    Refusal = "caller"    // a call: its certificate is of no client
	RefusedOverload  Refusal = "overload"  // a call: all places were taken
)

func (t *Trace) began(ctx context.Context, method string) context.Context {
	if t.Began == nil {
		return ctx
	}
	return t.Began(ctx, method)
}

func (t *Trace) ended(ctx context.Context, c Call) {
	if t.Ended != nil {
		t.Ended(ctx, c)
	}
}

func (t *Trace) refused(r Refusal) {
	if t.Refused != nil {
		t.Refused(r)
	}
}
