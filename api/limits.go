package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// Limits bound what callers can ask for. The zero value of a field means its default.
//
// They bound memory too. Requests that arrive take at most Calls times MessageBytes, and those of batches twice Batches times
// as much; those of the health service are small, and sixteen times as many. A request at work is held several times over
// (the document, what is known of it, the answer; reckon with five), so there a call takes a place of Calls for itself and
// one more for every MiB of its request. An item of a batch counts as a call at work; a stream of content as one of 1 MiB,
// whatever its length. A large answer keeps its places until it is on the wire, and its connection ends when its caller takes
// nothing of it for StallTime.
type Limits struct {
	MessageBytes  int           // octets of a request's contents together, default signer.DefaultMessageBytes
	Calls         int           // calls at once, over all connections, from the first octet of a request on, default 256
	Streams       int           // calls at once on one connection, default 128
	CallTime      time.Duration // time a call may take, its request's arrival included, whatever its own deadline, default a minute
	Connections   int           // at once that the listener lets there be, of which one client gets three quarters; 0: not bounded
	ConnectionAge time.Duration // after which a connection is asked to reconnect, default 30 minutes

	Batches    int           // batches and watchers at once, over all connections, default 256; they do not count as Calls
	BatchItems int           // items of one batch at work at once, default 64, but no more than half of Calls
	BatchTime  time.Duration // after which a batch, or a watcher, is ended, to be called again, default 15 minutes
	StreamTime time.Duration // time that a stream of content may take, default 15 minutes
	StallTime  time.Duration // time for which a stream, or a large answer, may stand still, default 15 seconds
}

// longest is the most that a configured time of a call, a batch or a stream may have.
const longest = 25 * time.Hour

// SetLimits exchanges the limits, for calls from now on; those at work keep theirs, also where there are more of them than there
// may be now. What connections keep from their beginning cannot be exchanged: other Streams and ConnectionAge than the server was
// made with are an error.
func (s *Server) SetLimits(l Limits) error {
	l, err := l.checked()
	switch {
	case err != nil:
		return err
	case l.Streams != s.began.Streams || l.ConnectionAge != s.began.ConnectionAge:
		return errors.New("api: calls at once on one connection, and a connection's age, are those that the server was made with")
	}
	s.adjust(l)
	return nil
}

func (s *Server) adjust(l Limits) {
	for _, p := range []*places{&s.calls, &s.work} {
		p.most.Store(int64(l.Calls))
	}
	s.probes.most.Store(int64(l.Calls) * probes)
	s.probeShare.divide(l.Calls * probes)
	s.batches.most.Store(int64(l.Batches))
	s.share.divide(l.Calls)
	s.load.divide(l.Calls)
	s.batchShare.divide(l.Batches)
	s.connShare.divide(l.Connections)
	s.limits.Store(&l)
}

// overhead is what a request may add to its contents: names, certificates, encoding.
const overhead = 1 << 20

const (
	// smallMessage is the most that a message of another service than ours may have, of health for instance: whoever got through TLS
	// may send those.
	smallMessage = 16 << 10
	// probes is how many calls of the health service there may be for each of Calls: every connection of a client that watches keeps one.
	probes = 16
)

// room is how large a request of a method may be.
func (s *Server) room(method string) int {
	if strings.HasPrefix(method, "/epov.v1.") {
		return s.limits.Load().MessageBytes + overhead
	}
	return smallMessage
}

// maxChunk is the most that a part of a stream may have.
const maxChunk = 4 << 20

func (l Limits) checked() (Limits, error) {
	number := func(n *int, otherwise, most int) bool {
		if *n == 0 {
			*n = otherwise
		}
		return *n > 0 && *n <= most
	}
	duration := func(d *time.Duration, otherwise time.Duration) bool {
		if *d == 0 {
			*d = otherwise
		}
		return *d > 0
	}
	ok := number(&l.MessageBytes, signer.DefaultMessageBytes, math.MaxInt32-overhead) && number(&l.Calls, 256, math.MaxInt32) &&
		number(&l.Streams, 128, math.MaxInt32) && number(&l.Batches, 256, math.MaxInt32) &&
		number(&l.BatchItems, min(64, max(1, l.Calls/2)), 1<<16) &&
		duration(&l.CallTime, time.Minute) && duration(&l.ConnectionAge, 30*time.Minute) &&
		duration(&l.BatchTime, 15*time.Minute) && duration(&l.StreamTime, 15*time.Minute) && duration(&l.StallTime, 15*time.Second)
	if !ok {
		return l, errors.New("api: a limit is out of range")
	}
	return l, nil
}

// places are a number of places that are taken and left; nobody waits for one.
type places struct {
	most atomic.Int64
	used atomic.Int64
}

func (p *places) take(n int64) bool {
	if p.used.Add(n) > p.most.Load() {
		p.used.Add(-n)
		return false
	}
	return true
}

func (p *places) leave(n int64) { p.used.Add(-n) }

// size is how many places a request takes while it is worked on.
func (p *places) size(req any) int64 {
	n := int64(1)
	if m, ok := req.(proto.Message); ok {
		n += int64(proto.Size(m)) >> 20
	}
	return min(n, p.most.Load())
}

// enter takes a place for a call before anything of its request is read, and bounds the time of those whose interceptors run
// only when the whole request is in memory; streams bound theirs themselves. The place is left when the stream ends; watchers of
// health may stay.
func (s *Server) enter(ctx context.Context, info *tap.Info) (context.Context, error) {
	if end := ended(ctx); end != nil {
		return nil, statusOf(end, "", "").Err()
	}
	if strings.HasPrefix(info.FullMethodName, healthPrefix) {
		if !s.served[info.FullMethodName] {
			return nil, notServed(info.FullMethodName)
		}
		who := s.prober(ctx)
		if !s.probes.take(1) {
			s.trace.refused(RefusedOverload)
			return nil, overload(s.probes.most.Load())
		}
		if !s.probeShare.take(who, 1) {
			s.probes.leave(1)
			s.trace.refused(RefusedOverload)
			return nil, overload(s.probeShare.bound())
		}
		context.AfterFunc(ctx, func() {
			s.probes.leave(1)
			s.probeShare.leave(who, 1)
		})
		return ctx, nil
	}
	caller, err := s.recognise(ctx, info.FullMethodName)
	if err != nil {
		return nil, err
	}
	if !s.served[info.FullMethodName] {
		return nil, notServed(info.FullMethodName)
	}
	if err := s.draining(); err != nil {
		return nil, statusOf(err, "", "").Err()
	}
	room, share, stream := &s.calls, &s.share, true
	switch info.FullMethodName {
	case epovpb.SignService_SignBatch_FullMethodName, epovpb.VerifyService_VerifyBatch_FullMethodName,
		epovpb.KeyService_WatchKeys_FullMethodName, epovpb.MonitorService_WatchState_FullMethodName:
		room, share = &s.batches, &s.batchShare
	case epovpb.SignService_SignCmsStream_FullMethodName, epovpb.VerifyService_VerifyCmsStream_FullMethodName:
	default:
		stream = false
	}
	if !room.take(1) {
		s.trace.refused(RefusedOverload)
		return nil, overload(room.most.Load())
	}
	if !share.take(caller.Name(), 1) {
		room.leave(1)
		s.trace.refused(RefusedOverload)
		return nil, overload(share.bound())
	}
	var cancel context.CancelFunc
	of := ctx
	if stream {
		ctx, cancel = context.WithCancel(ctx)
		ctx = context.WithValue(ctx, cutKey{}, cancel)
	} else {
		ctx, cancel = bound(context.WithValue(ctx, wireKey{}, of), s.limits.Load().CallTime)
	}
	context.AfterFunc(of, func() {
		cancel()
		room.leave(1)
		share.leave(caller.Name(), 1)
	})
	if end := ended(ctx); end != nil { // its time was over meanwhile
		return nil, statusOf(end, "", "").Err()
	}
	return ctx, nil
}

// prober is who asks after health, who need be no client.
func (s *Server) prober(ctx context.Context) string {
	if caller, err := s.identify(ctx); err == nil {
		return caller.Name()
	}
	host, _, _ := net.SplitHostPort(address(ctx))
	return fmt.Sprint(some(namesOf(ctx)), host) // no client has a name with brackets
}

// draining is why nothing new is taken; nil when it is.
func (s *Server) draining() error {
	if s.drain.refusing.Load() {
		return report.Errorf(report.Draining, report.Place{}, "no new calls are taken")
	}
	return nil
}

// reserve is what is kept of a caller's time, so that our own refusal reaches it before its clock tells it less; at most a
// tenth.
const reserve = 20 * time.Millisecond

// bound ends a call after the time it may take, or a little before its caller gives it up.
func bound(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		left := time.Until(end)
		most = min(most, left-min(reserve, left/10))
	}
	return context.WithTimeout(ctx, most)
}

// cutKey and wireKey give what ends a stream, and the context of gRPC's own stream, which a call's may end before.
type (
	cutKey  struct{}
	wireKey struct{}
)

// ended is why a call has ended; nil when it has not.
func ended(ctx context.Context) error {
	err := ctx.Err()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return &report.Error{Code: report.Deadline, Message: "the caller gave up", Err: err}
	}
	return &report.Error{Code: report.Deadline, Message: "the caller's time ran out", Err: err}
}

// shares bound how many of the places one client holds, so that some are left to the others.
type shares struct {
	most  int64
	mutex sync.Mutex
	held  map[string]int64 // by those who hold any
}

// divide leaves a quarter of the places to others.
func (s *shares) divide(places int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.most = int64(places - places/4)
}

func (s *shares) bound() int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.most
}

// take lets a first one through, however large.
func (s *shares) take(who string, n int64) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if has := s.held[who]; has > 0 && has+n > s.most {
		return false
	}
	if s.held == nil {
		s.held = map[string]int64{}
	}
	s.held[who] += n
	return true
}

func (s *shares) leave(who string, n int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.held[who] -= n; s.held[who] <= 0 {
		delete(s.held, who)
	}
}

func overload(most int64) error {
	return statusOf(report.Errorf(report.Overload, report.Place{}, "there is room for %d calls", most), "", "").Err()
}
