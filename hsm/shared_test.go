package hsm_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/softhsm"
)

// Two tokens of one module share its fate: when it dies or must be started anew for one, both serve again, and no request is
// lost.
func TestTwoTokensOfOneModule(t *testing.T) {
	for _, test := range []struct {
		name, rule string
		isolation  hsm.Isolation
	}{
		{"crash", "call C_Sign at=9 abort", hsm.Separate},
		{"finalised, separate", "call C_SignInit at=9 return=0x190", hsm.Separate},
		{"finalised, in process", "call C_SignInit at=9 return=0x190", hsm.InProcess},
	} {
		t.Run(test.name, func(t *testing.T) {
			faulty := softhsm.NewFaulty(t)
			labels := []string{faulty.Label, faulty.Label + "-2"}
			if err := faulty.Add(labels[1]); err != nil {
				t.Fatal(err)
			}
			var begun atomic.Bool
			var lost atomic.Int32
			trace := &hsm.Trace{State: func(_ string, s hsm.State, _ error) {
				if begun.Load() && s == hsm.Recovering {
					lost.Add(1)
					faulty.Set() // the module would do the same after its start
				}
			}}
			cfg := hsm.SchedulerConfig{Trace: trace}
			for i, label := range labels {
				name := string(rune('a' + i))
				c := config(t, faulty.Token)
				c.Name, c.Label, c.Serial, c.Isolation = name, label, "", test.isolation
				c.Sandbox.Write = []string{filepath.Dir(faulty.Module), filepath.Dir(faulty.Conf)}
				token := open(t, c)
				newKey(t, token, "EXMP01/ov/1")
				closeToken(t, token)
				cfg.Tokens = append(cfg.Tokens, c)
				cfg.Keys = append(cfg.Keys, hsm.KeyConfig{Name: name, Replicas: []hsm.KeyRef{{Token: name, ID: "EXMP01/ov/1"}}})
			}
			s := schedule(t, cfg)
			begun.Store(true)
			faulty.Set(test.rule)
			var group sync.WaitGroup
			for _, name := range []string{"a", "b"} {
				key := keyOf(t, s, name)
				for range 3 {
					group.Go(func() {
						for range 10 {
							if err := submit(t, s, key); err != nil {
								t.Error(err)
							}
						}
					})
				}
			}
			group.Wait()
			if lost.Load() == 0 {
				t.Error("nothing happened to the module")
			}
			for _, h := range s.Health().Tokens {
				if h.State != hsm.Ready {
					t.Errorf("%+v", h)
				}
			}
		})
	}
}
