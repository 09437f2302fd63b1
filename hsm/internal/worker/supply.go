package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Supply gives workers for one module, one after the other, and has the next one ready: started, confined, its library
// loaded, and only C_Initialize to be called. So the loss of a worker costs milliseconds. Safe for concurrent use.
type Supply struct {
	o      Options
	shared []sharedPIN

	mutex  sync.Mutex
	closed bool
	spare  *Worker
	making chan struct{} // closed when the one that is being made is there, or has failed; nil: none is being made
	starts []time.Time   // of the last starts

	starting int // workers, for which the shared files are needed
}

// At most burst workers are started in a window: a module that dies as it is initialised shall not keep the machine busy.
const (
	burst  = 8
	window = 10 * time.Second
)

// NewSupply makes PINs ready that no file holds. It starts nothing yet.
func NewSupply(o Options) (*Supply, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	s := &Supply{o: o}
	for _, l := range o.Logins {
		file, err := l.Source.Share()
		if err != nil {
			s.Close()
			return nil, err
		}
		if file != nil {
			s.shared = append(s.shared, sharedPIN{l.Source, file})
		}
	}
	return s, nil
}

// ErrClosed is given by a supply that was closed.
var ErrClosed = errors.New("worker: no further worker is wanted")

// Take gives a worker whose module is initialised. Another spare is begun.
func (s *Supply) Take(ctx context.Context) (*Worker, error) {
	for {
		w, wait, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case w != nil:
			if w.dead.Load() { // it died waiting
				continue
			}
			if err := w.initialise(ctx); err != nil {
				return nil, err
			}
			s.prepare()
			return w, nil
		case wait != nil:
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if err := s.pause(ctx); err != nil {
			return nil, err
		}
		w, err = s.start(ctx)
		if err != nil {
			return nil, err
		}
		if err := w.initialise(ctx); err != nil {
			return nil, err
		}
		s.prepare()
		return w, nil
	}
}

// start starts a worker. The shared files stay open as long as one is being started.
func (s *Supply) start(ctx context.Context) (*Worker, error) {
	s.mutex.Lock()
	if s.closed {
		s.mutex.Unlock()
		return nil, ErrClosed
	}
	s.starting++
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		s.starting--
		s.takeBack()
	}()
	return start(ctx, s.o, s.shared)
}

// takeBack closes the shared files once nobody needs them any more. The mutex is held.
func (s *Supply) takeBack() {
	if !s.closed || s.starting > 0 {
		return
	}
	for _, shared := range s.shared {
		shared.file.Close() // a second time does nothing
	}
}

// next gives the spare, or what to wait for, or neither.
func (s *Supply) next() (*Worker, chan struct{}, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	w := s.spare
	s.spare = nil
	return w, s.making, nil
}

// prepare begins a spare unless there is one.
func (s *Supply) prepare() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed || s.spare != nil || s.making != nil {
		return
	}
	made := make(chan struct{})
	s.making = made
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		var w *Worker
		err := s.pause(ctx)
		if err == nil {
			w, err = s.start(ctx)
		}
		if err != nil && !errors.Is(err, ErrClosed) {
			s.o.Log.Warn("no spare process for the module", "module", s.o.Module, "error", err)
		}
		s.mutex.Lock()
		late := s.closed
		if s.making = nil; !late {
			s.spare = w
		}
		s.mutex.Unlock()
		if late && w != nil {
			w.dismiss()
		}
		close(made)
	}()
}

// pause waits until another worker may be started, and counts it.
func (s *Supply) pause(ctx context.Context) error {
	for {
		s.mutex.Lock()
		now := time.Now()
		for len(s.starts) > 0 && now.Sub(s.starts[0]) >= window {
			s.starts = s.starts[1:]
		}
		if s.closed {
			s.mutex.Unlock()
			return ErrClosed
		}
		if len(s.starts) < burst {
			s.starts = append(s.starts, now)
			s.mutex.Unlock()
			return nil
		}
		wait := window - now.Sub(s.starts[0])
		s.mutex.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("too many workers for %s were started lately: %w", s.o.Module, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// Close ends the spare and takes the PINs back. Workers that were given are their takers'.
func (s *Supply) Close() {
	s.mutex.Lock()
	spare, making, closed := s.spare, s.making, s.closed
	s.spare, s.closed = nil, true
	s.takeBack()
	s.mutex.Unlock()
	if closed {
		return
	}
	if spare != nil {
		spare.dismiss()
	}
	if making != nil {
		select {
		case <-making:
		case <-time.After(dismissal):
		}
	}
}

// dismissal is how long a process that was killed is waited for: a driver may hold it.
const dismissal = time.Second

// dismiss ends a worker that nobody uses.
func (w *Worker) dismiss() {
	w.Kill(ErrClosed)
	select {
	case <-w.gone:
	case <-time.After(dismissal):
	}
}
