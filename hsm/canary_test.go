package hsm

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// Every key is tested in its turn, but for those that sign anyway; the health of each tells how that went.
func TestCanaryOfEachKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStand(t)
		f.cfg.Name = "main"
		keys := []KeyConfig{{Name: "k", Replicas: []KeyRef{{"main", keyID}}}}
		for _, name := range []string{"idle", "rare"} {
			f.addKey(name, f.key.Public().(*gost.PublicKey).Bytes())
			keys = append(keys, KeyConfig{Name: name, Replicas: []KeyRef{{"main", name}}})
		}
		var heard [2]atomic.Int32 // good and bad
		p := startOn(t, SchedulerConfig{Canary: 10 * time.Second, Keys: keys, Trace: &Trace{Canary: func(c Canary) {
			if c.Err == nil {
				heard[0].Add(1)
			} else {
				heard[1].Add(1)
			}
			if c.Token != "main" || c.Key == "" {
				t.Errorf("%+v", c)
			}
		}}}, f)
		first := heard[0].Load()
		for range 600 { // a minute in which one key is busy
			if err := p.sign(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := heard[0].Load() - first; n < 5 || n > 6 {
			t.Errorf("%d tests in a minute", n)
		}
		for _, k := range p.Health().Keys {
			r := k.Replicas[0]
			limit := 25 * time.Second // two idle keys take turns
			if k.Name == "k" {
				limit = time.Second
			}
			if since := time.Since(r.Signed); since > limit || r.Tested.IsZero() || r.TestErr != nil || r.Broken {
				t.Errorf("%s signed %v ago: %+v", k.Name, since, r)
			}
		}
		f.SetFault(always("Sign", p11.GeneralError))
		time.Sleep(30 * time.Second)
		f.SetFault(nil)
		failing := 0
		for _, k := range p.Health().Keys {
			if k.Replicas[0].TestErr != nil {
				failing++
			}
		}
		if failing == 0 || heard[1].Load() == 0 {
			t.Errorf("%d keys failed their test, %d failures were told of", failing, heard[1].Load())
		}
	})
}
