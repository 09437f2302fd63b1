package tlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

const origin = "epov.example.ru/audit/test"

// softKey is a key that signs checkpoints, in software.
type softKey struct {
	key  *gost.PrivateKey
	cert *gost.Certificate
	mu   sync.Mutex
	fail error
}

func newSoftKey(tb testing.TB) *softKey {
	tb.Helper()
	key, cert := testpki.NewCA(tb, gost.GOST2012_256, "tc26-256-B").NewSigner(tb, gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	return &softKey{key: key, cert: cert}
}

func (k *softKey) Public() *gost.PublicKey { return k.key.Public().(*gost.PublicKey) }
func (k *softKey) SignDigest(_ context.Context, digest []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, k.fail
	}
	return k.key.Sign(rand.Reader, digest, nil)
}

func (k *softKey) failing(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

// open opens a log and closes it at the end of the test.
func open(tb testing.TB, dir string, change ...func(*Config)) *Log {
	tb.Helper()
	c := Config{Dir: dir, Origin: origin, Interval: minInterval, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range change {
		f(&c)
	}
	l, err := Open(context.Background(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { shut(tb, l) })
	return l
}

func shut(tb testing.TB, l *Log) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		tb.Error(err)
	}
}

func record(n int) audit.Record {
	return audit.Record{
		Time: time.Now(), Kind: audit.Signature, Caller: "gateway", Operation: "sign-xml", Key: "keys/EXMP01/ov/versions/1",
		Profile: "smev3", Signature: fmt.Sprintf("%064x", n), Request: fmt.Sprintf("request-%d", n), Outcome: audit.Done,
	}
}

func add(tb testing.TB, l *Log, n int) uint64 {
	tb.Helper()
	e, err := l.Record(tb.Context(), record(n))
	if err != nil {
		tb.Fatal(err)
	}
	return e.Index
}

func code(err error) report.Code {
	if e, ok := errors.AsType[*report.Error](err); ok {
		return e.Code
	}
	return ""
}

func keyOf(tb testing.TB, l *Log) *audit.Key {
	tb.Helper()
	k, err := audit.ParseKey([]byte(l.VerifierKey() + "\n"))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestReceipts(t *testing.T) {
	soft := newSoftKey(t)
	for name, change := range map[string]func(*Config){
		"key in the directory": func(*Config) {},
		"key on a token":       func(c *Config) { c.Signer = audit.NoteSigner(origin, soft, time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir(), change)
			var wg sync.WaitGroup
			for n := range 300 {
				wg.Go(func() {
					e, err := l.Record(t.Context(), record(n))
					if err != nil || e.Log != origin {
						t.Errorf("%v, %v", e, err)
						return
					}
					r, err := l.Receipt(t.Context(), e.Index)
					if err != nil {
						t.Error(err)
						return
					}
					again, err := audit.ParseReceipt(r.Marshal())
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := again.Verify(keyOf(t, l)); err != nil || again.Record.Request != fmt.Sprintf("request-%d", n) {
						t.Errorf("%v: %+v", err, again.Record)
					}
					if index, err := l.Find("gateway", fmt.Sprintf("request-%d", n)); err != nil || index != e.Index {
						t.Errorf("found %d, %v; want %d", index, err, e.Index)
					}
				})
			}
			wg.Wait()
			if _, err := l.Receipt(t.Context(), 300); code(err) != report.RecordUnknown {
				t.Error(err)
			}
			if _, err := l.Find("other", "request-1"); code(err) != report.RecordUnknown {
				t.Error(err)
			}
			if name == "key on a token" {
				r, err := l.Receipt(t.Context(), 7)
				if err != nil {
					t.Fatal(err)
				}
				for _, data := range [][]byte{soft.cert.PEM(), soft.cert.Raw, soft.Public().SubjectPublicKeyInfo()} {
					k, err := audit.ParseKey(data)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := r.Verify(k); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// TestReopen finds all records again, the request ids too, and goes on with the next number.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		l := open(t, dir)
		for n := range 100 {
			if got := add(t, l, 100*round+n); got != uint64(100*round+n) {
				t.Fatalf("record %d is number %d", 100*round+n, got)
			}
		}
		if round > 0 {
			if index, err := l.Find("gateway", "request-42"); err != nil || index != 42 {
				t.Errorf("%d, %v", index, err)
			}
		}
		shut(t, l)
		if s := l.Stats(); s.Records != s.Tree || s.Records != uint64(100*(round+1)) {
			t.Errorf("%+v", s)
		}
		if _, err := l.Record(t.Context(), record(0)); code(err) != report.AuditUnavailable {
			t.Errorf("a closed log: %v", err)
		}
	}
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	_, err := Open(t.Context(), Config{Dir: dir, Origin: origin})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a second writer: %v", err)
	}
	shut(t, l)
	if _, err := Open(t.Context(), Config{Dir: dir, Origin: "other.example.ru"}); err == nil || !strings.Contains(err.Error(), origin) {
		t.Errorf("another log's directory: %v", err)
	}
	shut(t, open(t, dir))
}

// TestJournalIsReplayed leaves records in the journal only, as a crash does, and opens the log again.
func TestJournalIsReplayed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 0)
	if _, err := l.Receipt(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	j := &journal{dir: filepath.Join(dir, "journal"), create: create}
	for group := range 5 {
		b := newBatch(nil)
		for i := range 10 {
			r := record(1 + 10*group + i)
			b.add(&r, true)
		}
		if err := j.write(uint64(1+10*group), b.count, b.buf); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time all of it is in the tree, and must not come twice
		l = open(t, dir)
		if s := l.Stats(); s.Records != 51 {
			t.Fatalf("%+v", s)
		}
		for n := range 51 {
			r, err := l.Receipt(t.Context(), uint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if r.Record.Request != fmt.Sprintf("request-%d", n) {
				t.Errorf("record %d is of %s", n, r.Record.Request)
			}
		}
		shut(t, l)
	}
}

// TestCheckpointKeyAway goes on recording while checkpoints cannot be signed, and catches up.
func TestCheckpointKeyAway(t *testing.T) {
	soft := newSoftKey(t)
	soft.failing(errors.New("the token is away"))
	l := open(t, t.TempDir(), func(c *Config) { c.Signer = audit.NoteSigner(origin, soft, time.Second) })
	index := add(t, l, 0)
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Receipt(short, index); err == nil {
		t.Fatal("a receipt without a checkpoint")
	}
	soft.failing(nil)
	await.NoError(t, func() error {
		_, err := l.Receipt(t.Context(), index)
		return err
	})
}

func TestRefusalsAreLimited(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const asked = 1000
	for range asked {
		r := audit.Record{Time: time.Now(), Kind: audit.Refusal, Caller: "broken", Operation: "sign-xml", Outcome: "access.denied"}
		if e, err := l.Record(t.Context(), r); err != nil || e.Recorded() {
			t.Fatal(e, err)
		}
	}
	add(t, l, 1)
	shut(t, l) // tells what is owed
	l = open(t, dir)
	var told, records uint64
	for i := range l.Stats().Tree {
		r, err := readRecord(t.Context(), l.reader, i, l.Stats().Tree)
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == audit.Refusal {
			records++
			told += r.Dropped
			if r.Outcome != NotRecorded {
				told++
			}
		}
	}
	if told != asked {
		t.Errorf("%d refusals are told of, there were %d", told, asked)
	}
	if records > 100 {
		t.Errorf("%d records", records)
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, flight := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprint(flight), func(b *testing.B) {
			l := open(b, b.TempDir(), func(c *Config) { c.Interval = time.Second })
			b.ReportAllocs()
			var wg sync.WaitGroup
			todo := make(chan int, flight)
			for range flight {
				wg.Go(func() {
					for n := range todo {
						for {
							_, err := l.Record(context.Background(), record(n))
							if code(err) == report.Overload {
								time.Sleep(time.Millisecond)
								continue
							}
							if err != nil {
								b.Error(err)
							}
							break
						}
					}
				})
			}
			begun, n := time.Now(), 0
			for b.Loop() {
				todo <- n
				n++
			}
			close(todo)
			wg.Wait()
			took := time.Since(begun)
			b.ReportMetric(float64(n)/took.Seconds(), "records/s")
			b.ReportMetric(took.Seconds()*1e3*float64(flight)/float64(n), "ms-latency")
		})
	}
}
