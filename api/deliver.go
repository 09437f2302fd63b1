package api

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// gRPC takes whatever message is given to it and keeps what the caller's window does not let through, for as long as the
// connection lasts. A caller that takes nothing would fill the memory so, one call after the other. Here the call of a large
// message lasts until the message is on the wire, and so does its place.

const (
	// large is from how many octets on a message's way is followed: what gRPC lets wait for a stream that takes nothing.
	large = 64 << 10
	// portion is how far it has to come to have come farther.
	portion = 64 << 10
)

// outgoing is a message on its way. A large one goes in portions.
type outgoing struct {
	message any
	buffer  *[]byte
	left    atomic.Int64  // portions that gRPC still has
	sent    chan struct{} // closed when it has none; nil: the message is not large
}

// portions makes the octets of a buffer, which is given back when the last one is on the wire, into portions.
func (o *outgoing) portions(buffer *[]byte) mem.BufferSlice {
	o.buffer, o.sent = buffer, make(chan struct{})
	var out mem.BufferSlice
	rest := *buffer
	for len(rest) > 0 {
		n := portion
		if len(rest) < 2*portion { // gRPC has no use for ends of few octets
			n = len(rest)
		}
		next := rest[:n:n]
		rest = rest[n:]
		out = append(out, mem.NewBuffer(&next, o))
	}
	o.left.Store(int64(len(out)))
	return out
}

// Get is not asked for anything.
func (o *outgoing) Get(n int) *[]byte { return buffers.Get(n) }

// Put implements mem.BufferPool: a portion is on the wire.
func (o *outgoing) Put(*[]byte) {
	if o.left.Add(-1) == 0 {
		buffers.Put(o.buffer)
		close(o.sent)
	}
}

// deliver sends a message. A stream is cut off when its peer takes nothing of what went before for too long; a peer that takes
// nothing of a large message, or has not taken all of it that long after the call's time, loses its connection: nothing less makes
// gRPC let go of it.
func (s *Server) deliver(ctx context.Context, message any, send func(any) error) error {
	stall := s.limits.Load().StallTime
	out := &outgoing{message: message}
	if err := s.push(ctx, stall, out, send); err != nil || out.sent == nil {
		return err
	}
	ticker := time.NewTicker(stall)
	defer ticker.Stop()
	over, gone := ctx.Done(), ctx.Done()
	if wire, ok := ctx.Value(wireKey{}).(context.Context); ok {
		gone = wire.Done()
	}
	for before := int64(-1); ; {
		select {
		case <-out.sent:
			return nil
		case <-gone:
			out.settle()
			return statusOf(ended(ctx), "", "").Err()
		case <-over:
			// Were a call to end whose stream goes on, gRPC would keep what is left of its answer, and its place would be free for the
			// next one. The caller's own time runs out a moment later, and gRPC resets the stream then.
			over = nil
			ticker.Reset(stall)
		case <-ticker.C:
			left := out.left.Load()
			if left == before || over == nil {
				s.hangUp(ctx)
				return status.Error(codes.DeadlineExceeded, "the caller takes no answer") // nobody hears it
			}
			before = left
		}
	}
}

// settle waits a moment for gRPC to reset a stream whose time is over, which it does beside, and not after the call.
func (o *outgoing) settle() {
	select {
	case <-o.sent:
	case <-time.After(reserve):
	}
}

func (s *Server) push(ctx context.Context, stall time.Duration, out *outgoing, send func(any) error) error {
	if cut, ok := ctx.Value(cutKey{}).(context.CancelFunc); ok {
		defer time.AfterFunc(stall, cut).Stop()
	}
	return send(out)
}

// hangUp ends the connection of a call.
func (s *Server) hangUp(ctx context.Context) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return
	}
	if c, ok := p.AuthInfo.(interface{ hangUp() }); ok {
		s.log.WarnContext(ctx, "connection ended: its client takes no answers", "peer", address(ctx))
		c.hangUp()
	}
}
