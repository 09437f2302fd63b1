package api

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

func (s *signService) SignBatch(stream grpc.BidiStreamingServer[epovpb.SignBatchRequest, epovpb.SignBatchResponse]) error {
	return runBatch(s.Server, stream, batch[*epovpb.SignItem, *epovpb.SignedItem]{
		receive: func() ([]*epovpb.SignItem, error) { m, err := stream.Recv(); return m.GetItems(), err },
		send: func(items []*epovpb.SignedItem) error {
			return stream.Send(&epovpb.SignBatchResponse{Items: items})
		},
		answer: s.signItem,
		fail: func(item *epovpb.SignItem, err error) *epovpb.SignedItem {
			return &epovpb.SignedItem{
				CorrelationId: item.GetCorrelationId(), Result: &epovpb.SignedItem_Status{Status: status.Convert(err).Proto()},
			}
		},
	})
}

func (s *signService) signItem(ctx context.Context, item *epovpb.SignItem) (*epovpb.SignedItem, error) {
	out := &epovpb.SignedItem{CorrelationId: item.CorrelationId}
	var err error
	switch r := item.Request.(type) {
	case *epovpb.SignItem_Xml:
		result := &epovpb.SignedItem_Xml{}
		result.Xml, err = s.SignXml(ctx, r.Xml)
		out.Result = result
	case *epovpb.SignItem_Cms:
		result := &epovpb.SignedItem_Cms{}
		result.Cms, err = s.SignCms(ctx, r.Cms)
		out.Result = result
	case *epovpb.SignItem_Digest:
		result := &epovpb.SignedItem_Digest{}
		result.Digest, err = s.SignDigest(ctx, r.Digest)
		out.Result = result
	default:
		err = s.noItem(ctx)
	}
	return out, err
}

func (s *verifyService) VerifyBatch(stream grpc.BidiStreamingServer[epovpb.VerifyBatchRequest, epovpb.VerifyBatchResponse]) error {
	return runBatch(s.Server, stream, batch[*epovpb.VerifyItem, *epovpb.VerifiedItem]{
		receive: func() ([]*epovpb.VerifyItem, error) { m, err := stream.Recv(); return m.GetItems(), err },
		send: func(items []*epovpb.VerifiedItem) error {
			return stream.Send(&epovpb.VerifyBatchResponse{Items: items})
		},
		answer: s.verifyItem,
		fail: func(item *epovpb.VerifyItem, err error) *epovpb.VerifiedItem {
			return &epovpb.VerifiedItem{
				CorrelationId: item.GetCorrelationId(), Result: &epovpb.VerifiedItem_Status{Status: status.Convert(err).Proto()},
			}
		},
	})
}

func (s *verifyService) verifyItem(ctx context.Context, item *epovpb.VerifyItem) (*epovpb.VerifiedItem, error) {
	out := &epovpb.VerifiedItem{CorrelationId: item.CorrelationId}
	var err error
	switch r := item.Request.(type) {
	case *epovpb.VerifyItem_Xml:
		result := &epovpb.VerifiedItem_Xml{}
		result.Xml, err = s.VerifyXml(ctx, r.Xml)
		out.Result = result
	case *epovpb.VerifyItem_Cms:
		result := &epovpb.VerifiedItem_Cms{}
		result.Cms, err = s.VerifyCms(ctx, r.Cms)
		out.Result = result
	default:
		err = s.noItem(ctx)
	}
	return out, err
}

func (s *Server) noItem(ctx context.Context) error {
	return s.fail(ctx, report.Errorf(report.RequestInvalid, report.Place{Path: "request"}, "the item asks for nothing"), "")
}

// item is a request in a batch.
type item interface {
	proto.Message
	GetTimeout() *durationpb.Duration
}

// batch is how a batch of one kind is received, worked on, and answered.
type batch[Q item, A proto.Message] struct {
	receive func() ([]Q, error)
	send    func([]A) error
	answer  func(context.Context, Q) (A, error)
	fail    func(Q, error) A
}

// runBatch reads items as long as fewer than the limit are unanswered: the rest waits in the caller's window, not here.
// Answers that are ready together go out together.
func runBatch[Q item, A proto.Message](s *Server, stream grpc.ServerStream, b batch[Q, A]) error {
	ctx := stream.Context()
	most := s.limits.Load().BatchItems
	var (
		room     = make(chan struct{}, most) // a place for each item from when it is read until its answer is sent
		jobs     = make(chan Q)
		answers  = make(chan worked[A], most)
		incoming = make(chan []Q)
		received = make(chan error, 1)
		sent     = make(chan error, 1)
		workers  sync.WaitGroup
	)
	go func() { // ends at the latest with the stream, at which Recv returns
		for {
			items, err := b.receive()
			if err != nil {
				received <- err
				return
			}
			select {
			case incoming <- items:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { sent <- sendAnswers(s, answers, room, b.send) }()
	count := 0
	start := func(q Q) {
		select {
		case jobs <- q: // somebody is free
			return
		default:
		}
		if count < most {
			count++
			workers.Go(func() {
				for q, ok := q, true; ok; q, ok = <-jobs {
					answers <- work(ctx, s, b, q)
				}
			})
			return
		}
		jobs <- q
	}
	age := time.NewTimer(s.limits.Load().BatchTime)
	defer age.Stop()
	end := func() error { // what is at work is answered, whatever ends the batch
		for {
			select {
			case items := <-incoming:
				if err := s.draining(); err != nil {
					return err
				}
				for _, q := range items {
					select {
					case room <- struct{}{}:
						start(q)
					case <-s.stopping():
						return errStopping
					case <-ctx.Done():
						return ended(ctx)
					}
				}
			case err := <-received:
				if err == io.EOF {
					return nil
				}
				return err
			case <-s.stopping():
				return errStopping
			case <-age.C:
				return nil
			case <-ctx.Done():
				return ended(ctx)
			}
		}
	}()
	close(jobs)
	workers.Wait()
	close(answers)
	if err := <-sent; err != nil && end == nil {
		return err
	}
	if _, ok := status.FromError(end); ok {
		return end
	}
	return statusOf(end, "", "").Err()
}

var errStopping = report.Errorf(report.Draining, report.Place{}, "the service is stopping; what was not answered was not signed")

// worked is an answer, with the places that it still has.
type worked[A any] struct {
	answer A
	size   int // octets
	caller *signer.Caller
	places int64
}

// work answers one item.
func work[Q item, A proto.Message](ctx context.Context, s *Server, b batch[Q, A], q Q) worked[A] {
	caller, err := s.recognise(ctx, "batch") // who may call now, not who might when the batch began
	if err != nil {
		return finish(s, b.fail(q, err), nil, 0)
	}
	places := s.work.size(q)
	if err := s.occupy(caller, places); err != nil {
		return finish(s, b.fail(q, err), nil, 0)
	}
	return finish(s, workOn(context.WithValue(ctx, callerKey{}, caller), s, b, q), caller, places)
}

// finish lets go of an item's places, unless its answer is so large that it must not wait for the caller without them.
func finish[A proto.Message](s *Server, answer A, caller *signer.Caller, places int64) worked[A] {
	w := worked[A]{answer: answer, size: proto.Size(answer)}
	switch {
	case w.size > waiting:
		w.caller, w.places = caller, places
	case places > 0:
		s.vacate(caller, places)
	}
	return w
}

func workOn[Q item, A proto.Message](ctx context.Context, s *Server, b batch[Q, A], q Q) (out A) {
	defer func() {
		if v := recover(); v != nil {
			out = b.fail(q, s.panicked(ctx, "batch", v))
		}
	}()
	most := s.limits.Load().CallTime
	if t := q.GetTimeout(); t != nil {
		if t.CheckValid() != nil || t.AsDuration() <= 0 {
			return b.fail(q, s.fail(ctx, report.Errorf(report.RequestInvalid, report.Place{Path: "timeout"},
				"not a positive duration"), ""))
		}
		most = min(most, t.AsDuration())
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	out, err := b.answer(ctx, q)
	if err != nil {
		return b.fail(q, err)
	}
	return out
}

const (
	// waiting is how many octets an answer may have to wait without a place.
	waiting = 64 << 10
	// together is how many octets of answers go out in one message, if it has more than one.
	together = 256 << 10
)

// sendAnswers sends what is ready, several answers at once when there are several. After a failure it only makes room.
func sendAnswers[A proto.Message](s *Server, answers <-chan worked[A], room <-chan struct{}, send func([]A) error) (err error) {
	ready := make([]A, 0, cap(answers))
	var kept []worked[A]
	size := 0
	flush := func() {
		if err == nil && len(ready) > 0 {
			err = send(ready)
		}
		for range ready {
			<-room
		}
		for _, w := range kept {
			s.vacate(w.caller, w.places)
		}
		clear(ready)
		clear(kept)
		ready, kept, size = ready[:0], kept[:0], 0
	}
	for {
		var w worked[A]
		var ok bool
		select {
		case w, ok = <-answers:
		default: // nothing more is ready
			flush()
			w, ok = <-answers
		}
		if !ok {
			flush()
			return err
		}
		if size+w.size > together {
			flush()
		}
		ready, size = append(ready, w.answer), size+w.size
		if w.places > 0 {
			kept = append(kept, w)
		}
	}
}
