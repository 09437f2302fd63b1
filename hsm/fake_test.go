package hsm

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

const fakePIN = "fake-secret-7261"

// stand is a fake token with one key, and what a test changes of it.
type stand struct {
	*p11.Fake
	key *gost.PrivateKey
	cfg TokenConfig
	log bytes.Buffer

	released atomic.Int32
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
	f.cfg = TokenConfig{Module: "fake", Label: "fake", PIN: PINValue(NewPIN([]byte(fakePIN))), StateDir: filepath.Join(t.TempDir(), "state")}
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

func (f *stand) openKey(t *testing.T) (*Token, *Key) {
	t.Helper()
	token := f.open(t)
	key, err := token.Key(t.Context(), "EXMP01/ov/1")
	if err != nil {
		t.Fatal(err)
	}
	return token, key
}

// once makes a fault that comes at the first call of a name from now on.
func once(call string, err error) func(string) error {
	var done atomic.Bool
	return func(name string) error {
		if name == call && !done.Swap(true) {
			return err
		}
		return nil
	}
}

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != want {
		t.Fatalf("got %v (%v), want an error of kind %v", err, KindOf(err), want)
	}
}

func TestRemedies(t *testing.T) {
	for _, test := range []struct {
		name  string
		upset func(f *stand)
		kind  Kind // of the error; Internal with ok set: none
		ok    bool
		login int // calls of C_Login in all
	}{
		{name: "one dead session", upset: func(f *stand) { f.Fault = once("Sign", p11.SessionHandleInvalid) }, ok: true, login: 1},
		{name: "operation left open", upset: func(f *stand) { f.Fault = once("Sign", p11.OperationActive) }, ok: true, login: 1},
		{name: "login lost", upset: func(f *stand) { f.LogOut() }, ok: true, login: 2},
		{name: "login lost, said so", upset: func(f *stand) { f.LogOut(); f.Fault = once("Sign", p11.UserNotLoggedIn) }, ok: true, login: 2},
		{name: "all sessions dead", upset: func(f *stand) { f.CloseAll() }, ok: true, login: 2},
		{name: "stale handle", upset: func(f *stand) { f.Fault = once("Sign", p11.KeyHandleInvalid) }, ok: true, login: 1},
		{name: "device removed", upset: func(f *stand) { f.Fault = once("Sign", p11.DeviceRemoved) }, kind: Away, login: 1},
		{name: "device busy", upset: func(f *stand) { f.Fault = once("Sign", p11.DeviceMemory) }, kind: Busy, login: 1},
		{name: "vendor's code", upset: func(f *stand) { f.Fault = once("Sign", p11.VendorDefined+0x19) }, kind: Internal, login: 1},
		{name: "wrong mechanism", upset: func(f *stand) { f.Fault = once("Sign", p11.MechanismInvalid) }, kind: Config, login: 1},
		{name: "dead for good", upset: func(f *stand) {
			f.Fault = func(call string) error {
				if call == "Sign" {
					return p11.SessionHandleInvalid
				}
				return nil
			}
		}, kind: Away, login: 1},
		{name: "locked meanwhile", upset: func(f *stand) { f.LogOut(); f.SetFlags(p11.FlagUserPINSet | p11.FlagPINLocked) }, kind: PINRefused, login: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			token, key := f.openKey(t)
			test.upset(f)
			digest := make([]byte, 32)
			signature, err := key.SignDigest(t.Context(), digest)
			if test.ok {
				if err != nil {
					t.Fatal(err)
				}
				if err := key.Public().Verify(digest, signature); err != nil {
					t.Error(err)
				}
			} else {
				wantKind(t, err, test.kind)
			}
			if n := f.Calls("Login"); n != test.login {
				t.Errorf("%d logins, want %d", n, test.login)
			}
			// Whatever happened, no session that failed is kept: what is idle works, or nothing is idle.
			f.Fault = nil
			if test.kind != PINRefused {
				if _, err := key.SignDigest(t.Context(), digest); err != nil {
					t.Errorf("after the fault: %v", err)
				}
			} else if wantKind(t, key.Err(), PINRefused); f.Calls("Login") != 1 || token.Err() == nil {
				t.Error("the token is tried again after its PIN was locked")
			}
		})
	}
}

// The login that many callers miss at once is restored once.
func TestLoginAgainOnce(t *testing.T) {
	f := newStand(t)
	_, key := f.openKey(t)
	for range 6 {
		before := f.Calls("Login")
		f.LogOut()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := f.Calls("Login") - before; n != 1 {
			t.Fatalf("%d logins for one loss", n)
		}
	}
	if n := f.Sessions(); n > DefaultSessions+1 {
		t.Errorf("%d sessions are open, the bound is %d and the anchor", n, DefaultSessions)
	}
}

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags uint
		kind  Kind
	}{
		{"locked", p11.FlagUserPINSet | p11.FlagPINLocked, PINRefused},
		{"final try", p11.FlagUserPINSet | p11.FlagPINFinalTry, PINRefused},
		{"no PIN", 0, PINRefused},
		{"to be changed", p11.FlagUserPINSet | p11.FlagPINToBeChanged, PINRefused},
		{"pad", p11.FlagUserPINSet | p11.FlagProtectedPath, Config},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			f.SetFlags(p11.FlagTokenInitialised | test.flags)
			_, err := f.tryOpen(t)
			wantKind(t, err, test.kind)
			if f.Calls("Login") != 0 {
				t.Error("C_Login was called")
			}
			if f.released.Load() != 1 || f.Sessions() != 0 {
				t.Error("the module was not let go of")
			}
		})
	}
	t.Run("final try by an operator", func(t *testing.T) {
		f := newStand(t)
		f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | p11.FlagPINFinalTry)
		f.cfg.AllowFinalTry = true
		f.open(t)
	})
	t.Run("count low without a record", func(t *testing.T) {
		f := newStand(t)
		f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | p11.FlagPINCountLow)
		f.open(t)
	})
}

// Any number of restarts spends one try for each distinct PIN.
func TestOneTryForEachPIN(t *testing.T) {
	f := newStand(t)
	right := f.cfg.PIN
	for i, wrong := range []string{"wrong-pin-a", "wrong-pin-c"} {
		f.cfg.PIN = PINValue(NewPIN([]byte(wrong)))
		for range 5 {
			_, err := f.tryOpen(t)
			wantKind(t, err, PINRefused)
			if strings.Contains(err.Error(), wrong) {
				t.Error("the error tells the PIN")
			}
		}
		if n := f.Calls("Login"); n != i+1 {
			t.Fatalf("%d tries for %d PINs", n, i+1)
		}
	}
	if f.cfg.PIN = right; f.open(t) == nil {
		t.Fatal("the right PIN does not open the token")
	}
	if strings.Contains(f.log.String(), "wrong-pin") || strings.Contains(f.log.String(), fakePIN) {
		t.Error("the log tells a PIN")
	}
	// The login cleared the record.
	if files, _ := filepath.Glob(filepath.Join(f.cfg.StateDir, "*.json")); len(files) != 0 {
		t.Errorf("left in the state directory: %v", files)
	}
}

func TestWrongSignature(t *testing.T) {
	reverse := func(b []byte) []byte { b = bytes.Clone(b); slices.Reverse(b); return b }
	for _, test := range []struct{ name, fault string }{
		{"swapped", "r ‖ s instead of s ‖ r"},
		{"reversed", "the whole signature reversed"},
		{"halves", "each half of the signature reversed"},
		{"digest", "takes the digest in reversed order"},
		{"short", "63 octets instead of 64"},
		{"other key", "another key or on another curve"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			other, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
			if err != nil {
				t.Fatal(err)
			}
			right := f.Signer
			wrong := func(data []byte) ([]byte, error) {
				sig, err := right(data)
				if err != nil {
					return nil, err
				}
				switch test.name {
				case "swapped":
					return slices.Concat(sig[32:], sig[:32]), nil
				case "reversed":
					return reverse(sig), nil
				case "halves":
					return slices.Concat(reverse(sig[:32]), reverse(sig[32:])), nil
				case "digest":
					return right(reverse(data))
				case "short":
					return sig[:63], nil
				}
				return other.Sign(rand.Reader, data, nil)
			}
			// At the start.
			f.Signer = wrong
			token := f.open(t)
			_, err = token.Key(t.Context(), "EXMP01/ov/1")
			wantKind(t, err, WrongSignature)
			if !strings.Contains(err.Error(), test.fault) {
				t.Errorf("the fault is not named: %v", err)
			}
			// At work: nothing leaves, and the key goes out of service.
			f.Signer = right
			key, err := token.Key(t.Context(), "EXMP01/ov/1")
			if err != nil {
				t.Fatal(err)
			}
			f.Signer = wrong
			digest := make([]byte, 32)
			digest[3] = 1
			sig, err := key.SignDigest(t.Context(), digest)
			wantKind(t, err, WrongSignature)
			f.Signer = right
			_, again := key.SignDigest(t.Context(), digest)
			wantKind(t, again, WrongSignature)
			if sig != nil || key.Err() == nil {
				t.Error("a wrong signature left, or the key still serves")
			}
		})
	}
}

// An expired context frees the caller, not the session: that stays taken until the module returns.
func TestHang(t *testing.T) {
	f := newStand(t)
	f.cfg.Sessions, f.cfg.Queue = 1, 1
	token, key := f.openKey(t)
	hang, hanging := make(chan struct{}), make(chan struct{})
	f.Fault = func(call string) error {
		if call == "Sign" {
			hanging <- struct{}{}
			<-hang
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hanging; cancel() }()
	_, err := key.SignDigest(ctx, make([]byte, 32))
	wantKind(t, err, Expired)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not tell of its context", err)
	}

	// The only session is taken: one caller waits, the next is turned away, Close does not finalise.
	waiting, give := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer give()
	waited := make(chan error, 1)
	go func() { _, err := key.SignDigest(waiting, make([]byte, 32)); waited <- err }()
	for token.pool.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err = key.SignDigest(t.Context(), make([]byte, 32))
	wantKind(t, err, Busy)
	wantKind(t, <-waited, Expired)
	short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	wantKind(t, token.Close(short), Expired)
	if f.released.Load() != 0 {
		t.Fatal("the module was finalised during a call")
	}
	close(hang)
	if err := token.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.released.Load() != 1 || f.Sessions() != 0 {
		t.Error("sessions are left open")
	}
	_, err = key.SignDigest(t.Context(), make([]byte, 32))
	wantKind(t, err, Closed)
}

// A login that hangs does not hold Open; what it began is undone when the module answers.
func TestOpenHangs(t *testing.T) {
	f := newStand(t)
	synctest.Test(t, func(t *testing.T) {
		f.Fault = func(call string) error {
			if call == "Login" {
				time.Sleep(time.Hour)
			}
			return nil
		}
		cfg, err := f.cfg.checked()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = open(ctx, cfg, slog.New(slog.DiscardHandler), f.load)
		wantKind(t, err, Expired)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if f.released.Load() != 1 || f.Sessions() != 0 {
			t.Error("what was begun is not undone")
		}
	})
}

// A token that opens no further session shrinks the pool; callers share what is open.
func TestSessionLimit(t *testing.T) {
	f := newStand(t)
	f.cfg.Sessions = 8
	f.Fault = func(call string) error {
		if call == "OpenSession" && f.Sessions() >= 3 {
			return p11.SessionCount
		}
		return nil
	}
	token, key := f.openKey(t)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 5 {
				if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if token.pool.size > 8 || token.pool.size < 1 {
		t.Errorf("size of the pool %d", token.pool.size)
	}
}

func TestKeysOnFake(t *testing.T) {
	f := newStand(t)
	public := f.key.Public().(*gost.PublicKey).Bytes()
	wrapped, err := asn1.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	f.addKey("wrapped/ov/1", wrapped)
	offCurve := bytes.Clone(public)
	offCurve[0] ^= 1
	f.addKey("off/ov/1", offCurve)
	f.addKey("twice/ov/1", public)
	f.addKey("twice/ov/1", public)
	private := func(id string, more ...*p11.Attribute) {
		f.Add(append(more, p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrID, id))...)
	}
	gostKey := p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST)
	private("touch/ov/1", gostKey, p11.Attr(p11.AttrRutokenTouch, true))
	private("always/ov/1", gostKey, p11.Attr(p11.AttrAlwaysAuth, true))
	private("rsa/ov/1", p11.Attr(p11.AttrKeyType, p11.KeyTypeRSA))
	private("alone/ov/1", gostKey)
	token := f.open(t)
	for id, want := range map[string]Kind{
		"wrapped/ov/1": -1, "off/ov/1": KeyUnusable, "twice/ov/1": Ambiguous, "touch/ov/1": KeyUnusable, "always/ov/1": KeyUnusable,
		"rsa/ov/1": KeyUnusable, "alone/ov/1": KeyUnusable, "none/ov/1": KeyNotFound, "": Invalid, "a b": Invalid,
	} {
		if _, err := token.Key(t.Context(), id); want >= 0 {
			wantKind(t, err, want)
		} else if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	list, err := token.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	problems := 0
	for _, k := range list {
		if k.Problem != "" {
			problems++
		}
	}
	if len(list) != 9 || problems != 6 { // off, twice (2), touch, always, alone
		t.Errorf("%d keys, %d with problems: %+v", len(list), problems, list)
	}
	if _, err := token.Key(t.Context(), "EXMP01/ov/1"); err != nil {
		t.Error(err)
	}
	k, _ := token.Key(t.Context(), "EXMP01/ov/1")
	for _, n := range []int{0, 31, 33, 64} {
		_, err := k.SignDigest(t.Context(), make([]byte, n))
		wantKind(t, err, Invalid)
	}
}

// Another key put under the id after a new login is noticed: handles are found anew, signatures are checked.
func TestKeyExchanged(t *testing.T) {
	f := newStand(t)
	_, key := f.openKey(t)
	other, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		t.Fatal(err)
	}
	f.LogOut()
	f.Signer = func(data []byte) ([]byte, error) { return other.Sign(rand.Reader, data, nil) }
	_, err = key.SignDigest(t.Context(), make([]byte, 32))
	wantKind(t, err, WrongSignature)
}

func TestTrace(t *testing.T) {
	f := newStand(t)
	var signed, opened, logins, broken atomic.Int32
	f.cfg.Trace = &Trace{
		Signed: func(s Signing) {
			if s.Token == "fake" && s.Key == "EXMP01/ov/1" && (s.Err != nil || s.Sign > 0) {
				signed.Add(1)
			}
		},
		SessionOpened:   func(string) { opened.Add(1) },
		SessionClosed:   func(string, error) { opened.Add(-1) },
		Login:           func(string, error) { logins.Add(1) },
		KeyOutOfService: func(string, string, error) { broken.Add(1) },
	}
	token, key := f.openKey(t)
	for range 3 {
		if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
	}
	f.Signer = func([]byte) ([]byte, error) { return make([]byte, 64), nil }
	_, err := key.SignDigest(t.Context(), make([]byte, 32))
	wantKind(t, err, WrongSignature)
	if err := token.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if signed.Load() != 4 || opened.Load() != 0 || logins.Load() != 1 || broken.Load() != 1 {
		t.Error(signed.Load(), opened.Load(), logins.Load(), broken.Load())
	}
}

// Erasing a token takes the security officer's PIN, which is not brought nearer to its lock either.
func TestInitTokenSparesThePIN(t *testing.T) {
	for _, flag := range []uint{p11.FlagSOPINFinalTry, p11.FlagSOPINLocked} {
		f := newStand(t)
		f.SetFlags(p11.FlagTokenInitialised | p11.FlagUserPINSet | flag)
		pin := NewPIN([]byte("12345678"))
		_, err := initToken(f.Fake, InitOptions{Label: "new", Serial: "0f00", SOPIN: pin, UserPIN: pin, Erase: true})
		wantKind(t, err, PINRefused)
	}
}
