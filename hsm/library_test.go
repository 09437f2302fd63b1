package hsm

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

type mortal struct{ *inProcess }

func (mortal) Reason() error { return errors.New("its process ended: signal: killed") }

// The log says why a module went away.
func TestLogSaysWhyTheModuleIsGone(t *testing.T) {
	f := newStand(t)
	var log strings.Builder
	load := func(context.Context, string, hostOptions) (host, error) {
		return mortal{newInProcess(f.Fake, func() error { return nil })}, nil
	}
	l := newLibrary("module.so", InProcess, load, hostOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	i, err := l.instance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if reason := i.reason(); reason != nil {
		t.Errorf("it is there, and gone because of %v", reason)
	}
	i.Kill(nil)
	if err := l.retire(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `msg="the module is gone" module=module.so reason="its process ended: signal: killed"`) {
		t.Error(log.String())
	}
}
