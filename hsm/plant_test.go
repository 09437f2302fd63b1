package hsm

import (
	"context"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"
)

// plant is a scheduler over stands, with one key on all of them.
type plant struct {
	*Scheduler
	key *Key
}

// startOn starts a scheduler whose modules are the stands, by their names.
func startOn(t testing.TB, cfg SchedulerConfig, stands ...*stand) *plant {
	t.Helper()
	s, err := tryStart(t, cfg, stands...)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.Key("k")
	if err != nil {
		t.Fatal(err)
	}
	return &plant{Scheduler: s, key: key}
}

func tryStart(t testing.TB, cfg SchedulerConfig, stands ...*stand) (*Scheduler, error) {
	byModule := map[string]*stand{}
	key := KeyConfig{Name: "k"}
	for _, f := range stands {
		if f.cfg.Name == "" {
			f.cfg.Name = f.cfg.Label
		}
		f.cfg.Module, f.cfg.Isolation = f.cfg.Name, InProcess
		if f.cfg.CallTime == 0 {
			f.cfg.CallTime = time.Second
		}
		byModule[f.cfg.Module] = f
		cfg.Tokens = append(cfg.Tokens, f.cfg)
		key.Replicas = append(key.Replicas, KeyRef{f.cfg.Name, keyID})
	}
	if cfg.Keys == nil {
		cfg.Keys = []KeyConfig{key}
	}
	if cfg.Canary == 0 {
		cfg.Canary = -1
	}
	log := slog.New(slog.NewTextHandler(&stands[0].log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := start(context.Background(), cfg, log, func(_ context.Context, module string, _ hostOptions) (host, error) {
		return byModule[module].begin()
	})
	if err == nil {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

func (p *plant) sign(ctx context.Context) error { return p.signAs(ctx, Flow{Client: "c", Weight: 1}) }

func (p *plant) signAs(ctx context.Context, flow Flow) error {
	digest := make([]byte, 32)
	_, _ = rand.Read(digest)
	signature, err := p.Submit(ctx, p.key, digest, flow)
	if err != nil {
		return err
	}
	return p.key.Public().Verify(digest, signature.Signature())
}

func (p *plant) token(i int) TokenHealth { return p.Health().Tokens[i] }
