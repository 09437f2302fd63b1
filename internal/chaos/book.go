package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/reliability/runs"
)

// book is kept while the exercise goes on.
type book struct {
	open, signed atomic.Int64 // requests under way; signatures got
	probed       atomic.Int64 // signatures got beside those
	wrong        atomic.Int64
	sample       *sample

	mutex   sync.Mutex
	refused int
	events  []*happening
	report  report
}

// happening is an event and when it was.
type happening struct {
	kinds      []hsm.Kind
	tokens     int
	begun, end time.Time // end is zero while it lasts
}

func newBook(c config) *book {
	return &book{sample: newSample(c.n), report: report{config: c, refused: map[hsm.Kind]int{}, needless: map[hsm.Kind]int{}}}
}

func (b *book) begin(e event, hit []*target) *happening {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	h := &happening{begun: time.Now()}
	for i, s := range e.strikes {
		if hit[i] != nil {
			h.kinds = append(h.kinds, faults[s.fault].kinds...)
			h.tokens++
			b.report.met++
		}
	}
	if b.report.locked {
		h.tokens++ // it is out as well
	}
	b.events = append(b.events, h)
	return h
}

func (b *book) end(h *happening) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	h.end = time.Now()
}

// lock notes that a token will be locked out from now on.
func (b *book) lock(t *target) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	t.locked, b.report.locked = true, true
	b.events = append(b.events, &happening{kinds: []hsm.Kind{hsm.PINRefused}, tokens: 1, begun: time.Now()})
}

// verify checks a signature by itself.
func (b *book) verify(public *gost.PublicKey, digest, signature []byte) bool {
	b.probed.Add(1)
	if err := public.Verify(digest, signature); err != nil {
		b.wrong.Add(1)
		b.stray(fmt.Sprintf("a wrong signature was given out: %x for %x: %v", signature, digest, err))
		return false
	}
	return true
}

// refusal notes why a request was refused, and whether that can be understood from what happened during its life.
func (b *book) refusal(err error, begun time.Time, within time.Duration) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.refused++
	e, ok := errors.AsType[*hsm.Error](err)
	if !ok {
		b.strange(fmt.Sprintf("refused with an error of no kind: %v", err))
		return
	}
	b.report.refused[e.Kind]++
	may := []hsm.Kind{hsm.Busy, hsm.Away, hsm.Expired}
	most, last := 0, len(b.events)-1
	for i := last; i >= 0; i-- {
		h := b.events[i]
		if !h.end.IsZero() && h.end.Before(begun) {
			continue // the one that locks a token out never ends
		}
		may = append(may, h.kinds...)
		most = max(most, h.tokens)
	}
	if !slices.Contains(may, e.Kind) {
		b.strange(fmt.Sprintf("refused with %v, which no fault explains: %v", e.Kind, err))
	}
	if e.Kind == hsm.Busy && e.RetryAfter == 0 || e.Kind == hsm.Away && e.RetryAfter == 0 {
		b.strange(fmt.Sprintf("refused with %v, and not told when to come again: %v", e.Kind, err))
	}
	if most < 2 && within > time.Second { // the other token was well, and there was time
		b.report.needless[e.Kind]++
		if len(b.report.example) < 8 {
			b.report.example = append(b.report.example, err.Error())
		}
	}
}

// strange is called with the mutex held.
func (b *book) strange(text string) {
	b.report.strays++
	if len(b.report.stray) < 20 {
		b.report.stray = append(b.report.stray, text)
	}
}

// stray notes what must not happen.
func (b *book) stray(text string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.strange(text)
}

func (b *book) late(number int, took, within time.Duration) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.report.lost++
	b.strange(fmt.Sprintf("request %d had its answer after %v; its time was %v", number, took, within))
}

func (b *book) abandoned(n int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.report.lost += n
	b.strange(fmt.Sprintf("%d requests have no answer", n))
}

func (b *book) replaced() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.report.replaced++
}

// answers counts the requests that have one.
func (b *book) answers() int64 {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.signed.Load() + int64(b.refused)
}

// recovery notes how long a token took. A code that comes again and again is more than one dead session.
func (b *book) recovery(s strike, took time.Duration) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	f := faults[s.fault]
	name, class := f.name, f.class
	if class != other && class < device && f.act == nil && !strings.Contains(strings.Join(s.lines, " "), " at=") {
		name, class = name+", repeatedly", device
	}
	for i := range b.report.recoveries {
		if r := &b.report.recoveries[i]; r.Fault == name {
			r.Took = append(r.Took, took)
			return
		}
	}
	b.report.recoveries = append(b.report.recoveries, recovery{class,
		runs.Recovery{Fault: name, Promised: promised[class], Took: []time.Duration{took}}})
}

// finish settles the figures.
func (b *book) finish() *report {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	r := &b.report
	r.signed, r.wrong = int(b.signed.Load()), int(b.wrong.Load())
	r.verified, r.sampled = int(b.probed.Load()), len(b.sample.taken)
	if answered := r.signed + b.refused; answered != r.n && r.lost == 0 {
		r.lost = r.n - answered
	}
	return r
}
