package hsm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// session is on loan to one goroutine at a time. Handles found in an epoch mean nothing in another: after a new login or a
// new start of the module an old number may denote another object.
type session struct {
	handle p11.Session
	epoch  uint64
}

// pool lends sessions, the one used last first, and opens them when they are wanted. A permit stands for the right to have
// a session open and at work; whoever holds one keeps it until the module's call has returned.
type pool struct {
	open  func() (session, error)
	close func(session, error)
	epoch func() uint64

	permits chan struct{}
	waiting atomic.Int64
	queue   int64
	done    chan struct{}

	mutex sync.Mutex
	idle  []session
	size  int // permits in being
	ended bool
}

var (
	errQueueFull  = errors.New("too many callers are waiting for a session")
	errPoolClosed = errors.New("the token is closed")
)

func newPool(size, queue int) *pool {
	p := &pool{permits: make(chan struct{}, size), queue: int64(queue), done: make(chan struct{}), size: size}
	for range size {
		p.permits <- struct{}{}
	}
	return p
}

// get waits for a permit and gives a session. Its errors are the context's, errQueueFull, errPoolClosed or the module's.
func (p *pool) get(ctx context.Context) (session, error) {
	for {
		if err := p.permit(ctx); err != nil {
			return session{}, err
		}
		if s, ok := p.pop(); ok {
			return s, nil
		}
		s, err := p.open()
		if err == nil {
			return s, nil
		}
		if classify(err).remedy != narrower || !p.shrink() {
			p.permits <- struct{}{}
			return session{}, err
		}
	}
}

func (p *pool) permit(ctx context.Context) error {
	select {
	case <-p.done:
		return errPoolClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-p.permits:
		return nil
	default:
	}
	if p.waiting.Add(1) > p.queue {
		p.waiting.Add(-1)
		return errQueueFull
	}
	defer p.waiting.Add(-1)
	select {
	case <-p.permits:
		return nil
	case <-p.done:
		return errPoolClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) pop() (session, bool) {
	epoch := p.epoch()
	for {
		p.mutex.Lock()
		last := len(p.idle) - 1
		if last < 0 {
			p.mutex.Unlock()
			return session{}, false
		}
		s := p.idle[last]
		p.idle = p.idle[:last]
		p.mutex.Unlock()
		if s.epoch == epoch {
			return s, true
		}
		p.close(s, errors.New("from before the last login"))
	}
}

// shrink gives a permit up for good, since the token opens no further session. It refuses to give up the last one.
func (p *pool) shrink() bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.size <= 1 {
		return false
	}
	p.size--
	return true
}

// put takes a session back; one that met an error is closed.
func (p *pool) put(s session, failure error) {
	if failure != nil {
		p.close(s, failure)
	} else {
		p.mutex.Lock()
		p.idle = append(p.idle, s)
		p.mutex.Unlock()
	}
	p.permits <- struct{}{}
}

// flush closes the idle sessions: what killed one may have killed all.
func (p *pool) flush(reason error) {
	p.mutex.Lock()
	idle := p.idle
	p.idle = nil
	p.mutex.Unlock()
	for _, s := range idle {
		p.close(s, reason)
	}
}

// drain turns waiting and new callers away, waits for sessions at work to come back and closes all. When ctx ends first,
// calls of the module are still under way, and the module must not be finalised.
func (p *pool) drain(ctx context.Context) error {
	p.mutex.Lock()
	if !p.ended {
		p.ended = true
		close(p.done)
	}
	p.mutex.Unlock()
	for {
		p.mutex.Lock()
		left := p.size
		p.mutex.Unlock()
		if left == 0 {
			break
		}
		select {
		case <-p.permits:
			p.mutex.Lock()
			p.size--
			p.mutex.Unlock()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.flush(nil)
	return nil
}
