package hsm_test

import (
	"context"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/softhsm"
)

// noop is a scheduler over the module that takes no time.
func noop(tb testing.TB, i hsm.Isolation, sessions int) (*hsm.Scheduler, *hsm.Key) {
	tb.Helper()
	soft := softhsm.NewNoop(tb)
	cfg := config(tb, soft)
	cfg.Name, cfg.Isolation, cfg.Sessions = "noop", i, sessions
	cfg.Sandbox.Read = []string{filepath.Dir(soft.Module)}
	s := schedule(tb, hsm.SchedulerConfig{
		Tokens: []hsm.TokenConfig{cfg}, Canary: -1,
		Keys: []hsm.KeyConfig{{Name: "k", Replicas: []hsm.KeyRef{{Token: "noop", ID: softhsm.NoopKey}}}},
	})
	return s, keyOf(tb, s, "k")
}

// Who asks learns where the time went, whether or not there is a signature.
func TestSubmitTellsWhatItTook(t *testing.T) {
	s, key := noop(t, hsm.InProcess, 1)
	took := hsm.Signing{Token: "stale", Sign: time.Hour}
	if _, err := s.Submit(t.Context(), key, make([]byte, 32), hsm.Flow{Signing: &took}); err != nil {
		t.Fatal(err)
	}
	if took.Key != "k" || took.Token == "" || took.Token == "stale" || took.Sign <= 0 || took.Sign > time.Minute ||
		took.Verify <= 0 || took.Wait < 0 || took.Retried || took.Err != nil {
		t.Errorf("got %+v", took)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Submit(over, key, make([]byte, 32), hsm.Flow{Signing: &took}); err == nil || took.Token != "" || took.Sign != 0 {
		t.Errorf("got %v and %+v", err, took)
	}
}

// A signature costs one allocation: its own octets.
func TestSubmitAllocates(t *testing.T) {
	for name, i := range isolations {
		t.Run(name, func(t *testing.T) {
			s, key := noop(t, i, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			digest := make([]byte, 32)
			var took hsm.Signing
			n := testing.AllocsPerRun(1000, func() {
				if _, err := s.Submit(ctx, key, digest, hsm.Flow{Client: "c", Weight: 1, Signing: &took}); err != nil {
					t.Fatal(err)
				}
			})
			if n > 1 {
				t.Errorf("%v allocations for each signature", n)
			}
		})
	}
}

// BenchmarkSubmit is the whole path but the token's own time, verification included, which BenchmarkVerify has alone.
func BenchmarkSubmit(b *testing.B) {
	for name, i := range isolations {
		b.Run(name, func(b *testing.B) {
			s, key := noop(b, i, 1)
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			digest := make([]byte, 32)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Submit(ctx, key, digest, hsm.Flow{Client: "c", Weight: 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("verification alone", func(b *testing.B) {
		s, key := noop(b, hsm.InProcess, 1)
		digest := make([]byte, 32)
		signature, err := s.Submit(b.Context(), key, digest, hsm.Flow{})
		if err != nil {
			b.Fatal(err)
		}
		p := gost.Prepare(key.Public())
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Verify(digest, signature.Signature()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SoftHSM, many callers", func(b *testing.B) {
		s, key := started(b, softhsm.New(b), hsm.InProcess, func(c *hsm.TokenConfig) { c.Sessions = runtime.GOMAXPROCS(0) })
		digest := make([]byte, 32)
		b.ReportAllocs()
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				for range b.N / 16 {
					if _, err := s.Submit(b.Context(), key, digest, hsm.Flow{}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
	})
}
