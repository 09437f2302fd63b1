package tlog

import (
	"context"
	"encoding/binary"
	"iter"
	"slices"
	"time"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// batch is records on their way into the journal together.
type batch struct {
	buf   []byte // groupHeader octets of room, then length(4) record …
	count int
	waits []bool        // for each record, whether somebody waits
	done  chan struct{} // closed when first and err are known
	first uint64
	err   error
}

// newBatch makes an empty batch, in the room of one that nobody needs any more if there is any.
func newBatch(room []byte) *batch {
	if cap(room) == 0 {
		room = make([]byte, 0, 16<<10)
	}
	return &batch{buf: append(room[:0], make([]byte, groupHeader)...), done: make(chan struct{})}
}

// add appends a record and returns its place in the batch.
func (b *batch) add(r *audit.Record, waits bool) (int, bool) {
	begun := len(b.buf)
	b.buf = r.Append(append(b.buf, 0, 0, 0, 0))
	size := len(b.buf) - begun - 4
	if size > audit.MaxRecordBytes {
		b.buf = b.buf[:begun]
		return 0, false
	}
	binary.BigEndian.PutUint32(b.buf[begun:], uint32(size))
	b.waits = append(b.waits, waits)
	b.count++
	return b.count - 1, true
}

// framed goes through count records, each after its length.
func framed(rest []byte, count int) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for i := range count {
			n := 4 + int(binary.BigEndian.Uint32(rest))
			if !yield(i, rest[4:n:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// Ready is nil when a record of a signature would be taken now. The error is a *report.Error.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready(!l.cfg.ReleaseFirst)
}

// ready decides whether there is room, and for those who will wait also whether the disk answers.
func (l *Log) ready(waits bool) error {
	switch {
	case l.broken.Load():
		return unavailable("the audit log is out of order; an operator must look at it", nil, time.Minute)
	case l.closed:
		return unavailable("the audit log is closed", nil, time.Second)
	case waits && l.down != nil:
		return unavailable("the audit log takes no records", l.down, time.Second)
	case waits && !l.writing.IsZero() && time.Since(l.writing) > stalledAfter:
		return unavailable("the audit log's disk does not answer", nil, time.Second)
	case l.queued > maxQueueBytes, l.backBytes > maxBacklogBytes:
		return &report.Error{Code: report.Overload, Message: "the audit log lags behind", RetryAfter: 500 * time.Millisecond}
	}
	return nil
}

func unavailable(message string, err error, retry time.Duration) error {
	return &report.Error{Code: report.AuditUnavailable, Message: message, Err: err, RetryAfter: retry}
}

// Record takes a record. It returns when the record is durable, but for refusals, and with ReleaseFirst for signatures and
// replays too, which are taken as long as there is room, and then have no place yet. The error is a *report.Error or that
// of ctx; then the record may be in the log all the same.
func (l *Log) Record(ctx context.Context, r audit.Record) (audit.Entry, error) {
	waits := true
	switch r.Kind {
	case audit.Refusal:
		if waits = false; !l.refusals.admit(l.cfg.Refusals, &r, time.Now()) {
			return audit.Entry{}, nil
		}
	case audit.Signature, audit.Replay:
		waits = !l.cfg.ReleaseFirst
	}
	return l.put(ctx, &r, waits)
}

func (l *Log) put(ctx context.Context, r *audit.Record, waits bool) (audit.Entry, error) {
	l.mu.Lock()
	if err := l.ready(waits); err != nil {
		l.mu.Unlock()
		l.refusals.missed(r)
		return audit.Entry{}, err
	}
	if n := len(l.queue); n == 0 || len(l.queue[n-1].buf) >= maxGroupBytes-audit.MaxRecordBytes {
		l.queue = append(l.queue, newBatch(l.room))
		l.room = nil
	}
	b := l.queue[len(l.queue)-1]
	before := len(b.buf)
	place, ok := b.add(r, waits)
	l.queued += len(b.buf) - before
	l.mu.Unlock()
	if !ok {
		return audit.Entry{}, report.Errorf(report.Internal, report.Place{}, "a record larger than %d bytes", audit.MaxRecordBytes)
	}
	wake(l.write)
	if !waits {
		return audit.Entry{}, nil
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return audit.Entry{}, ctx.Err()
	}
	if b.err != nil {
		return audit.Entry{}, unavailable("the audit log takes no records", b.err, time.Second)
	}
	e := audit.Entry{Log: l.cfg.Origin, Index: b.first + uint64(place)}
	if r.Kind == audit.Signature {
		l.requests.note(r.Caller, r.Request, e.Index)
	}
	return e, nil
}

// retryJournal is how often a journal that took nothing is tried again.
const retryJournal = 250 * time.Millisecond

// writeLoop makes batches durable, one after the other: while one is written the next one fills.
func (l *Log) writeLoop() {
	defer close(l.written)
	var pace pace
	for {
		if d := pace.wait(time.Now()); d > 0 {
			l.pause(d)
		}
		l.mu.Lock()
		var b *batch
		if l.down == nil && len(l.queue) > 0 {
			b = l.queue[0]
			l.queue = l.queue[1:]
			l.queued -= len(b.buf) - groupHeader
			l.writing = time.Now()
			pace.begin(l.writing, b.count)
		}
		down, closed := l.down != nil, l.closed
		l.mu.Unlock()
		switch {
		case b != nil:
			l.commit(b)
		case closed:
			return
		case down:
			select {
			case <-l.stop:
				return
			case <-time.After(retryJournal):
			}
			l.revive()
		default:
			select {
			case <-l.write:
			case <-l.stop:
			}
		}
	}
}

// commit writes a batch to the journal and tells those who wait.
func (l *Log) commit(b *batch) {
	err := l.journal.write(l.next, b.count, b.buf)
	l.mu.Lock()
	l.writing = time.Time{}
	if err != nil {
		l.fail(b, err)
		l.mu.Unlock()
		l.log.Error("the audit log takes no records", "error", err)
		return
	}
	b.first = l.next
	l.next += uint64(b.count)
	for _, record := range framed(slices.Clone(b.buf[groupHeader:]), b.count) {
		l.backlog = append(l.backlog, record)
		l.backBytes += len(record)
	}
	l.room = b.buf
	l.mu.Unlock()
	close(b.done)
	wake(l.integrate)
}

// fail refuses those who wait, in the queue too: their callers know best whether to ask again. What nobody waits for is kept.
func (l *Log) fail(b *batch, err error) {
	l.down = err
	kept := newBatch(nil)
	l.queued = 0
	all := append([]*batch{b}, l.queue...)
	for _, b := range all {
		b.err = err
		for i, record := range framed(b.buf[groupHeader:], b.count) {
			if !b.waits[i] {
				kept.buf = binary.BigEndian.AppendUint32(kept.buf, uint32(len(record)))
				kept.buf = append(kept.buf, record...)
				kept.waits = append(kept.waits, false)
				kept.count++
			}
		}
		close(b.done)
	}
	l.queue = nil
	if kept.count > 0 {
		l.queue = []*batch{kept}
		l.queued = len(kept.buf) - groupHeader
	}
}

// revive tries whether the journal can be written again. A segment that the tree has overtaken gives its room first.
func (l *Log) revive() {
	l.mu.Lock()
	overtaken := l.tree == l.next
	l.mu.Unlock()
	var err error
	if overtaken {
		err = l.journal.clear()
	}
	if err == nil {
		err = l.journal.begin(l.next)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.log.Info("the audit log takes records again", "was", l.down)
	}
	l.down = err
}
