package signer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// Quota bounds what each client may ask for under a role, all its connections taken together. The zero value of a field is
// no bound.
type Quota struct {
	Rate         float64 // calls a second in the long run, more than 0
	Burst        int     // calls at once after a pause; 0: those of a second, at least one
	Concurrent   int     // calls at work at once
	MessageBytes int     // octets of a request's contents together
	StreamBytes  int64   // octets of what one stream brings
}

// The limits by their names in a policy.
const (
	limitRate       = "rate"
	limitConcurrent = "concurrent"
	limitSize       = "message_bytes"
	limitStream     = "stream_bytes"
)

func (q Quota) check() error {
	switch {
	case q.Rate < 0 || math.IsNaN(q.Rate) || q.Rate > 1e9 || q.Burst < 0 || q.Concurrent < 0 || q.MessageBytes < 0 || q.StreamBytes < 0:
		return errors.New("a limit is out of range")
	case q.Burst > 0 && q.Rate == 0:
		return errors.New("a burst without a rate bounds nothing")
	}
	return nil
}

// burst is what a bucket holds.
func (q *Quota) burst() float64 {
	if q.Burst > 0 {
		return float64(q.Burst)
	}
	return max(1, math.Ceil(q.Rate))
}

// bucket is a token bucket. What it holds at a time follows from what it held before.
type bucket struct {
	tokens float64
	at     time.Time // zero: full
}

// fill brings the bucket to a time.
func (b *bucket) fill(rate, most float64, now time.Time) {
	switch {
	case b.at.IsZero():
		b.tokens = most
	case now.After(b.at):
		b.tokens = min(most, b.tokens+rate*now.Sub(b.at).Seconds())
	default: // the clock was set back, or two calls overtook each other
		b.tokens = min(most, b.tokens)
		return
	}
	b.at = now
}

// wait is when a token will be there.
func (b *bucket) wait(rate float64) time.Duration {
	return time.Duration(math.Ceil((1 - b.tokens) / rate * float64(time.Second)))
}

// meter is what a client uses of a role's quota.
type meter struct {
	mutex   sync.Mutex
	bucket  bucket
	running int
	mean    time.Duration // of calls, lately

	calls, rate, concurrent, size int64 // let in, and refused for each reason
}

// take lets a call in, or says which limit it goes over. Nobody waits.
func (m *meter) take(q *Quota, octets int, now time.Time) (limit string, wait time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if q.MessageBytes > 0 && octets > q.MessageBytes {
		m.size++
		return limitSize, 0
	}
	if q.Concurrent > 0 && m.running >= q.Concurrent {
		m.concurrent++
		// One of those at work is expected to end by then, as long as calls take.
		return limitConcurrent, min(max(m.mean/time.Duration(m.running), time.Millisecond), time.Minute)
	}
	if q.Rate > 0 {
		if m.bucket.fill(q.Rate, q.burst(), now); m.bucket.tokens < 1 {
			m.rate++
			return limitRate, m.bucket.wait(q.Rate)
		}
		m.bucket.tokens--
	}
	m.running++
	m.calls++
	return "", 0
}

func (m *meter) leave(took time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.running--
	m.mean += (took - m.mean) / 8
}

// account is what is remembered of a client from call to call.
type account struct {
	denied  atomic.Int64 // calls that no role grants
	refusal lines
}

// entry is a call that was let in under a role.
type entry struct {
	standing *standing
	begun    time.Time
}

// flow is how the call waits for a key.
func (e entry) flow(took *Timings) Flow {
	return Flow{Client: e.standing.flow, Weight: e.standing.weight, Took: took}
}

// leave gives the call's place back.
func (e entry) leave(now time.Time) {
	if e.standing != nil {
		e.standing.meter.leave(now.Sub(e.begun))
	}
}

// enter lets a call in that was authorized, unless it goes over a limit.
func (c *Caller) enter(s *standing, octets int, now time.Time) (entry, error) {
	q := &s.role.Quota
	limit, wait := s.meter.take(q, octets, now)
	if limit == "" {
		return entry{s, now}, nil
	}
	return entry{}, s.exceeded(limit, octets, wait)
}

// exceeded is the refusal of a call that goes over a limit; wait is when to try again, 0 when that is of no use.
func (s *standing) exceeded(limit string, octets int, wait time.Duration) error {
	e := &report.Error{Code: report.QuotaExceeded, Place: report.Place{Path: limit}, RetryAfter: wait}
	e.Quota = &report.Quota{Subject: s.subject, Limit: limit}
	q, under := &s.role.Quota, "under role "+s.role.Name
	switch limit {
	case limitStream:
		e.Quota.Value = q.StreamBytes
		e.Message = fmt.Sprintf("%s a stream may bring %d bytes", under, q.StreamBytes)
	case limitSize:
		e.Quota.Value = int64(q.MessageBytes)
		e.Message = fmt.Sprintf("the request has %d bytes; %s it may have %d", octets, under, q.MessageBytes)
	case limitConcurrent:
		e.Quota.Value = int64(q.Concurrent)
		e.Message = fmt.Sprintf("%s %d calls may be at work at once", under, q.Concurrent)
	default:
		e.Quota.Value = int64(math.Ceil(q.Rate))
		e.Message = fmt.Sprintf("%s %s calls a second may be made, and %g at once after a pause", under,
			strconv.FormatFloat(q.Rate, 'g', 4, 64), q.burst())
	}
	return e
}

// paceUnit is how much of a stream counts as a call.
const paceUnit = 1 << 20

// paced is the content of a stream, of which every further MiB counts as a call of the role's rate: it is read no faster.
type paced struct {
	from io.Reader
	in   entry
	ctx  context.Context // of the one call that reads
	now  func() time.Time
	read int64
}

func (s *Service) paced(ctx context.Context, in entry, from io.Reader) io.Reader {
	return &paced{from: from, in: in, ctx: ctx, now: s.now}
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	before := p.read
	p.read += int64(n)
	q := &p.in.standing.role.Quota
	if q.StreamBytes > 0 && p.read > q.StreamBytes {
		return 0, p.in.standing.exceeded(limitStream, 0, 0)
	}
	for owed := p.read/paceUnit - before/paceUnit; owed > 0 && q.Rate > 0; {
		wait := p.in.standing.meter.pay(q, p.now())
		if wait == 0 {
			owed--
			continue
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-p.ctx.Done():
			pause.Stop()
			return 0, expired(p.ctx)
		}
	}
	return n, err
}

// pay takes a token from the bucket, or says when there will be one.
func (m *meter) pay(q *Quota, now time.Time) time.Duration {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.bucket.fill(q.Rate, q.burst(), now); m.bucket.tokens < 1 {
		return m.bucket.wait(q.Rate)
	}
	m.bucket.tokens--
	return 0
}

// lines bounds how often something is told: as often as it happens while that is seldom, else once a second. The zero value is
// ready.
type lines struct {
	mutex  sync.Mutex
	bucket bucket
	untold int
}

const linesAtOnce = 20

// tell says whether to tell now, and of how many times nothing was told since it last was.
func (l *lines) tell(now time.Time) (untold int, ok bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.bucket.fill(1, linesAtOnce, now); l.bucket.tokens < 1 {
		l.untold++
		return 0, false
	}
	l.bucket.tokens--
	untold, l.untold = l.untold, 0
	return untold, true
}

// Usage is what a client has asked for under a role since the service began, and what for under none.
type Usage struct {
	Client, Role           string // Role is empty in the client's last line: calls that no role grants are Denied
	Calls                  int64  // let in
	Rate, Concurrent, Size int64  // refused, by the limit that they went over
	Denied                 int64
	Running                int // now
}

// Usage tells of every client and role of the present policy, in its order.
func (s *Service) Usage() []Usage {
	var list []Usage
	for _, c := range s.Access().callers {
		for _, r := range c.roles {
			r.meter.mutex.Lock()
			list = append(list, Usage{
				Client: c.name, Role: r.role.Name, Calls: r.meter.calls, Rate: r.meter.rate, Concurrent: r.meter.concurrent,
				Size: r.meter.size, Running: r.meter.running,
			})
			r.meter.mutex.Unlock()
		}
		list = append(list, Usage{Client: c.name, Denied: c.denied.Load()})
	}
	return list
}
