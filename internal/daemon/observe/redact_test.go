package observe

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

type valuer string

func (v valuer) LogValue() slog.Value { return slog.StringValue(string(v)) }

type odd struct{ Inside string }

func TestRedacting(t *testing.T) {
	const key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIC\n-----END EC PRIVATE KEY-----"
	long := strings.Repeat("QUJD", 60)
	for _, tc := range []struct {
		attr slog.Attr
		want string // the line's end; empty: nothing is changed
	}{
		{slog.String("key", "keys/EXMP01/ov/versions/1"), ""},
		{slog.String("digest", strings.Repeat("0f", 64)), ""},
		{slog.Int("count", 7), ""},
		{slog.Duration("took", time.Second), ""},
		{slog.Any("error", errors.New("no such token")), ""},
		{slog.Any("names", []string{"gw.example.ru"}), ""},
		{slog.Any("address", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}), ""},
		{slog.Any("nothing", nil), ""},
		{slog.String("PIN", "12345678"), `PIN=[redacted]`},
		{slog.String("document", "<a/>"), `document=[redacted]`},
		{slog.Any("data", []byte("octets")), `data="[6 octets]"`},
		{slog.Any("value", odd{"12345678"}), `value=[observe.odd]`},
		{slog.Any("value", valuer("before "+key+" after")), `value="before [redacted] after"`},
		{slog.String("text", "open "+key[:40]), `text="open [redacted]"`},
		{slog.String("text", key+key), `text=[redacted][redacted]`},
		{slog.Any("error", errors.New("bad "+long+"!")), `error="bad QUJDQUJDQUJDQUJD[224 characters cut]!"`},
		{slog.String("lines", strings.Repeat("QUJDQUJDQUJDQUJD\n", 20)), `lines="QUJDQUJDQUJDQUJD[324 characters cut]"`},
		{slog.Any("names", []string{"a", long}), `names="[a QUJDQUJDQUJDQUJD[224 characters cut]]"`},
		{slog.Group("g", slog.String("pin", "1"), slog.Int("n", 2)), `g.pin=[redacted] g.n=2`},
		{slog.String("text", strings.Repeat("ab cd ", 4000)), " octets cut]\""},
	} {
		var plain, clean bytes.Buffer
		slog.New(slog.NewTextHandler(&plain, nil)).Info("message", tc.attr)
		slog.New(Redacting(slog.NewTextHandler(&clean, nil))).Info("message", tc.attr)
		_, got, _ := strings.Cut(strings.TrimSuffix(clean.String(), "\n"), "message")
		if tc.want == "" {
			_, tc.want, _ = strings.Cut(strings.TrimSuffix(plain.String(), "\n"), "message")
		}
		if !strings.HasSuffix(got, tc.want) {
			t.Errorf("%s: got %s, want %s", tc.attr.Key, got, tc.want)
		}
		clean.Reset()
		slog.New(Redacting(Redacting(slog.NewTextHandler(&clean, nil)))).With(tc.attr).WithGroup("in").Info("message")
		if got := strings.TrimSuffix(clean.String(), "\n"); !strings.HasSuffix(got, tc.want) {
			t.Errorf("%s with With: got %s, want %s", tc.attr.Key, got, tc.want)
		}
	}
	var out bytes.Buffer
	slog.New(Redacting(slog.NewTextHandler(&out, nil))).Info("the key is " + key)
	if strings.Contains(out.String(), "MHcC") {
		t.Error(out.String())
	}
}

func FuzzCleanText(f *testing.F) {
	f.Add("-----BEGIN PRIVATE KEY-----")
	f.Add("-----BEGIN PRIVATE KEY-----\nMHcC\n-----END PRIVATE KEY-----" + strings.Repeat("0", 300))
	f.Fuzz(func(t *testing.T, s string) {
		out, changed := cleanText(s)
		if changed != (out != s) {
			t.Errorf("changed is %v", changed)
		}
		if len(out) > maxText+64 {
			t.Errorf("%d octets are left", len(out))
		}
		if _, body, found := strings.Cut(out, "PRIVATE KEY-----"); found && strings.Contains(out, "-----BEGIN PRIVATE KEY-----") {
			t.Errorf("a key is left: %q", body)
		}
	})
}

func BenchmarkRedacting(b *testing.B) {
	log := slog.New(Redacting(slog.NewTextHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: slog.LevelInfo})))
	digest := strings.Repeat("0f", 32)
	b.ReportAllocs()
	for b.Loop() {
		log.Debug("call")
		cleanText(digest)
	}
}
