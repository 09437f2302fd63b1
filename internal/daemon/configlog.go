package daemon

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/epov-signer/epov/internal/daemon/observe"
)

// logConfig is how the log is written.
type logConfig struct {
	level slog.Level
	text  bool // else JSON
}

func (c *Config) readLog(v value) {
	at := v.mapping("level", "format")
	_ = c.log.level.UnmarshalText([]byte(at("level").choice("info", "debug", "warn", "error")))
	c.log.text = at("format").choice("json", "text") == "text"
}

// Logger makes the logger that the configuration asks for, and by which a daemon of this configuration goes when it is reloaded. It
// writes no secrets: see observe.Redacting. Lines that go to systemd's journal have their priority.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	c.logger = &logHandlers{}
	c.logger.set(c.log)
	options := &slog.HandlerOptions{Level: &c.logger.level}
	h := &logHandler{now: c.logger}
	journal := toJournal(w)
	for i := range h.text {
		to := w
		if journal {
			to = marked{w, marks[i].mark}
		}
		h.text[i], h.json[i] = slog.NewTextHandler(to, options), slog.NewJSONHandler(to, options)
	}
	return slog.New(observe.Redacting(h))
}

// logHandlers is what handlers of one log go by.
type logHandlers struct {
	level slog.LevelVar
	text  atomic.Bool
}

func (l *logHandlers) set(c logConfig) {
	l.level.Set(c.level)
	l.text.Store(c.text)
}

// logHandler writes as either of two handlers, by the format of the moment; there are two for each priority.
type logHandler struct {
	text, json [len(marks)]slog.Handler
	now        *logHandlers
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.now.level.Level()
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.now.text.Load() {
		return h.text[markOf(r.Level)].Handle(ctx, r)
	}
	return h.json[markOf(r.Level)].Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (h *logHandler) with(f func(slog.Handler) slog.Handler) slog.Handler {
	next := &logHandler{now: h.now}
	for i := range h.text {
		next.text[i], next.json[i] = f(h.text[i]), f(h.json[i])
	}
	return next
}
