package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The log is written by people who know that secrets and payload do not belong into it. Redacting is the net below them: what it
// catches is a fault elsewhere.

// refused are keys of attributes whose values are never written.
var refused = map[string]bool{
	"pin": true, "key_pin": true, "so_pin": true, "puk": true, "password": true, "passphrase": true, "secret": true, "credential": true,
	"private_key": true, "authorization": true, "document": true, "content": true, "payload": true, "body": true,
}

// Bounds of what is written of one value.
const (
	maxRun  = 200 // of characters of hexadecimal or Base64: as much as the longest key names, digests and fingerprints
	maxText = 16 << 10
)

const redacted = "[redacted]"

// Redacting gives a handler that passes records on to another one without secrets: attributes whose keys speak of secrets or
// payload, octets, values of types that are not known to be harmless, private keys in PEM, and long runs of hexadecimal or
// Base64.
func Redacting(to slog.Handler) slog.Handler {
	if r, ok := to.(redacting); ok {
		return r
	}
	return redacting{to}
}

type redacting struct{ to slog.Handler }

func (r redacting) Enabled(ctx context.Context, level slog.Level) bool {
	return r.to.Enabled(ctx, level)
}

func (r redacting) WithGroup(name string) slog.Handler { return redacting{r.to.WithGroup(name)} }

func (r redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i], _ = cleanAttr(a)
	}
	return redacting{r.to.WithAttrs(clean)}
}

func (r redacting) Handle(ctx context.Context, record slog.Record) error {
	message, changed := cleanText(record.Message)
	if !changed {
		record.Attrs(func(a slog.Attr) bool {
			_, changed = cleanAttr(a)
			return !changed
		})
	}
	if !changed {
		return r.to.Handle(ctx, record)
	}
	clean := slog.NewRecord(record.Time, record.Level, message, record.PC)
	record.Attrs(func(a slog.Attr) bool {
		a, _ = cleanAttr(a)
		clean.AddAttrs(a)
		return true
	})
	return r.to.Handle(ctx, clean)
}

// cleanAttr gives the attribute as it may be written, and whether that is another one.
func cleanAttr(a slog.Attr) (slog.Attr, bool) {
	if refused[strings.ToLower(a.Key)] {
		return slog.String(a.Key, redacted), true
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if s, changed := cleanText(a.Value.String()); changed {
			return slog.String(a.Key, s), true
		}
	case slog.KindLogValuer:
		a.Value = a.Value.Resolve()
		a, _ = cleanAttr(a)
		return a, true
	case slog.KindGroup:
		group := a.Value.Group()
		var clean []any
		changed := false
		for _, of := range group {
			of, c := cleanAttr(of)
			clean, changed = append(clean, of), changed || c
		}
		if changed {
			return slog.Group(a.Key, clean...), true
		}
	case slog.KindAny:
		return cleanAny(a)
	}
	return a, false
}

// cleanAny leaves values of types that say what they are as text; of others only the type is written.
func cleanAny(a slog.Attr) (slog.Attr, bool) {
	text := ""
	switch v := a.Value.Any().(type) {
	case nil:
		return a, false
	case error:
		text = v.Error()
	case net.Addr:
		text = v.String()
	case netip.Addr, netip.AddrPort, time.Time, time.Duration, slog.Level:
		return a, false
	case []string:
		clean := make([]string, len(v))
		changed := false
		for i, s := range v {
			var c bool
			clean[i], c = cleanText(s)
			changed = changed || c
		}
		return slog.Any(a.Key, clean), changed
	case []byte:
		return slog.String(a.Key, "["+strconv.Itoa(len(v))+" octets]"), true
	case fmt.Stringer:
		text = v.String()
	default:
		return slog.String(a.Key, fmt.Sprintf("[%T]", v)), true
	}
	if s, changed := cleanText(text); changed {
		return slog.String(a.Key, s), true
	}
	return a, false
}

// cleanText cuts what looks like a key or like payload, and what is too long.
func cleanText(s string) (string, bool) {
	if len(s) <= maxRun && !strings.Contains(s, "-----BEGIN") {
		return s, false
	}
	before := s
	s = cutKeys(s)
	s = cutRuns(s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "[" + strconv.Itoa(len(s)-maxText) + " octets cut]"
	}
	return s, s != before
}

// cutKeys takes out private keys in PEM, also when their end is missing.
func cutKeys(s string) string {
	const begin, end = "-----BEGIN ", "-----END "
	for from := 0; ; {
		i := strings.Index(s[from:], begin)
		if i < 0 {
			return s
		}
		i += from
		label, rest, _ := strings.Cut(s[i+len(begin):], "-----")
		if !strings.Contains(label, "PRIVATE KEY") {
			from = i + len(begin)
			continue
		}
		after := ""
		if _, tail, ok := strings.Cut(rest, end); ok {
			_, after, _ = strings.Cut(tail, "-----")
		}
		s = s[:i] + redacted + after
		from = i + len(redacted)
	}
}

// cutRuns shortens runs of characters of Base64, of which hexadecimal is a part. Line ends inside do not interrupt one.
func cutRuns(s string) string {
	var out strings.Builder
	begin, copied := 0, 0
	flush := func(end int) {
		if end-begin > maxRun {
			out.WriteString(s[copied : begin+16])
			out.WriteString("[" + strconv.Itoa(end-begin-16) + " characters cut]")
			copied = end
		}
	}
	for i := range len(s) {
		c := s[i]
		inside := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("+/=_-", c) >= 0 ||
			i > begin && (c == '\n' || c == '\r')
		if !inside {
			flush(i)
			begin = i + 1
		}
	}
	flush(len(s))
	return out.String() + s[copied:]
}
