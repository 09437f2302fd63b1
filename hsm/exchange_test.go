package hsm_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/processes"
	"github.com/epov-signer/epov/softhsm"
)

// A key moves between tokens that come, change and go while callers sign: none of them notices. Of what goes, and of what was given
// up before it came, no process is left.
func TestExchangeAtWork(t *testing.T) {
	private, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, cryptoProA())
	if err != nil {
		t.Fatal(err)
	}
	const id = "EXMP01/ov/1"
	var tokens [2]hsm.TokenConfig
	for i := range tokens {
		soft := softhsm.NewFaulty(t)
		tokens[i] = config(t, soft.Token)
		tokens[i].Name = string(rune('a' + i))
		tokens[i].Sandbox.Write = []string{filepath.Dir(soft.Module), filepath.Dir(soft.Conf)}
		token := open(t, tokens[i])
		if _, err := token.ImportKey(t.Context(), id, private); err != nil {
			t.Fatal(err)
		}
		newKey(t, token, "EXMP01/other/1")
		closeToken(t, token)
	}
	a, b := tokens[0], tokens[1]
	var state sync.Map // of tokens by name, as they told of themselves
	trace := &hsm.Trace{State: func(token string, s hsm.State, _ error) { state.Store(token, s) }}
	s := schedule(t, hsm.SchedulerConfig{Trace: trace, Tokens: []hsm.TokenConfig{a},
		Keys: []hsm.KeyConfig{{Name: "k", Replicas: []hsm.KeyRef{{Token: "a", ID: id}}}}})
	key := keyOf(t, s, "k")
	time.Sleep(100 * time.Millisecond)
	alive := len(processes.Children(os.Getpid())) // of one module

	stop := make(chan struct{})
	var group sync.WaitGroup
	var signed atomic.Int64
	for range 6 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := submit(t, s, key); err != nil {
					t.Error(err)
				}
				signed.Add(1)
			}
		})
	}
	exchange := func(keyID string, tokens ...hsm.TokenConfig) (*hsm.Exchange, error) {
		t.Helper()
		x, err := s.Exchange(t.Context(), tokens)
		if err != nil {
			return nil, err
		}
		moved := hsm.KeyConfig{Name: "k"}
		for _, token := range tokens {
			moved.Replicas = append(moved.Replicas, hsm.KeyRef{Token: token.Name, ID: keyID})
		}
		if err := x.MoveKey(t.Context(), moved); err != nil {
			x.Abandon()
			return nil, err
		}
		return x, nil
	}
	wider := a
	wider.Sessions = 3
	for round, tokens := range [][]hsm.TokenConfig{{a, b}, {b}, {b, wider}, {wider}, {b}, {a, b}, {a}} {
		x, err := exchange(id, tokens...)
		if err != nil {
			t.Fatal(round, err)
		}
		x.Commit()
		if got := s.Health().Tokens; len(got) != len(tokens) || got[0].Name != tokens[0].Name || got[0].State != hsm.Ready {
			t.Errorf("round %d: %+v", round, got)
		}
		before := signed.Load()
		await.True(t, "more signatures", func() bool { return signed.Load() >= before+50 })
	}
	await.Children(t, alive)
	if got, _ := state.Load("b"); got != hsm.Stopped {
		t.Errorf("the token that went is %v", got)
	}

	// What does not come off changes nothing.
	away, taken := b, b
	away.Label = "nowhere"
	for _, test := range []struct {
		name   string
		id     string
		tokens []hsm.TokenConfig
		want   hsm.Kind
	}{
		{"a token that is away", id, []hsm.TokenConfig{a, away}, hsm.Away},
		{"another key", "EXMP01/other/1", []hsm.TokenConfig{b}, hsm.KeyUnusable},
		{"no such key", "EXMP01/none/1", []hsm.TokenConfig{a, b}, hsm.KeyNotFound},
		{"a name twice", id, []hsm.TokenConfig{a, b, taken}, hsm.Config},
		{"no module", id, []hsm.TokenConfig{a, {Name: "c"}}, hsm.Config},
	} {
		if test.name == "a name twice" {
			test.tokens[2].Sessions = 9
		}
		_, err := exchange(test.id, test.tokens...)
		if hsm.KindOf(err) != test.want {
			t.Errorf("%s: %v", test.name, err)
		}
		await.Children(t, alive)
	}
	close(stop)
	group.Wait()
	if err := submit(t, s, key); err != nil {
		t.Error(err)
	}
	if signed.Load() < 300 {
		t.Errorf("%d signatures", signed.Load())
	}
}
