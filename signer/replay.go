package signer

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// RequestIDs bound what is remembered of answers for callers that ask again. The zero value of a field means its default. The
// memory is lost when the process ends.
type RequestIDs struct {
	TTL        time.Duration // how long an answer is remembered, default 5 minutes
	Entries    int           // answers of one caller, default 10000
	Bytes      int64         // of one caller's answers together, default 32 MiB
	TotalBytes int64         // of all callers' answers, default 128 MiB; beyond it whoever has most forgets his oldest
}

func (l RequestIDs) withDefaults() RequestIDs {
	if l.TTL == 0 {
		l.TTL = 5 * time.Minute
	}
	if l.Entries == 0 {
		l.Entries = 10000
	}
	if l.Bytes == 0 {
		l.Bytes = 32 << 20
	}
	if l.TotalBytes == 0 {
		l.TotalBytes = 128 << 20
	}
	return l
}

// maxRequestID is the length of the longest request id.
const maxRequestID = 128

func checkRequestID(id string) error {
	wrong := len(id) > maxRequestID
	for i := 0; i < len(id) && !wrong; i++ {
		wrong = id[i] <= ' ' || id[i] > '~'
	}
	if wrong {
		return report.Errorf(report.RequestInvalid, report.Place{Path: "request_id"},
			"a request id has at most %d printable ASCII characters, without blanks", maxRequestID)
	}
	return nil
}

// requestHash tells requests apart, field by field.
type requestHash struct{ h hash.Hash }

// requestSum is equal for equal requests only. It does not leave the process, nor outlive it.
type requestSum [sha256.Size]byte

// payloadMAC is GMAC, NIST SP 800-38D, with a key that is forgotten with the process: as a hash of what may be long it takes a
// quarter of SHA-256's time. Nobody sees a tag, so nobody learns of the key what it would take to find two payloads with one tag,
// and one nonce does for all. nil where the standard library is told to keep GCM from fixed nonces.
var payloadMAC = sync.OnceValue(func() cipher.AEAD {
	key := make([]byte, 16)
	_, _ = rand.Read(key)          // never fails
	block, _ := aes.NewCipher(key) // 16 octets are a key
	mac, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	return mac
})

func hashRequest(op Operation, fields ...string) requestHash {
	p := requestHash{sha256.New()}
	for _, f := range append([]string{string(op)}, fields...) {
		p.add([]byte(f))
	}
	return p
}

func (p requestHash) add(field []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(field)))
	p.h.Write(size[:])
	p.h.Write(field)
}

// payload adds a field that may be long.
func (p requestHash) payload(field []byte) {
	mac := payloadMAC()
	if mac == nil || len(field) < 256 {
		p.add(field)
		return
	}
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(field)))
	p.h.Write(size[:])
	var tag [16]byte
	p.h.Write(mac.Seal(tag[:0], make([]byte, mac.NonceSize()), nil, field))
}

func (p requestHash) time(t time.Time) {
	if t.IsZero() {
		p.add(nil)
		return
	}
	p.add(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(t.Unix())), uint64(t.Nanosecond())))
}

func (p requestHash) sum() (out requestSum) {
	p.h.Sum(out[:0])
	return out
}

// recipe makes an answer of the payload of its request again: head, a part of the payload, middle, another part. Signatures
// change little of what they sign, so a recipe is small where the answer is large.
type recipe struct {
	head, middle  []byte
	first, second span
}

type span struct{ from, to int }

// containable is the length from which on a payload is looked for in its answer: below that the literal octets cost no more.
const containable = 64

func recipeOf(payload, answer []byte) recipe {
	prefix := commonPrefix(payload, answer)
	suffix := commonSuffix(payload[prefix:], answer[prefix:])
	r := recipe{first: span{0, prefix}, second: span{len(payload) - suffix, len(payload)}}
	literal := answer[prefix : len(answer)-suffix]
	// Content in a message, where not even the first octet is the payload's.
	if extra := len(answer) - len(payload); extra >= 0 && len(payload) >= containable && len(literal) > extra {
		if at := bytes.Index(answer, payload); at >= 0 {
			return recipe{
				head: bytes.Clone(answer[:at]), first: span{0, len(payload)}, middle: bytes.Clone(answer[at+len(payload):]),
			}
		}
	}
	r.middle = bytes.Clone(literal)
	return r
}

func (r *recipe) apply(payload []byte) []byte {
	out := make([]byte, 0, len(r.head)+len(r.middle)+r.first.to-r.first.from+r.second.to-r.second.from)
	out = append(append(out, r.head...), payload[r.first.from:r.first.to]...)
	return append(append(out, r.middle...), payload[r.second.from:r.second.to]...)
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n && binary.NativeEndian.Uint64(a[i:]) == binary.NativeEndian.Uint64(b[i:]); i += 8 {
	}
	for ; i < n && a[i] == b[i]; i++ {
	}
	return i
}

func commonSuffix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n && binary.NativeEndian.Uint64(a[len(a)-i-8:]) == binary.NativeEndian.Uint64(b[len(b)-i-8:]); i += 8 {
	}
	for ; i < n && a[len(a)-1-i] == b[len(b)-1-i]; i++ {
	}
	return i
}

// replays remember answers by caller and request id. Safe for concurrent use.
type replays struct {
	limits RequestIDs
	now    func() time.Time

	mutex   sync.Mutex
	callers map[string]*remembered
	bytes   int64
	sweeper *time.Timer // runs while something is remembered
}

// remembered is what is known of one caller's requests.
type remembered struct {
	byID           map[string]*replay
	oldest, newest *replay // of those answered, by the time at which they were
	answered       int
	bytes          int64
}

// replay is a request with an id: at work until done is closed; then answered, or forgotten.
type replay struct {
	id       string
	sum      [sha256.Size]byte
	done     chan struct{}
	answered bool
	until    time.Time
	next     *replay

	// The answer. Not changed once done is closed.
	recipe recipe
	signed Signed // without Bytes
	key    Key
	digest []byte // that the token signed
	value  gost.Verified
	stream *cms.Input // of a stream: what else its message was made of
}

// cost is the memory that an answer takes, about.
func (r *replay) cost() int64 {
	const fixed = 640 // with the signature
	return int64(fixed + len(r.id) + len(r.recipe.head) + len(r.recipe.middle) + len(r.digest))
}

func newReplays(limits RequestIDs, now func() time.Time) *replays {
	return &replays{limits: limits.withDefaults(), now: now, callers: map[string]*remembered{}}
}

// limit puts other bounds in force. What is remembered keeps its time, and gives way when the next answer comes.
func (r *replays) limit(l RequestIDs) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.limits = l.withDefaults()
}

// claim begins a request with an id. When it has been answered, told is true, and the replay has the answer; when it is at work, claim
// waits for that. Otherwise the request is now the caller's to answer: he must call settle. Another request under the id is
// refused.
func (r *replays) claim(ctx context.Context, caller, id string, sum requestSum) (c *replay, told bool, err error) {
	if err := checkRequestID(id); err != nil {
		return nil, false, err
	}
	for {
		c, mine := r.enter(caller, id, sum)
		if mine {
			return c, false, nil
		}
		if c.sum != sum {
			return nil, false, report.Errorf(report.RequestIDReused, report.Place{Path: "request_id"},
				"another request has this request_id")
		}
		select {
		case <-c.done:
			if c.answered {
				return c, true, nil
			}
		case <-ctx.Done():
			return nil, false, expired(ctx)
		}
	}
}

func (r *replays) enter(caller, id string, sum requestSum) (c *replay, mine bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	m := r.callers[caller]
	if m == nil {
		m = &remembered{byID: map[string]*replay{}}
		r.callers[caller] = m
	}
	r.expire(m)
	if c := m.byID[id]; c != nil {
		return c, false
	}
	c = &replay{id: id, sum: sum, done: make(chan struct{})}
	m.byID[id] = c
	return c, true
}

// settle ends a claim: answered, it is remembered; otherwise whoever waits for it tries by himself.
func (r *replays) settle(caller string, c *replay, answered bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	defer close(c.done)
	m := r.callers[caller]
	if !answered {
		delete(m.byID, c.id)
		r.tidy(caller, m)
		return
	}
	c.answered, c.until = true, r.now().Add(r.limits.TTL)
	if m.newest == nil {
		m.oldest = c
	} else {
		m.newest.next = c
	}
	m.newest = c
	m.answered++
	m.bytes += c.cost()
	r.bytes += c.cost()
	for m.answered > r.limits.Entries || m.bytes > r.limits.Bytes {
		r.forget(m)
	}
	for r.bytes > r.limits.TotalBytes {
		r.forget(r.largest())
	}
	if r.sweeper == nil && r.bytes > 0 {
		r.sweeper = time.AfterFunc(r.limits.TTL, r.sweep)
	}
}

func (r *replays) largest() (most *remembered) {
	for _, m := range r.callers {
		if most == nil || m.bytes > most.bytes {
			most = m
		}
	}
	return most
}

// forget takes the oldest answer away.
func (r *replays) forget(m *remembered) {
	c := m.oldest
	if m.oldest = c.next; m.oldest == nil {
		m.newest = nil
	}
	delete(m.byID, c.id)
	m.answered--
	m.bytes -= c.cost()
	r.bytes -= c.cost()
}

func (r *replays) expire(m *remembered) {
	for now := r.now(); m.oldest != nil && !now.Before(m.oldest.until); {
		r.forget(m)
	}
}

func (r *replays) tidy(caller string, m *remembered) {
	if len(m.byID) == 0 {
		delete(r.callers, caller)
	}
}

// sweep forgets what nobody asks for any more.
func (r *replays) sweep() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for name, m := range r.callers {
		r.expire(m)
		r.tidy(name, m)
	}
	r.sweeper = nil
	if r.bytes > 0 {
		r.sweeper = time.AfterFunc(r.limits.TTL/4, r.sweep)
	}
}

// answer keeps what was answered, and says whether anything was.
func (a *act) answer(c *replay, out Signed) bool {
	if out.Key == "" {
		return false
	}
	c.signed, c.key, c.value, c.digest = out, a.key, a.value, a.digest
	c.signed.Bytes = nil
	if a.remember != nil {
		a.remember(c, out.Bytes)
	} else {
		c.recipe = recipeOf(a.payload, out.Bytes)
	}
	return true
}

// retell answers as an earlier request was answered. That leaves a record of its own, of which the first answer's is the
// original.
func (s *Service) retell(ctx context.Context, a *act, c *replay) (out Signed, err error) {
	a.name, a.key, a.digest, a.value, a.original = c.signed.Key, c.key, c.digest, c.value, &c.signed.Audit
	out = c.signed
	if a.again != nil {
		out.Bytes, err = a.again(c)
	} else {
		out.Bytes = c.recipe.apply(a.payload)
	}
	if err != nil {
		return Signed{}, err
	}
	if err := s.keep(ctx, a); err != nil {
		return Signed{}, err
	}
	out.Replayed = true
	return out, nil
}
