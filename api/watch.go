package api

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

const (
	// gather is how long a change waits for those that come with it.
	gather = 20 * time.Millisecond
	// clockPause is after what time keys are looked at again although nothing was said of them: the clock may have been set.
	clockPause = time.Minute
)

// signal wakes all who wait for it. The zero value is ready.
type signal struct {
	mutex sync.Mutex
	next  chan struct{}
}

// wait is closed by the next give.
func (s *signal) wait() <-chan struct{} {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

func (s *signal) give() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}

// KeysChanged says that something may have changed of which keys there are, of what they can do, or of who may see them: who
// watches them looks again.
func (s *Server) KeysChanged() { s.changes.give() }

// watching has look send to a watcher, again when changed, if it gives that, is closed, or after the pause that it gives: as
// long as the caller is one by the policy of the moment, and the service lets watchers be.
func (s *Server) watching(ctx context.Context, method string,
	look func(*signer.Caller) (changed <-chan struct{}, pause time.Duration, err error)) error {
	age := time.NewTimer(s.limits.Load().BatchTime)
	defer age.Stop()
	for caller := callerOf(ctx); ; {
		changed, pause, err := look(caller)
		if err != nil {
			return err
		}
		again := time.NewTimer(pause)
		for woken := false; !woken; {
			select {
			case <-changed:
				changed = nil
				again.Reset(gather)
			case <-again.C:
				woken = true
			case <-age.C:
				return nil
			case <-s.stopping():
				return statusOf(report.Errorf(report.Draining, report.Place{}, "the service is stopping"), "", "").Err()
			case <-ctx.Done():
				return statusOf(ended(ctx), "", "").Err()
			}
		}
		if caller, err = s.recognise(ctx, method); err != nil {
			return err
		}
	}
}

func (s *keyService) WatchKeys(_ *epovpb.WatchKeysRequest, stream grpc.ServerStreamingServer[epovpb.WatchKeysResponse]) error {
	ctx := stream.Context()
	var known map[string]*epovpb.Key // nil: the first look
	return s.watching(ctx, epovpb.KeyService_WatchKeys_FullMethodName, func(caller *signer.Caller) (<-chan struct{}, time.Duration, error) {
		changed := s.changes.wait() // before looking, so that nothing is missed
		list := s.signing.ListAgain
		if known == nil {
			list = func(caller *signer.Caller) ([]signer.KeyInfo, error) { return s.signing.ListKeys(ctx, caller) }
		}
		keys, err := list(caller)
		if err != nil {
			return nil, 0, s.fail(ctx, err, "")
		}
		out, present := difference(known, keys)
		if known == nil || len(out.Keys)+len(out.Removed) > 0 {
			if err := stream.Send(out); err != nil {
				return nil, 0, err
			}
		}
		known = present
		return changed, untilTurn(keys, time.Now()), nil
	})
}

// difference is what a watcher is told who knows some keys, and what it knows then.
func difference(known map[string]*epovpb.Key, keys []signer.KeyInfo) (*epovpb.WatchKeysResponse, map[string]*epovpb.Key) {
	out := &epovpb.WatchKeysResponse{}
	present := make(map[string]*epovpb.Key, len(keys))
	for _, k := range keys {
		key := encodeKey(k)
		present[key.Name] = key
		if !proto.Equal(known[key.Name], key) {
			out.Keys = append(out.Keys, key)
		}
	}
	for name := range known {
		if present[name] == nil {
			out.Removed = append(out.Removed, name)
		}
	}
	return out, present
}

// untilTurn is after what time a certificate, or the period of its key, begins or ends, without anybody's doing.
func untilTurn(keys []signer.KeyInfo, now time.Time) time.Duration {
	next := clockPause
	for _, k := range keys {
		c := k.Key.Certificate()
		if c == nil {
			continue
		}
		for _, turn := range []time.Time{c.NotBefore, c.NotAfter, c.PrivateKeyNotBefore, c.PrivateKeyNotAfter} {
			if left := turn.Sub(now); left >= 0 && left < next {
				next = left + time.Millisecond // what ends at a moment is good at that moment
			}
		}
	}
	return next
}
