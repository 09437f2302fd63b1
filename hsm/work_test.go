package hsm_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

// work is a faulty token at work under a scheduler, with a key.
type work struct {
	*softhsm.Faulty
	*hsm.Scheduler
	key *hsm.Key
}

// isolations are those that the suite runs with.
var isolations = map[string]hsm.Isolation{"in process": hsm.InProcess, "separate": hsm.Separate}

// eachIsolation runs a test on every host.
func eachIsolation(t *testing.T, f func(t *testing.T, i hsm.Isolation)) {
	for name, i := range isolations {
		t.Run(name, func(t *testing.T) { f(t, i) })
	}
}

// atWork starts one; change may alter its configuration.
func atWork(tb testing.TB, i hsm.Isolation, change ...func(*hsm.TokenConfig)) *work {
	tb.Helper()
	faulty := softhsm.NewFaulty(tb)
	w := &work{Faulty: faulty}
	w.Scheduler, w.key = started(tb, faulty.Token, i, change...)
	return w
}

// started is a scheduler on a token that gets a key before.
func started(tb testing.TB, t *softhsm.Token, i hsm.Isolation, change ...func(*hsm.TokenConfig)) (*hsm.Scheduler, *hsm.Key) {
	tb.Helper()
	cfg := config(tb, t)
	token := open(tb, cfg)
	newKey(tb, token, "EXMP01/ov/1")
	closeToken(tb, token)
	cfg.Name, cfg.Isolation = "main", i
	cfg.Sandbox.Write = []string{filepath.Dir(t.Module), filepath.Dir(t.Conf)}
	for _, c := range change {
		c(&cfg)
	}
	s := schedule(tb, hsm.SchedulerConfig{
		Tokens: []hsm.TokenConfig{cfg}, Keys: []hsm.KeyConfig{{Name: "k", Replicas: []hsm.KeyRef{{Token: "main", ID: "EXMP01/ov/1"}}}},
	})
	return s, keyOf(tb, s, "k")
}

// schedule starts a scheduler that is closed when the test ends.
func schedule(tb testing.TB, cfg hsm.SchedulerConfig) *hsm.Scheduler {
	tb.Helper()
	s, err := hsm.Start(tb.Context(), cfg, quiet)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func keyOf(tb testing.TB, s *hsm.Scheduler, name string) *hsm.Key {
	tb.Helper()
	key, err := s.Key(name)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// sign signs a random digest within a generous time, and verifies.
func (w *work) sign(tb testing.TB) error { return submit(tb, w.Scheduler, w.key) }

func submit(tb testing.TB, s *hsm.Scheduler, key *hsm.Key) error {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	digest := make([]byte, 32)
	_, _ = rand.Read(digest) // never fails
	signature, err := s.Submit(ctx, key, digest, hsm.Flow{Client: "test", Weight: 1})
	if err != nil {
		return err
	}
	return key.Public().Verify(digest, signature.Signature())
}

// signAll has callers sign at once; all must succeed.
func (w *work) signAll(t *testing.T, callers, each int) {
	t.Helper()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range each {
				if err := w.sign(t); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// soon waits until the token signs again, and says how long that took.
func (w *work) soon(t *testing.T) time.Duration {
	t.Helper()
	begun := time.Now()
	await.NoError(t, func() error { return w.sign(t) })
	return time.Since(begun)
}
