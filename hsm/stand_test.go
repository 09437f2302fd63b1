package hsm

import (
	"context"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/internal/await"
)

const (
	fakePIN = "fake-secret-7261"
	keyID   = "EXMP01/ov/1"
)

// stand is a fake token with one key, and what a test changes of it.
type stand struct {
	*p11.Fake
	key *gost.PrivateKey
	cfg TokenConfig
	log await.Log

	released, begun atomic.Int32
	host            atomic.Pointer[inProcess]
	slow            time.Duration // to load
}

// setKey puts the stand's key on the token in the place of the one there.
func (f *stand) setKey() {
	f.Remove(keyID)
	f.addKey(keyID, f.key.Public().(*gost.PublicKey).Bytes())
}

func newStand(t *testing.T) *stand {
	t.Helper()
	params := gost.ParamSetByName("CryptoPro-A")
	key, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, params)
	if err != nil {
		t.Fatal(err)
	}
	f := &stand{key: key, Fake: p11.NewFake(p11.TokenInfo{
		Label: "fake", Serial: "0f00", Flags: p11.FlagUserPINSet, MinPIN: 4, MaxPIN: 32,
	}, fakePIN)}
	f.Signer = func(data []byte) ([]byte, error) { return key.Sign(rand.Reader, data, nil) }
	f.addKey("EXMP01/ov/1", key.Public().(*gost.PublicKey).Bytes())
	f.cfg = TokenConfig{Module: "fake", Label: "fake", PIN: PINValue(NewPIN([]byte(fakePIN))),
		StateDir: filepath.Join(t.TempDir(), "state")}
	return f
}

func (f *stand) addKey(id string, public []byte) {
	oid, err := asn1.Marshal(gost.ParamSetByName("CryptoPro-A").OID)
	if err != nil {
		panic(err)
	}
	f.Add(p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrID, id), p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST))
	f.Add(p11.Attr(p11.AttrClass, p11.ClassPublicKey), p11.Attr(p11.AttrID, id), p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST),
		p11.Attr(p11.AttrValue, public), p11.Attr(p11.AttrGOSTR3410Params, oid))
}

func (f *stand) load(context.Context, string, hostOptions) (host, error) {
	return newInProcess(f.Fake, func() error { f.released.Add(1); return nil }), nil
}

func (f *stand) tryOpen(t *testing.T) (*Token, error) {
	t.Helper()
	cfg, err := f.cfg.checked()
	if err != nil {
		t.Fatal(err)
	}
	return open(t.Context(), cfg, slog.New(slog.NewTextHandler(&f.log, nil)), f.load)
}

func (f *stand) open(t *testing.T) *Token {
	t.Helper()
	token, err := f.tryOpen(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return token
}

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != want {
		t.Fatalf("got %v (%v), want an error of kind %v", err, KindOf(err), want)
	}
}

// begin is the module's life: each begins with the handles' numbers of the one before.
func (f *stand) begin() (host, error) {
	time.Sleep(f.slow)
	f.Restart()
	f.begun.Add(1)
	h := newInProcess(f.Fake, func() error { f.released.Add(1); return nil })
	f.host.Store(h)
	return h, nil
}

// crash ends the module as a dead process does: every call gives ErrLost.
func (f *stand) crash() { f.host.Load().Kill(nil) }

// share gives a stand another's key.
func (f *stand) share(other *stand) { f.key, f.Signer = other.key, other.Signer; f.setKey() }

// faults gives return codes to the next calls of a name, one each.
func faults(call string, codes ...error) func(string) error {
	var n atomic.Int32
	return func(name string) error {
		if name != call {
			return nil
		}
		if i := int(n.Add(1)) - 1; i < len(codes) {
			return codes[i]
		}
		return nil
	}
}

// always gives a return code to each call of a name.
func always(call string, err error) func(string) error {
	return func(name string) error {
		if name == call {
			return err
		}
		return nil
	}
}

func twoStands(t *testing.T) (one, two *stand) {
	one, two = newStand(t), newStand(t)
	one.cfg.Name, two.cfg.Name = "one", "two"
	two.share(one)
	return one, two
}
