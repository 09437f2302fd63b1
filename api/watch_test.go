package api

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
)

// A certificate ends while keys are watched, and nobody says so.
func TestWatchKeysSeesTheClock(t *testing.T) {
	w := newWorld(t, Limits{})
	ca := testpki.NewCA(t, gost.GOST2012_256, "tc26-256-B")
	end := time.Now().Add(2 * time.Second).Truncate(time.Second)
	_, w.ring[0].cert = ca.NewSigner(t, gost.GOST2012_256, "tc26-256-B", testpki.Template{NotBefore: end.AddDate(-1, 0, 0), NotAfter: end})
	watch, err := w.dial(t, "admin.example.ru").WatchKeys(t.Context(), &epovpb.WatchKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || m.Keys[0].State != epovpb.KeyState_KEY_STATE_USABLE {
		t.Fatal(m, err)
	}
	m, err := watch.Recv()
	if err != nil || len(m.Keys) != 1 || m.Keys[0].Name != w.ring[0].name ||
		m.Keys[0].State != epovpb.KeyState_KEY_STATE_UNUSABLE || time.Now().Before(end) {
		t.Error(m, err)
	}
}

// Who may not see keys any more is told so at once, and who may see others sees them.
func TestWatchKeysByThePolicyOfNow(t *testing.T) {
	w := newWorld(t, Limits{})
	access := func(keys string, sans ...string) {
		a, err := signer.NewAccess([]signer.Role{
			{Name: "look", Grants: []signer.Grant{{Keys: []string{keys}, Operations: []signer.Operation{signer.OpList}}}},
		}, []signer.Client{{Name: "admin", SANs: sans, Roles: []string{"look"}}})
		if err != nil {
			t.Fatal(err)
		}
		w.server.signing.SetAccess(a)
		w.server.KeysChanged()
	}
	watch, err := w.dial(t, "admin.example.ru").WatchKeys(t.Context(), &epovpb.WatchKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || len(m.Keys) != 3 {
		t.Fatal(m, err)
	}
	access("keys/EXMP01/ov", "admin.example.ru")
	if m, err := watch.Recv(); err != nil || len(m.Keys) != 0 || len(m.Removed) != 2 {
		t.Fatal(m, err)
	}
	access("keys/EXMP01/ov", "other.example.ru")
	if m, err := watch.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Error(m, err)
	}
	await.True(t, "an idle server", w.idle)
}

// Many changes come as few messages, and nothing is looked at while nothing changes.
func TestWatchersRest(t *testing.T) {
	w := newWorld(t, Limits{})
	access, err := signer.NewAccess(nil, []signer.Client{{Name: "anyone", Anyone: true}})
	if err != nil {
		t.Fatal(err)
	}
	w.server.signing.SetAccess(access)
	synctest.Test(t, func(t *testing.T) {
		s := &Server{plain: true, signing: w.server.signing, log: w.server.log}
		s.limits.Store(&Limits{BatchTime: time.Hour})
		s.letLast()
		var looks []time.Duration
		begun, enough := time.Now(), errors.New("enough")
		done := make(chan error)
		go func() {
			done <- s.watching(peer.NewContext(t.Context(), &peer.Peer{}), "test",
				func(*signer.Caller) (<-chan struct{}, time.Duration, error) {
					if looks = append(looks, time.Since(begun)); len(looks) == 4 {
						return nil, 0, enough
					}
					return s.changes.wait(), 30 * time.Minute, nil
				})
		}()
		for range 2 {
			time.Sleep(10 * time.Minute)
			for range 100 {
				s.KeysChanged()
				time.Sleep(100 * time.Microsecond)
			}
		}
		if err := <-done; err != enough {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{0, 10 * time.Minute, 20 * time.Minute, 50 * time.Minute} {
			if late := looks[i] - want; late < 0 || late > time.Second {
				t.Errorf("look %d after %v", i, looks[i])
			}
		}
	})
}
