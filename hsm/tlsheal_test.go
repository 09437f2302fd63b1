package hsm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

// faultyTLS is a TLS key on a token that can be told to fail.
type faultyTLS struct {
	*softhsm.Faulty
	crypto.Signer
	io.Closer
	cfg hsm.TokenConfig
}

func newFaultyTLS(t *testing.T, kind string) *faultyTLS {
	t.Helper()
	faulty := softhsm.NewFaulty(t)
	k := &faultyTLS{Faulty: faulty, cfg: config(t, faulty.Token)}
	k.cfg.Name, k.cfg.Sessions = "main", 4
	if _, err := hsm.GenerateTLSKey(t.Context(), k.cfg, "tls", kind, quiet); err != nil {
		t.Fatal(err)
	}
	k.open(t)
	return k
}

func (k *faultyTLS) open(t *testing.T) {
	t.Helper()
	var err error
	if k.Signer, k.Closer, err = hsm.OpenTLSKey(t.Context(), k.cfg, "tls", quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
}

// sign makes a signature and verifies it.
func (k *faultyTLS) sign() error {
	digest := make([]byte, 32)
	_, _ = rand.Read(digest) // never fails
	signature, err := k.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return err
	}
	switch public := k.Public().(type) {
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(public, digest, signature) {
			return errors.New("the signature does not verify")
		}
		return nil
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest, signature)
	}
	return errors.New("what key is this?")
}

// soon waits until it signs again.
func (k *faultyTLS) soon(t *testing.T) {
	t.Helper()
	begun := time.Now()
	await.NoError(t, k.sign)
	t.Logf("back after %v", time.Since(begun))
}

// logOut ends the login of the whole process, behind everybody's back.
func (k *faultyTLS) logOut(t *testing.T) {
	t.Helper()
	other := pkcs11.New(k.Module)
	if other == nil {
		t.Fatal("the module cannot be loaded")
	}
	defer other.Destroy() // its users keep it initialised
	slots, err := other.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		info, err := other.GetTokenInfo(slot)
		if err != nil || info.Label != k.Label {
			continue
		}
		session, err := other.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		if err == nil {
			err = errors.Join(other.Logout(session), other.CloseSession(session))
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the token is not there")
}

// Signers at work when the sessions die go on, and the token is opened anew once for all of them.
func TestTLSKeySessionsKilled(t *testing.T) {
	for _, kind := range []string{"ecdsa-p256", "rsa-3072"} {
		t.Run(kind, func(t *testing.T) {
			k := newFaultyTLS(t, kind)
			finalised := k.Calls("C_Finalize")
			for range 3 {
				logins := k.Calls("C_Login")
				var group sync.WaitGroup
				signed := make(chan struct{}, 8)
				stop := make(chan struct{})
				for range 8 {
					group.Go(func() {
						failed := 0
						for first := true; ; first = false {
							if err := k.sign(); err != nil {
								failed++
								t.Log(err)
							}
							if first {
								signed <- struct{}{}
							}
							select {
							case <-stop:
								if failed > 1 {
									t.Errorf("%d signatures failed", failed)
								}
								return
							default:
							}
						}
					})
				}
				for range 8 {
					<-signed
				}
				k.KillSessions()
				k.soon(t)
				close(stop)
				group.Wait()
				if err := k.sign(); err != nil {
					t.Error(err)
				}
				if n := k.Calls("C_Login") - logins; n != 1 {
					t.Errorf("%d logins", n)
				}
			}
			k.KillSessions()
			serveTLS(t, k) // a handshake is what meets it
			if n := k.Sessions(); n > 1+4+1 {
				t.Errorf("%d sessions are open", n)
			}
			if n := k.Calls("C_Finalize") - finalised; n != 0 {
				t.Errorf("the module was finalised %d times", n)
			}
		})
	}
}

func TestTLSKeyLoginLost(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	for range 3 {
		logins := k.Calls("C_Login")
		k.logOut(t)
		if err := k.sign(); err != nil {
			t.Error(err)
		}
		if n := k.Sessions(); n > 1+4+1 {
			t.Errorf("%d sessions are open", n)
		}
		if n := k.Calls("C_Login") - logins; n != 1 {
			t.Errorf("%d logins", n)
		}
	}
	// A token that says so for ever has no use for more and more logins.
	k.Set("call C_SignInit return=0x101")
	logins := k.Calls("C_Login")
	for range 50 {
		wantKind(t, k.sign(), hsm.Away)
	}
	if n := k.Calls("C_Login") - logins; n > 10 {
		t.Errorf("%d logins", n)
	}
	k.Set()
	k.soon(t)
}

// While the token is away signatures fail without a call of their own; when it is back they work.
func TestTLSKeyUnplugged(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	for range 2 {
		k.Set("unplug")
		lists := k.Calls("C_GetSlotList")
		for end, tries := time.Now().Add(time.Second), 0; time.Now().Before(end); tries++ {
			err := k.sign()
			wantKind(t, err, hsm.Away)
			if e, ok := errors.AsType[*hsm.Error](err); tries > 0 &&
				(!ok || e.RetryAfter <= 0 || !strings.Contains(err.Error(), "no token has serial")) {
				t.Fatalf("%v", err)
			}
			time.Sleep(time.Millisecond)
		}
		if n := k.Calls("C_GetSlotList") - lists; n > 40 {
			t.Errorf("the token was looked for %d times", n)
		}
		k.Set()
		k.soon(t)
		serveTLS(t, k)
	}
}

// The tokens of the same module in this process go on, whatever becomes of the TLS key.
func TestTLSKeyHealsBesideSigning(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	token := open(t, k.cfg)
	newKey(t, token, "EXMP01/ov/1")
	closeToken(t, token)
	k.open(t) // comes first
	cfg := k.cfg
	cfg.Isolation = hsm.InProcess
	s := schedule(t, hsm.SchedulerConfig{
		Tokens: []hsm.TokenConfig{cfg}, Keys: []hsm.KeyConfig{{Name: "k", Replicas: []hsm.KeyRef{{Token: "main", ID: "EXMP01/ov/1"}}}},
	})
	key := keyOf(t, s, "k")
	w := &work{Faulty: k.Faulty, Scheduler: s, key: key}
	if err := w.sign(t); err != nil {
		t.Fatal(err)
	}
	finalised := k.Calls("C_Finalize")
	for name, upset := range map[string]func(){
		"killed": k.KillSessions, "logged out": func() { k.logOut(t) },
		"unplugged":        func() { k.Set("unplug"); _ = k.sign(); k.Set() },
		"only the TLS key": func() { k.Set("call C_SignInit at=1 return=0x30"); k.soon(t); k.Set() },
	} {
		upset()
		k.soon(t)
		w.soon(t)
		var group sync.WaitGroup
		group.Go(func() { w.signAll(t, 4, 10) })
		for range 20 {
			if err := k.sign(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		group.Wait()
	}
	if n := k.Calls("C_Finalize") - finalised; n != 0 {
		t.Errorf("the module was finalised %d times", n)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if err := w.sign(t); err != nil {
		t.Error(err)
	}
}

// A PIN that is wrong by now is tried once, and the right one in its place is found.
func TestTLSKeyPINChanged(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	k.Set("call C_Login return=0xA0")
	logins := k.Calls("C_Login")
	k.KillSessions()
	for range 20 {
		wantKind(t, k.sign(), hsm.PINRefused)
		time.Sleep(10 * time.Millisecond)
	}
	if n := k.Calls("C_Login") - logins; n != 1 {
		t.Errorf("%d tries of the PIN", n)
	}
}

// What takes the place of the key under its id does not sign in its name.
func TestTLSKeyReplaced(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	other := pkcs11.New(k.Module)
	defer other.Destroy()
	slots, err := other.GetSlotList(true)
	if err != nil || len(slots) == 0 {
		t.Fatal(slots, err)
	}
	session, err := other.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, "tls")}); err != nil {
		t.Fatal(err)
	}
	objects, _, err := other.FindObjects(session, 10)
	if err = errors.Join(err, other.FindObjectsFinal(session)); err != nil || len(objects) != 2 {
		t.Fatal(objects, err)
	}
	for _, o := range objects {
		if err := other.DestroyObject(session, o); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, k.sign(), hsm.KeyNotFound)
	both := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_ID, "tls")}
	p256 := []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
	_, _, err = other.GenerateKeyPair(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		append(both[:2:2], pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256)), append(both[:2:2], pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)))
	if err = errors.Join(err, other.CloseSession(session)); err != nil {
		t.Fatal(err)
	}
	await.True(t, "another key to be noticed", func() bool {
		err := k.sign()
		if err == nil {
			t.Fatal("another key signs")
		}
		return hsm.KindOf(err) == hsm.KeyUnusable
	})
}

// Closing is possible at any moment, and nothing signs afterwards.
func TestTLSKeyClosedWhileHealing(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	for i := range 4 {
		k.Set("call C_Login delay=50ms", "call C_Sign delay=5ms")
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for k.sign() == nil {
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		k.KillSessions()
		time.Sleep(time.Duration(i) * 15 * time.Millisecond)
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		wantKind(t, k.sign(), hsm.Closed)
		group.Wait()
		if n := k.Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		k.Set()
		k.open(t)
		if err := k.sign(); err != nil {
			t.Error(err)
		}
	}
}

// A token that hangs while it is opened anew holds nobody for long, and the error says what to do.
func TestTLSKeyHangs(t *testing.T) {
	k := newFaultyTLS(t, "ecdsa-p256")
	k.Set("call C_Login hang")
	k.KillSessions()
	wantKind(t, k.sign(), hsm.Away)
	begun := time.Now()
	err := k.sign()
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the second signature took %v", took)
	}
	if wantKind(t, err, hsm.Away); err != nil && !strings.Contains(err.Error(), "restart the service") {
		t.Error(err)
	}
	k.Set()
	k.soon(t)
}
