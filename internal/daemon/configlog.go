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
// writes no secrets: see observe.Redacting.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	c.logger = &logHandlers{}
	c.logger.set(c.log)
	options := &slog.HandlerOptions{Level: &c.logger.level}
	return slog.New(observe.Redacting(&logHandler{slog.NewTextHandler(w, options), slog.NewJSONHandler(w, options), c.logger}))
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

// logHandler writes as either of two handlers, by the format of the moment.
type logHandler struct {
	text, json slog.Handler
	now        *logHandlers
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.now.level.Level()
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.now.text.Load() {
		return h.text.Handle(ctx, r)
	}
	return h.json.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.text.WithAttrs(attrs), h.json.WithAttrs(attrs), h.now}
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.text.WithGroup(name), h.json.WithGroup(name), h.now}
}
