package tlog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"k8s.io/klog/v2"
)

// Tessera logs through a logger that a process has only one of, and that must not change while it is in use: it is set once,
// to a handler that passes on what matters to the logger of the log that was opened last.
var (
	tesseraOnce   sync.Once
	tesseraLogger atomic.Pointer[slog.Logger]
)

func relayTessera(to *slog.Logger) {
	tesseraLogger.Store(to)
	tesseraOnce.Do(func() { klog.SetSlogLogger(slog.New(relay{})) })
}

// relay passes on warnings and errors.
type relay struct{}

func (relay) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && tesseraLogger.Load().Enabled(ctx, level)
}

func (relay) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(slog.String("part", "tessera"))
	return tesseraLogger.Load().Handler().Handle(ctx, r)
}

// Tessera gives no attributes.
func (r relay) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r relay) WithGroup(string) slog.Handler      { return r }
