package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultConnections = 1024
	// spared are descriptors kept for what is not a connection: tokens, whose modules may open files at every signature, and
	// would take keys for gone when they cannot.
	spared = 256
)

// listener holds most connections at once, a bound that may change; further ones are closed at once, so that their callers
// try elsewhere. It can be asked whether connections are taken up, and to let that be without losing one.
type listener struct {
	net.Listener
	most  atomic.Int64
	held  atomic.Int64
	log   *slog.Logger
	told  time.Time    // when the log last heard of refusals
	fresh atomic.Int64 // connections that were given out and not looked at yet

	asking sync.Mutex           // one question at a time
	pulse  chan chan<- struct{} // room for one: who waits for a sign of life
	rests  atomic.Bool
	closed chan struct{}
	close  func() error
}

// bounded is how many connections there may be where so many are wanted, 0 for the default.
func bounded(most int, log *slog.Logger) (int, error) {
	if most == 0 {
		most = defaultConnections
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	if files.Cur < spared+1 {
		return 0, fmt.Errorf("the process may open %d files; at least %d are needed", files.Cur, spared+1)
	}
	if room := files.Cur - spared; uint64(most) > room {
		log.Warn("the limit of open files allows fewer connections", "files", files.Cur, "connections", room)
		most = int(room)
	}
	return most, nil
}

// narrow bounds a listener to most connections, 0 for the default, and to fewer when the process may not have as many files
// open.
func narrow(l net.Listener, most int, log *slog.Logger) (*listener, error) {
	most, err := bounded(most, log)
	if err != nil {
		return nil, err
	}
	n := &listener{Listener: l, log: log, pulse: make(chan chan<- struct{}, 1), closed: make(chan struct{})}
	n.most.Store(int64(most))
	n.close = sync.OnceValue(func() error { close(n.closed); return n.Listener.Close() })
	return n, nil
}

func (l *listener) Close() error { return l.close() }

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.answer()
			continue
		}
		if err != nil {
			return nil, err
		}
		if l.held.Add(1) <= l.most.Load() {
			l.fresh.Add(1)
			return &connection{
				Conn: conn, seen: sync.OnceFunc(func() { l.fresh.Add(-1) }), done: sync.OnceFunc(func() { l.held.Add(-1) }),
			}, nil
		}
		l.held.Add(-1)
		if time.Since(l.told) > time.Minute {
			l.told = time.Now()
			l.log.Warn("connections are refused: there are as many as allowed", "connections", l.most.Load())
		}
		_ = conn.Close()
	}
}

// answer gives the sign of life that Accept was woken for. At rest it comes back when the listener is closed.
func (l *listener) answer() {
	select {
	case asked := <-l.pulse:
		close(asked)
	default:
	}
	if l.rests.Load() {
		<-l.closed
		return
	}
	_ = l.deadline(time.Time{})
}

// deadline wakes Accept when it has passed.
func (l *listener) deadline(t time.Time) error {
	d, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return fmt.Errorf("a listener on %s cannot be asked", l.Addr())
	}
	return d.SetDeadline(t)
}

// ask wakes Accept and waits for its answer: whoever serves this listener comes back to it.
func (l *listener) ask(ctx context.Context) error {
	l.asking.Lock()
	defer l.asking.Unlock()
	answer := make(chan struct{})
	select {
	case <-l.pulse: // a question that was given up
	default:
	}
	l.pulse <- answer
	for {
		// Again and again: the answer to a question that was given up may have taken this deadline away.
		if err := l.deadline(time.Unix(1, 0)); err != nil {
			return err
		}
		select {
		case <-answer:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("nobody takes up connections: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// rest ends the taking up of connections and returns when those that were taken up are being looked after, so that a server
// that is stopped then serves them to their end. Further ones wait in the socket, for whoever else has it.
func (l *listener) rest(ctx context.Context) error {
	l.rests.Store(true)
	if err := l.ask(ctx); err != nil {
		return err
	}
	for l.fresh.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

type connection struct {
	net.Conn
	seen, done func()
}

// NetConn is the connection itself.
func (c *connection) NetConn() net.Conn { return c.Conn }

// SetDeadline is the first thing that a server does with a connection that it is going to serve.
func (c *connection) SetDeadline(t time.Time) error {
	c.seen()
	return c.Conn.SetDeadline(t)
}

func (c *connection) Close() error {
	defer c.done()
	c.seen()
	return c.Conn.Close()
}
