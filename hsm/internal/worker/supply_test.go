package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

// The next worker is there before it is wanted, also when the spare itself dies, and no process outlives the supply.
func TestSpare(t *testing.T) {
	s := newStand(t, softhsm.NewNoop(t))
	spare := func() (w *Worker) {
		t.Helper()
		await.True(t, "a spare", func() bool {
			s.supply.mutex.Lock()
			defer s.supply.mutex.Unlock()
			w = s.supply.spare
			return w != nil
		})
		return w
	}
	first := spare()
	s.Kill(errors.New("test"))
	s.take(t)
	if s.Worker != first {
		t.Error("the spare was not used")
	}
	second := spare()
	second.Kill(errors.New("test"))
	<-second.gone
	s.take(t)
	if s.Worker == second {
		t.Error("a dead spare was given out")
	}
	last := spare()
	s.supply.Close()
	<-last.gone
	if _, err := s.Slots(); err != nil {
		t.Errorf("a worker that was taken has ended with its supply: %v", err)
	}
	if _, err := s.supply.Take(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A module that dies again and again is not started without end.
func TestStartsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Supply{o: Options{Module: "module"}}
		begin := time.Now()
		for range 3 * burst {
			if err := s.pause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 2*window || took > 2*window+time.Second {
			t.Errorf("%d starts in %v", 3*burst, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.pause(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		s.Close()
		if err := s.pause(t.Context()); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

// What a module says is bounded, in length and in number, and cannot forge lines of the log.
func TestRelay(t *testing.T) {
	log := &await.Log{}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() { relay(r, slog.New(slog.NewTextHandler(log, nil))); close(done) }()
	fmt.Fprintf(w, "%s\n", strings.Repeat("x", 1<<20))
	fmt.Fprintf(w, "a\x1b[31m\rlevel=ERROR\n\n")
	for i := range 1000 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	fmt.Fprint(w, "no end")
	w.Close()
	<-done
	text := log.String()
	if n := strings.Count(text, "\n"); n != linesPerMinute+1 {
		t.Errorf("%d lines", n)
	}
	if len(text) > linesPerMinute*200+2*maxText || strings.ContainsAny(text, "\x1b\r") || !strings.Contains(text, "lines=943") {
		t.Errorf("%d octets: %.3000s", len(text), text)
	}
}

// Close finalises the module and ends the process in order.
func TestClose(t *testing.T) {
	faulty := softhsm.NewFaulty(t)
	s := newStand(t, faulty.Token)
	before := faulty.Calls("C_Finalize")
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := faulty.Calls("C_Finalize"); n != before+1 {
		t.Errorf("C_Finalize was called %d times", n-before)
	}
	s.wantLost(t, time.Second)
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
	faulty.Set("call C_Finalize return=0x5")
	s.take(t)
	if err := s.Close(t.Context()); !errors.Is(err, p11.GeneralError) {
		t.Errorf("%v, want the module's answer", err)
	}
	faulty.Set("call C_Finalize hang")
	s.take(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	s.wantLost(t, 10*time.Second)
}

// A worker has the parent's environment, but for the service manager's channels, which are the parent's own.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1", "VENDOR_CONF": "y", "GODEBUG": "netdns=go",
	} {
		t.Setenv(name, value)
	}
	all := strings.Join(environment(), "\n") + "\n"
	for _, without := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} {
		if strings.Contains(all, without) {
			t.Errorf("%s is passed on", without)
		}
	}
	for _, with := range []string{"VENDOR_CONF=y\n", ",netdns=go\n"} {
		if !strings.Contains(all, with) {
			t.Errorf("%q is missing", with)
		}
	}
	if strings.Count(all, "GODEBUG=") != 1 {
		t.Error("GODEBUG is there twice")
	}
}
