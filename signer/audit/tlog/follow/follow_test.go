package follow

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
)

const origin = `epov.example.ru/audit/[test]"`

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// list is a log in memory.
type list struct {
	mu   sync.Mutex
	all  [][]byte
	more chan struct{}
}

func (l *list) Origin() string { return origin }

func (l *list) add(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		kind := audit.Signature
		if len(l.all)%2 == 1 {
			kind = audit.Refusal
		}
		r := audit.Record{Time: time.Now(), Kind: kind, Request: strconv.Itoa(len(l.all))}
		l.all = append(l.all, r.Append(nil))
	}
	if l.more != nil {
		close(l.more)
	}
	l.more = make(chan struct{})
}

func (l *list) Read(ctx context.Context, from uint64) ([][]byte, error) {
	for {
		l.mu.Lock()
		all, more := l.all, l.more
		l.mu.Unlock()
		if from < uint64(len(all)) {
			return all[from:min(uint64(len(all)), from+7)], nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func run(t *testing.T, c Config) *Follower {
	t.Helper()
	c.Logger = quiet
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func reaches(t *testing.T, f *Follower, next uint64) {
	t.Helper()
	await.NoError(t, func() error {
		if s := f.State(); s.Next < next {
			return fmt.Errorf("the follower stays at %+v", s)
		}
		return nil
	})
}

// flaky fails now and then, after it has taken a part.
type flaky struct {
	mu    sync.Mutex
	calls int
	taken []uint64
}

func (s *flaky) Send(_ context.Context, _ string, first uint64, records [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		s.taken = append(s.taken, first+uint64(i))
		if s.calls++; s.calls == 10 {
			return errors.New("no more today")
		}
	}
	return nil
}
func (s *flaky) Close() error { return nil }

// TestFollows passes everything on at least once and in order, over failures and a new start.
func TestFollows(t *testing.T) {
	l, s, dir := &list{}, &flaky{}, t.TempDir()
	l.add(30)
	c := Config{Name: "siem", Dir: dir, Source: l, Open: func(context.Context) (Sink, error) { return s, nil }, Logger: quiet}
	ctx, cancel := context.WithCancel(t.Context())
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	reaches(t, f, 30)
	cancel()
	<-done
	l.add(5)
	reaches(t, run(t, c), 35)
	s.mu.Lock()
	defer s.mu.Unlock()
	next := uint64(0)
	for _, index := range s.taken {
		if index > next {
			t.Fatalf("record %d before record %d", index, next)
		}
		next = max(next, index+1)
	}
	if next != 35 || len(s.taken) > 35+10 {
		t.Errorf("%d records, up to %d", len(s.taken), next)
	}
	other := c
	other.Source = sourceOf{l, "another"}
	if _, err := New(other); err == nil {
		t.Error("a place in another log is taken for one in this")
	}
}

type sourceOf struct {
	*list
	origin string
}

func (s sourceOf) Origin() string { return s.origin }

var rfc5424 = regexp.MustCompile(`^<(110|108)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ epovd \d+ (signature|refusal) ` +
	`\[audit@32473 log="epov\.example\.ru/audit/\[test\\\]\\"" index="(\d+)"\] ` + "\ufeff" + `(\{.*\})$`)

// receive reads messages of a connection, each with its length before it (RFC 6587 section 3.4.1).
func receive(t *testing.T, c io.Reader, l *list, count int) {
	t.Helper()
	r := bufio.NewReader(c)
	for i := range count {
		var size int
		if _, err := fmt.Fscanf(r, "%d ", &size); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(r, message); err != nil {
			t.Fatal(err)
		}
		check(t, l, string(message), i)
	}
}

// check holds a message against the record that it must carry.
func check(t *testing.T, l *list, message string, index int) {
	t.Helper()
	m := rfc5424.FindStringSubmatch(message)
	if m == nil || m[3] != strconv.Itoa(index) || m[4] != string(l.all[index]) || (m[1] == "108") != (m[2] == "refusal") {
		t.Fatalf("message %d: %s", index, message)
	}
}

func TestSyslog(t *testing.T) {
	dir, err := os.MkdirTemp("", "log") // the names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const count = 20
	packets := func(network, address string) (string, func(l *list)) {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.LocalAddr().String(), func(l *list) {
			buf := make([]byte, 1<<16)
			for i := range count {
				if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					t.Fatal(err)
				}
				check(t, l, string(buf[:n]), i)
			}
		}
	}
	streams := func(network, address string) (string, func(l *list)) {
		s, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s.Addr().String(), func(l *list) {
			c, err := s.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			receive(t, c, l, count)
		}
	}
	for name, start := range map[string]func() (string, func(*list)){
		"udp": func() (string, func(*list)) { a, f := packets("udp", "127.0.0.1:0"); return "udp://" + a, f },
		"tcp": func() (string, func(*list)) { a, f := streams("tcp", "127.0.0.1:0"); return "tcp://" + a, f },
		"unixgram": func() (string, func(*list)) {
			a, f := packets("unixgram", filepath.Join(dir, "g"))
			return "unix://" + a, f
		},
		"unix": func() (string, func(*list)) {
			a, f := streams("unix", filepath.Join(dir, "s"))
			return "unix://" + a, f
		},
	} {
		t.Run(name, func(t *testing.T) {
			address, receive := start()
			to := Syslog{URL: address}
			if err := to.Check(); err != nil {
				t.Fatal(err)
			}
			l := &list{}
			l.add(count)
			run(t, Config{Name: name, Dir: t.TempDir(), Source: l, Open: to.Open})
			receive(l)
		})
	}
	for _, address := range []string{"", "host:514", "tcp://host", "tcp://host:1/x", "http://host:1", "unix://host/path",
		"unix:path", "tls://host", "tls://:1", "tls://u@host:1"} {
		if err := (Syslog{URL: address}).Check(); err == nil {
			t.Errorf("%q is an address", address)
		}
	}
}

// TestDeadSink leaves a log alone whose sink is not there, and passes it on when it comes.
func TestDeadSink(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	l, err := tlog.Open(t.Context(), tlog.Config{
		Dir: t.TempDir(), Origin: "epov.example.ru/audit/follow", Interval: 100 * time.Millisecond, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := run(t, Config{Name: "dead", Dir: t.TempDir(), Source: l, Open: Syslog{URL: "tcp://" + address}.Open})
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for n := range 300 {
		r := audit.Record{Time: time.Now(), Kind: audit.Signature, Request: strconv.Itoa(n), Outcome: audit.Done}
		if _, err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	await.True(t, "somebody to notice", func() bool { return f.State().Err != nil })
	s, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	go func() {
		if c, err := s.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	reaches(t, f, 300)
	if err := f.State().Err; err != nil {
		t.Error(err)
	}
}

// TestNATS passes a log on to a real JetStream. It starts twice from an old place: the stream drops what it has.
func TestNATS(t *testing.T) {
	program, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("nats-server is not there: deploy/packages.sh checks installs it")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	server := exec.Command(program, "-a", "127.0.0.1", "-p", port, "-js", "-sd", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	to := NATS{URL: "nats://127.0.0.1:" + port, Subject: "epov.audit"}
	if err := to.Check(); err != nil {
		t.Fatal(err)
	}
	var conn *nats.Conn
	await.NoError(t, func() error {
		conn, err = nats.Connect(to.URL)
		return err
	})
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	l, dir := &list{}, t.TempDir()
	l.add(50)
	c := Config{Name: "stream", Dir: dir, Source: l, Open: to.Open}
	f := run(t, c)
	await.True(t, "a refusal without a stream", func() bool { return f.State().Err != nil })
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"epov.audit"}})
	if err != nil {
		t.Fatal(err)
	}
	reaches(t, f, 50)
	if err := os.Remove(filepath.Join(dir, "stream.json")); err != nil {
		t.Fatal(err)
	}
	again := run(t, Config{Name: "again", Dir: dir, Source: l, Open: to.Open})
	reaches(t, again, 50)
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Msgs != 50 {
		t.Errorf("%d messages of 50 records", info.State.Msgs)
	}
	for i := range 50 {
		m, err := stream.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != string(l.all[i]) || m.Header.Get("Nats-Msg-Id") != fmt.Sprintf("%s#%d", origin, i) {
			t.Errorf("message %d: %q, %s", i, m.Header, m.Data)
		}
	}
	for _, wrong := range []NATS{{URL: "http://x:1", Subject: "a"}, {URL: "nats://u:p@x:1", Subject: "a"}, {URL: "nats://x:1"},
		{URL: "nats://x:1", Subject: "a.*"}} {
		if err := wrong.Check(); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}
