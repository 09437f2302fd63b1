package client

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"time"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	batchWindow  = 64        // items on their way at once
	batchMessage = 256 << 10 // octets of items that travel together
)

// exchange is a batch of one kind: questions go out, and answers come back in any order, over as many calls as it takes.
type exchange[Q proto.Message, A reply] struct {
	client *Client
	ctx    context.Context
	cancel context.CancelFunc
	dial   func(context.Context) (link[Q, A], error) // begins a call
	number func(Q, uint64)                           // tells answers apart
	window chan struct{}
	wake   chan struct{} // there is something to send; room for one
	ended  chan struct{}

	mutex   sync.Mutex
	next    uint64
	open    map[uint64]*item[Q, A] // not answered yet
	queue   []*item[Q, A]          // of those, not sent yet
	closing bool
	err     error // why nothing more is taken
}

// reply is what answers of all kinds have.
type reply interface {
	GetCorrelationId() uint64
	GetStatus() *rpcstatus.Status
}

// link is a call of a batch.
type link[Q, A any] struct {
	send    func([]Q) error
	receive func() ([]A, error)
	close   func() error
}

type item[Q, A any] struct {
	question Q
	number   uint64
	attempts int
	answer   chan A // room for one
	failed   error
}

func newExchange[Q proto.Message, A reply](ctx context.Context, c *Client, dial func(context.Context) (link[Q, A], error),
	number func(Q, uint64)) *exchange[Q, A] {
	b := &exchange[Q, A]{
		client: c, dial: dial, number: number, window: make(chan struct{}, batchWindow), wake: make(chan struct{}, 1),
		ended: make(chan struct{}), open: map[uint64]*item[Q, A]{},
	}
	b.ctx, b.cancel = context.WithCancel(ctx)
	go b.run()
	return b
}

// Pending is an answer to come.
type Pending[T any] struct {
	wait func(context.Context) (*T, error)
}

// Wait waits for the answer. Called once.
func (p *Pending[T]) Wait(ctx context.Context) (*T, error) { return p.wait(ctx) }

func pend[Q proto.Message, A reply, T any](ctx context.Context, b *exchange[Q, A], question Q,
	check func(A) (*T, error)) (*Pending[T], error) {
	i, err := b.ask(ctx, question)
	if err != nil {
		return nil, err
	}
	return &Pending[T]{func(ctx context.Context) (*T, error) {
		select {
		case answer, ok := <-i.answer:
			if !ok {
				return nil, i.failed
			}
			if s := answer.GetStatus(); s != nil {
				return nil, fromStatus(status.FromProto(s))
			}
			return check(answer)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}, nil
}

// inOrder asks all of a sequence, and yields the answers in its order.
func inOrder[R, T any](ctx context.Context, requests iter.Seq[R], ask func(context.Context, R) (*Pending[T], error),
	yield func(*T, error) bool) {
	var waiting []*Pending[T]
	oldest := func() bool {
		p := waiting[0]
		waiting = waiting[1:]
		return yield(p.Wait(ctx))
	}
	for req := range requests {
		if len(waiting) == batchWindow && !oldest() {
			return
		}
		p, err := ask(ctx, req)
		if err != nil {
			yield(nil, err)
			return
		}
		waiting = append(waiting, p)
	}
	for len(waiting) > 0 {
		if !oldest() {
			return
		}
	}
}

var (
	errClosed = errors.New("client: the batch is closed")
	errEnded  = errors.New("client: the service ends every batch at once")
)

// finish takes no more, waits for the answers to come and ends the call.
func (b *exchange[Q, A]) finish() error {
	b.mutex.Lock()
	b.closing = true
	b.mutex.Unlock()
	b.stir()
	<-b.ended
	b.cancel()
	return b.err
}

func (b *exchange[Q, A]) ask(ctx context.Context, question Q) (*item[Q, A], error) {
	select {
	case b.window <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-b.ended:
		return nil, errors.Join(errClosed, b.err)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.closing || b.err != nil {
		<-b.window
		return nil, errors.Join(errClosed, b.err)
	}
	b.next++
	b.number(question, b.next)
	i := &item[Q, A]{question: question, number: b.next, answer: make(chan A, 1)}
	b.open[b.next] = i
	b.queue = append(b.queue, i)
	b.stir()
	return i, nil
}

func (b *exchange[Q, A]) stir() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run makes one call after the other until there is nothing more to do.
func (b *exchange[Q, A]) run() {
	defer close(b.ended)
	for broken := 0; ; {
		answered, err := b.call()
		switch {
		case b.done():
			return
		case answered:
			broken = 0
		}
		if !answered || err != nil {
			e := AsError(err)
			if broken++; err != nil && (e == nil || e.Code != codes.Unavailable) || b.ctx.Err() != nil || broken >= b.client.attempts {
				b.fail(cmp.Or(err, b.ctx.Err(), errEnded))
				return
			}
			wait := pause << broken
			if e != nil && e.RetryAfter > 0 {
				wait = e.RetryAfter
			}
			sleep(b.ctx, jitter(wait))
		}
		b.mutex.Lock()
		b.queue = b.queue[:0] // all that is open goes to the next call, in its order
		for _, i := range b.open {
			b.queue = append(b.queue, i)
		}
		slices.SortFunc(b.queue, func(x, y *item[Q, A]) int { return cmp.Compare(x.number, y.number) })
		b.mutex.Unlock()
		b.stir()
	}
}

func (b *exchange[Q, A]) done() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.closing && len(b.open) == 0
}

func (b *exchange[Q, A]) fail(err error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.err = err
	for _, i := range b.open {
		i.failed = err
		close(i.answer)
	}
	clear(b.open)
}

// call makes one call; nil means that the service, or the last answer, ended it in order.
func (b *exchange[Q, A]) call() (answered bool, err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	s, err := b.dial(ctx)
	if err != nil {
		return false, err
	}
	received := make(chan error, 1)
	go func() {
		for {
			answers, err := s.receive()
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				received <- err
				return
			}
			answered = true
			for _, answer := range answers {
				b.settle(ctx, answer)
			}
		}
	}()
	for {
		if items := b.take(); len(items) > 0 {
			if s.send(items) != nil {
				err := <-received // which knows why
				return answered, err
			}
			continue
		}
		if b.done() {
			_ = s.close() // whatever is wrong with the call matters no more
			err := <-received
			return answered, err
		}
		select {
		case <-b.wake:
		case err := <-received:
			return answered, err
		}
	}
}

// take takes what is to be sent together.
func (b *exchange[Q, A]) take() (items []Q) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	octets, n := 0, 0
	for _, i := range b.queue {
		if octets += proto.Size(i.question); n > 0 && octets > batchMessage {
			break
		}
		i.attempts++
		items = append(items, i.question)
		n++
	}
	b.queue = slices.Delete(b.queue, 0, n)
	return items
}

// settle hands an answer out, or sends its item again later.
func (b *exchange[Q, A]) settle(ctx context.Context, answer A) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	i := b.open[answer.GetCorrelationId()]
	if i == nil {
		return
	}
	if s := answer.GetStatus(); s != nil && i.attempts < b.client.attempts {
		e := fromStatus(status.FromProto(s))
		if wait, again := e.again(i.attempts, true); again && b.client.budget.spend() {
			time.AfterFunc(wait, func() { b.later(ctx, i) })
			return
		}
	} else if s == nil {
		b.client.budget.earn()
	}
	delete(b.open, i.number)
	<-b.window
	i.answer <- answer
	if b.closing && len(b.open) == 0 {
		b.stir()
	}
}

// later sends an item again over the call it was refused on; another call takes up all items anyway.
func (b *exchange[Q, A]) later(ctx context.Context, i *item[Q, A]) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if ctx.Err() == nil && b.open[i.number] == i {
		b.queue = append(b.queue, i)
		b.stir()
	}
}
