package signer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// clock is a time that tests move.
type clock struct {
	mutex sync.Mutex
	at    time.Time
}

func (c *clock) now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.at = c.at.Add(d)
}

func quotaOf(t *testing.T, err error, code report.Code) *report.Error {
	t.Helper()
	e, ok := errors.AsType[*report.Error](err)
	if !ok || e.Code != code || e.Quota == nil || e.Quota.Subject != "clients/gw/roles/gw" {
		t.Fatalf("%v, want %s", err, code)
	}
	return e
}

var anything = []Grant{{Keys: []string{"keys/EXMP01/*"}, Operations: []Operation{OpSignXML, OpVerify, OpList}}}

// A bucket gives its burst, then its rate, and says when the next call will be let in: not a moment later, nor earlier.
func TestRate(t *testing.T) {
	w := newWorld(t, party{"gw", "gw.example.ru", anything, Quota{Rate: 4, Burst: 3}},
		party{"other", "other.example.ru", anything, Quota{}})
	c := &clock{at: time.Now()}
	w.now = c.now
	gw, other := w.caller(t, "gw.example.ru"), w.caller(t, "other.example.ru")
	list := func() error { _, err := w.ListKeys(t.Context(), gw); return err }
	for range 3 {
		if err := list(); err != nil {
			t.Fatal(err)
		}
	}
	e := quotaOf(t, list(), report.QuotaExceeded)
	if e.RetryAfter != 250*time.Millisecond || e.Quota.Limit != "rate" || e.Quota.Value != 4 {
		t.Errorf("%+v %+v", e, e.Quota)
	}
	c.pass(100 * time.Millisecond)
	if e := quotaOf(t, list(), report.QuotaExceeded); e.RetryAfter < 149*time.Millisecond || e.RetryAfter > 151*time.Millisecond {
		t.Error(e.RetryAfter)
	}
	c.pass(e.RetryAfter - 100*time.Millisecond - time.Microsecond)
	quotaOf(t, list(), report.QuotaExceeded)
	c.pass(2 * time.Microsecond)
	if err := list(); err != nil {
		t.Error(err)
	}
	// All operations draw on it, and the other client's is another.
	if _, err := w.SignXML(t.Context(), gw,
		SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()}); code(err) != "quota.exceeded" {
		t.Error(err)
	}
	if _, err := w.VerifyXML(t.Context(), gw, VerifyXMLRequest{Document: unsigned()}); code(err) != "quota.exceeded" {
		t.Error(err)
	}
	if _, err := w.ListKeys(t.Context(), other); err != nil {
		t.Error(err)
	}
	// A change of the policy refills nothing; after a long pause there is a burst again, of the new size.
	w.SetAccess(accessOf(t, party{"gw", "gw.example.ru", anything, Quota{Rate: 4, Burst: 2}}))
	gw = w.caller(t, "gw.example.ru")
	quotaOf(t, list(), report.QuotaExceeded)
	c.pass(time.Hour)
	for range 2 {
		if err := list(); err != nil {
			t.Error(err)
		}
	}
	quotaOf(t, list(), report.QuotaExceeded)
	c.pass(-time.Hour) // a clock that is set back gives nothing and breaks nothing
	quotaOf(t, list(), report.QuotaExceeded)
	usage := w.Usage()
	if u := usage[0]; u.Client != "gw" || u.Role != "gw" || u.Calls != 6 || u.Rate != 8 || u.Running != 0 {
		t.Errorf("%+v", usage)
	}
}

func TestConcurrent(t *testing.T) {
	w := newWorld(t, party{"gw", "gw.example.ru", anything, Quota{Concurrent: 2, MessageBytes: 1000}})
	c := &clock{at: time.Now()}
	w.now = c.now
	gw := w.caller(t, "gw.example.ru")
	enter := func() (entry, error) { return w.enter(t.Context(), gw, OpVerify, 10) }
	first, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	c.pass(80 * time.Millisecond)
	first.leave(c.now()) // a mean of 10 ms by now
	var in []entry
	for range 2 {
		e, err := enter()
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, e)
	}
	_, err = enter()
	if e := quotaOf(t, err, report.QuotaExceeded); e.RetryAfter != 5*time.Millisecond || e.Quota.Value != 2 ||
		e.Quota.Limit != "concurrent" {
		t.Errorf("%+v %+v", e, e.Quota)
	}
	// Calls at work count across a change of the policy, and leave what they entered.
	w.SetAccess(accessOf(t, party{"gw", "gw.example.ru", anything, Quota{Concurrent: 1, MessageBytes: 1000}}))
	gw = w.caller(t, "gw.example.ru")
	in[0].leave(c.now())
	if _, err = enter(); code(err) != "quota.exceeded" {
		t.Error(err)
	}
	in[1].leave(c.now())
	if _, err = enter(); err != nil {
		t.Error(err)
	}
	// However it ends, a call leaves.
	for range 3 {
		if _, err := w.SignXML(t.Context(), w.admin,
			SignXMLRequest{Key: "keys/EXMP01/none", Profile: "smev3"}); code(err) != "key.unknown" {
			t.Error(err)
		}
	}
	for _, c := range w.Access().callers {
		for _, s := range c.roles {
			if s.meter.running != 0 && c.name != "gw" {
				t.Errorf("%s: %d at work", c.name, s.meter.running)
			}
		}
	}
	_, err = w.VerifyXML(t.Context(), gw, VerifyXMLRequest{Document: make([]byte, 600), Content: make([]byte, 401)})
	if e := quotaOf(t, err, report.QuotaExceeded); e.RetryAfter != 0 || e.Quota.Value != 1000 || e.Quota.Limit != "message_bytes" {
		t.Errorf("%+v %+v", e, e.Quota)
	}
}

// What is refused is refused before the key is touched; a flood of refusals is told of by its number.
func TestFloodOfRefusals(t *testing.T) {
	w := newWorld(t, party{"gw", "gw.example.ru", anything, Quota{Rate: 1}})
	c := &clock{at: time.Now()}
	w.now = c.now
	gw := w.caller(t, "gw.example.ru")
	sign := func() error {
		_, err := w.SignXML(context.Background(), gw, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()})
		return err
	}
	if err := sign(); err != nil {
		t.Fatal(err)
	}
	for range 10000 {
		quotaOf(t, sign(), report.QuotaExceeded)
	}
	key, _ := w.ring.Key("keys/EXMP01/ov")
	if n := key.(*softKey).count; n != 1 {
		t.Errorf("the key was asked %d times", n)
	}
	if n := strings.Count(w.log.String(), "quota.exceeded"); n == 0 || n > 2*linesAtOnce {
		t.Errorf("%d occurrences in the log", n)
	}
	c.pass(time.Second)
	w.SetAccess(accessOf(t, party{"gw", "gw.example.ru", nil, Quota{}}))
	gw = w.caller(t, "gw.example.ru")
	if err := sign(); code(err) != "access.denied" {
		t.Error(err)
	}
	if !strings.Contains(w.log.String(), "untold_before=9980") {
		t.Errorf("the number of refusals that were not told is not told")
	}
	if u := w.Usage(); u[len(u)-1].Denied != 1 {
		t.Errorf("%+v", u)
	}
}

func BenchmarkEnter(b *testing.B) {
	a, err := NewAccess([]Role{{Name: "r", Grants: anything, Quota: Quota{Rate: 1e9, Concurrent: 100, MessageBytes: 1 << 20}}},
		[]Client{{Name: "c", SANs: []string{"c.ru"}, Roles: []string{"r"}}})
	if err != nil {
		b.Fatal(err)
	}
	s := &Service{now: time.Now}
	s.access.Store(a)
	caller, err := a.Caller([]string{"c.ru"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		in, err := s.enter(context.Background(), caller, OpVerify, 1000)
		if err != nil {
			b.Fatal(err)
		}
		in.leave(s.now())
	}
}

// Streams are read no faster than the rate allows, a MiB a call, and no further than they may bring.
func TestPacedStream(t *testing.T) {
	sign := []Grant{{Keys: []string{"keys/EXMP01/*"}, Operations: []Operation{OpSignCMS, OpVerify}}}
	w := newWorld(t, party{"gw", "gw.example.ru", sign, Quota{Rate: 200, Burst: 1, StreamBytes: 6 << 20}})
	gw := w.caller(t, "gw.example.ru")
	var message bytes.Buffer
	stream := func(n int64) error {
		_, err := w.SignCMSStream(t.Context(), gw, SignCMSStreamRequest{Key: "keys/EXMP01/ov", Profile: "cades-bes-detached", Size: n},
			io.LimitReader(zeros{}, n), &message)
		return err
	}
	begun := time.Now()
	if err := stream(6 << 20); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < 25*time.Millisecond { // the first call was in the bucket, six more came at 200 a second
		t.Errorf("took %v", took)
	}
	time.Sleep(10 * time.Millisecond)
	if e := quotaOf(t, stream(6<<20+1), report.QuotaExceeded); e.Quota.Limit != "stream_bytes" ||
		e.Quota.Value != 6<<20 || e.RetryAfter != 0 {
		t.Errorf("%+v %+v", e, e.Quota)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	w.SetAccess(accessOf(t, party{"slow", "slow.example.ru", sign, Quota{Rate: 0.1, Burst: 1}}))
	_, err := w.VerifyCMSStream(ctx, w.caller(t, "slow.example.ru"),
		VerifyCMSStreamRequest{Detached: true, Message: message.Bytes()}, zeros{})
	if code(err) != "deadline" {
		t.Error(err)
	}
	if u := w.Usage(); u[0].Running != 0 {
		t.Errorf("%+v", u)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
