package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/epov-signer/epov/api/epovpb"
)

// mostPause is that between two looks for a service that is away.
const mostPause = 5 * time.Second

// WatchKeys yields the keys that the client may see, and from then on what changes: keys that are new or changed in any field,
// and the names of those that are gone. When the service ends the call, or is away, another call follows as soon as there can be
// one, and what has changed meanwhile is yielded. The sequence ends with ctx, whose error comes last, or with a refusal that
// waiting does not help.
func (c *Client) WatchKeys(ctx context.Context) iter.Seq2[*pb.WatchKeysResponse, error] {
	return func(yield func(*pb.WatchKeysResponse, error) bool) {
		w := &keyWatch{yield: yield}
		for broken := 0; ; broken++ {
			heard, err := w.follow(ctx, c)
			if w.left {
				return
			}
			if end := ctx.Err(); end != nil {
				yield(nil, end)
				return
			}
			e := AsError(err)
			if !errors.Is(err, io.EOF) && (e == nil || e.Code != codes.Unavailable && e.RetryAfter == 0) {
				yield(nil, err)
				return
			}
			if heard {
				broken = 0
			}
			wait := min(pause<<min(broken, 10), mostPause)
			if e != nil && e.RetryAfter > 0 {
				wait = e.RetryAfter
			}
			timer := time.NewTimer(jitter(wait))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
		}
	}
}

// keyWatch is what a watcher has been told, over all calls.
type keyWatch struct {
	yield func(*pb.WatchKeysResponse, error) bool
	known map[string]*pb.Key // nil: nothing was told yet
	left  bool               // by the watcher
}

// follow makes one call, and says whether anything came of it; the error is why it has ended.
func (w *keyWatch) follow(ctx context.Context, c *Client) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.Keys.WatchKeys(ctx, &pb.WatchKeysRequest{})
	if err != nil {
		return false, err
	}
	for ; ; heard = true {
		m, err := s.Recv()
		if err != nil {
			return heard, err
		}
		if m = w.news(m, !heard); m != nil && !w.yield(m, nil) {
			w.left = true
			return true, nil
		}
	}
}

// news is what of a message was not told yet; nil when there is nothing. The first message of a call has all keys.
func (w *keyWatch) news(m *pb.WatchKeysResponse, whole bool) *pb.WatchKeysResponse {
	first := w.known == nil
	if first {
		w.known = map[string]*pb.Key{}
	}
	out, present := &pb.WatchKeysResponse{}, map[string]bool{}
	for _, k := range m.GetKeys() {
		present[k.GetName()] = true
		if !proto.Equal(w.known[k.GetName()], k) {
			w.known[k.GetName()] = k
			out.Keys = append(out.Keys, k)
		}
	}
	gone := m.GetRemoved()
	for name := range w.known {
		if whole && !present[name] {
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		if w.known[name] != nil {
			delete(w.known, name)
			out.Removed = append(out.Removed, name)
		}
	}
	if !first && len(out.Keys)+len(out.Removed) == 0 {
		return nil
	}
	return out
}
