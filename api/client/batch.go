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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/epov-signer/epov/api/epovpb"
)

const (
	batchWindow  = 64        // items on their way at once
	batchMessage = 256 << 10 // octets of items that travel together
)

// Batch has many things signed over one call, the fastest way there is. Items go as fast as the service takes them: where
// as many are on their way as it works on at once, asking for another waits. When the service ends the call, or the
// connection breaks, another call takes up what has not been answered, under the same request ids; an item that is refused
// for a while is sent again, as unary calls are. One batch is one connection to one daemon; several batches spread.
// Safe for concurrent use.
type Batch struct {
	client *Client
	ctx    context.Context
	cancel context.CancelFunc
	window chan struct{}
	wake   chan struct{} // there is something to send; room for one
	ended  chan struct{}

	mutex   sync.Mutex
	next    uint64
	open    map[uint64]*batchItem // not answered yet
	queue   []*batchItem          // of those, not sent yet
	closing bool
	err     error // why nothing more is taken
}

type batchItem struct {
	*pb.SignItem
	attempts int
	answer   chan *pb.SignedItem // room for one
	failed   error
}

// NewBatch begins a batch, which lives until Close or until ctx ends.
func (c *Client) NewBatch(ctx context.Context) *Batch {
	b := &Batch{
		client: c, window: make(chan struct{}, batchWindow), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		open: map[uint64]*batchItem{},
	}
	b.ctx, b.cancel = context.WithCancel(ctx)
	go b.run()
	return b
}

// Pending is an answer to come.
type Pending[T any] struct {
	item  *batchItem
	check func(*pb.SignedItem) (*T, error)
}

// Wait waits for the answer. Called once.
func (p *Pending[T]) Wait(ctx context.Context) (*T, error) {
	select {
	case answer, ok := <-p.item.answer:
		if !ok {
			return nil, p.item.failed
		}
		if s := answer.GetStatus(); s != nil {
			return nil, fromStatus(status.FromProto(s))
		}
		return p.check(answer)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// SignXML asks for one; it waits only until there is room for it.
func (b *Batch) SignXML(ctx context.Context, req *pb.SignXmlRequest) (*Pending[pb.SignXmlResponse], error) {
	prepareXML(req)
	return pend(ctx, b, &pb.SignItem{Request: &pb.SignItem_Xml{Xml: req}}, func(a *pb.SignedItem) (*pb.SignXmlResponse, error) {
		return checkXML(req, a.GetXml())
	})
}

// SignCMS is SignXML for CMS.
func (b *Batch) SignCMS(ctx context.Context, req *pb.SignCmsRequest) (*Pending[pb.SignCmsResponse], error) {
	prepareCMS(req)
	return pend(ctx, b, &pb.SignItem{Request: &pb.SignItem_Cms{Cms: req}}, func(a *pb.SignedItem) (*pb.SignCmsResponse, error) {
		return checkCMS(req, a.GetCms())
	})
}

// SignDigest is SignXML for digests.
func (b *Batch) SignDigest(ctx context.Context, req *pb.SignDigestRequest) (*Pending[pb.SignDigestResponse], error) {
	prepareDigest(req)
	return pend(ctx, b, &pb.SignItem{Request: &pb.SignItem_Digest{Digest: req}}, func(a *pb.SignedItem) (*pb.SignDigestResponse, error) {
		return checkDigest(req, a.GetDigest())
	})
}

func pend[T any](ctx context.Context, b *Batch, item *pb.SignItem, check func(*pb.SignedItem) (*T, error)) (*Pending[T], error) {
	i, err := b.ask(ctx, item)
	if err != nil {
		return nil, err
	}
	return &Pending[T]{i, check}, nil
}

// SignAll signs the documents of a sequence and yields the answers in its order.
func (c *Client) SignAll(ctx context.Context, documents iter.Seq[*pb.SignXmlRequest]) iter.Seq2[*pb.SignXmlResponse, error] {
	return func(yield func(*pb.SignXmlResponse, error) bool) {
		b := c.NewBatch(ctx)
		defer b.cancel()
		var waiting []*Pending[pb.SignXmlResponse]
		oldest := func() bool {
			p := waiting[0]
			waiting = waiting[1:]
			return yield(p.Wait(ctx))
		}
		for req := range documents {
			if len(waiting) == batchWindow && !oldest() {
				return
			}
			p, err := b.SignXML(ctx, req)
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
}

// Close takes no more, waits for the answers to come and ends the call. The error says why the batch ended before.
func (b *Batch) Close() error {
	b.mutex.Lock()
	b.closing = true
	b.mutex.Unlock()
	b.stir()
	<-b.ended
	b.cancel()
	return b.err
}

var (
	errClosed = errors.New("client: the batch is closed")
	errEnded  = errors.New("client: the service ends every batch at once")
)

func (b *Batch) ask(ctx context.Context, item *pb.SignItem) (*batchItem, error) {
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
	item.CorrelationId = b.next
	i := &batchItem{SignItem: item, answer: make(chan *pb.SignedItem, 1)}
	b.open[b.next] = i
	b.queue = append(b.queue, i)
	b.stir()
	return i, nil
}

func (b *Batch) stir() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run makes one call after the other until there is nothing more to do.
func (b *Batch) run() {
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
		slices.SortFunc(b.queue, func(x, y *batchItem) int { return int(int64(x.CorrelationId - y.CorrelationId)) })
		b.mutex.Unlock()
		b.stir()
	}
}

func (b *Batch) done() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.closing && len(b.open) == 0
}

func (b *Batch) fail(err error) {
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
func (b *Batch) call() (answered bool, err error) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	s, err := b.client.Sign.SignBatch(ctx)
	if err != nil {
		return false, err
	}
	received := make(chan error, 1)
	go func() {
		for {
			answer, err := s.Recv()
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				received <- err
				return
			}
			answered = true
			for _, item := range answer.GetItems() {
				b.settle(ctx, item)
			}
		}
	}()
	for {
		if items := b.take(); len(items) > 0 {
			if s.Send(&pb.SignBatchRequest{Items: items}) != nil {
				err := <-received // which knows why
				return answered, err
			}
			continue
		}
		if b.done() {
			_ = s.CloseSend() // whatever is wrong with the call matters no more
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
func (b *Batch) take() (items []*pb.SignItem) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	octets, n := 0, 0
	for _, i := range b.queue {
		if octets += proto.Size(i.SignItem); n > 0 && octets > batchMessage {
			break
		}
		i.attempts++
		items = append(items, i.SignItem)
		n++
	}
	b.queue = slices.Delete(b.queue, 0, n)
	return items
}

// settle hands an answer out, or sends its item again later.
func (b *Batch) settle(ctx context.Context, answer *pb.SignedItem) {
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
	delete(b.open, i.CorrelationId)
	<-b.window
	i.answer <- answer
	if b.closing && len(b.open) == 0 {
		b.stir()
	}
}

// later sends an item again over the call it was refused on; another call takes up all items anyway.
func (b *Batch) later(ctx context.Context, i *batchItem) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if ctx.Err() == nil && b.open[i.CorrelationId] == i {
		b.queue = append(b.queue, i)
		b.stir()
	}
}
