package hsm

import (
	"bytes"
	"context"
	"encoding/asn1"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// scalar takes the private integer out of a PKCS#8 key as the gost engine writes it: little-endian octets.
// SoftHSM imports it big-endian.
func scalar(t *testing.T, der []byte) []byte {
	t.Helper()
	var key struct {
		Version   int
		Algorithm asn1.RawValue
		Private   []byte
	}
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		t.Fatal(err)
	}
	if len(key.Private) != 32 {
		t.Fatalf("a private key of %d octets", len(key.Private))
	}
	d := bytes.Clone(key.Private)
	slices.Reverse(d)
	return d
}

// Modules are known that keep a key under any parameter set and sign on CryptoPro-A whatever it says: stock SoftHSM 2.6.1
// does. Only a key that is on that curve may serve. The shim makes such a module of ours; where stock SoftHSM has been
// built the test runs on it too.
func TestSilentWrongCurve(t *testing.T) {
	t.Run("shim", func(t *testing.T) {
		faulty := softhsm.NewFaulty(t)
		set, err := asn1.Marshal(gost.ParamSetByName("CryptoPro-A").OID)
		if err != nil {
			t.Fatal(err)
		}
		faulty.Set(fmt.Sprintf("private-params %x", set))
		wantCurveNoticed(t, faulty.Token)
	})
	t.Run("stock", func(t *testing.T) {
		wantCurveNoticed(t, softhsm.NewStock(t))
	})
}

func wantCurveNoticed(t *testing.T, soft *softhsm.Token) {
	t.Helper()
	token, err := Open(t.Context(), TokenConfig{
		Module: soft.Module, Label: soft.Label, PIN: PINValue(NewPIN([]byte(soft.PIN))), StateDir: filepath.Join(t.TempDir(), "state"),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close(context.Background()) })
	for _, test := range []struct {
		openssl, params string
		right           bool
	}{
		{"A", "CryptoPro-A", true},
		{"B", "CryptoPro-B", false},
		{"C", "CryptoPro-C", false},
		{"TCA", "tc26-256-A", false},
		{"TCB", "tc26-256-B", true},
	} {
		t.Run(test.params, func(t *testing.T) {
			pkcs8, err := oracle.OpenSSL(t, nil, "genpkey", "-engine", "gost", "-algorithm", "gost2012_256",
				"-pkeyopt", "paramset:"+test.openssl, "-outform", "DER")
			if err != nil {
				t.Fatal(err)
			}
			spki, err := oracle.OpenSSL(t, pkcs8, "pkey", "-engine", "gost", "-inform", "DER", "-pubout", "-outform", "DER")
			if err != nil {
				t.Fatal(err)
			}
			public, err := gost.ParsePublicKey(spki)
			if err != nil {
				t.Fatal(err)
			}
			if public.Params.Name != test.params {
				t.Fatalf("openssl made a key on %s", public.Params.Name)
			}
			id := "import/" + test.params
			imported(t, token, id, public, scalar(t, pkcs8))
			key, err := token.Key(t.Context(), id)
			if !test.right {
				wantKind(t, err, WrongSignature)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
				t.Error(err)
			}
		})
	}
}

func imported(t *testing.T, token *Token, id string, public *gost.PublicKey, d []byte) {
	t.Helper()
	params, err := parameters(gost.GOST2012_256, public.Params)
	if err != nil {
		t.Fatal(err)
	}
	common := slices.Concat(params, []*p11.Attribute{
		p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST), p11.Attr(p11.AttrToken, true), p11.Attr(p11.AttrID, id),
		p11.Attr(p11.AttrGOST28147Params, []byte{}),
	})
	err = token.withReadWrite(t.Context(), "import", func(s p11.Session) error {
		_, err := token.module.CreateObject(s, slices.Concat(common, []*p11.Attribute{
			p11.Attr(p11.AttrClass, p11.ClassPublicKey), p11.Attr(p11.AttrPrivate, false), p11.Attr(p11.AttrVerify, true),
			p11.Attr(p11.AttrValue, public.Bytes()),
		}))
		if err != nil {
			return err
		}
		_, err = token.module.CreateObject(s, slices.Concat(common, []*p11.Attribute{
			p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrPrivate, true), p11.Attr(p11.AttrSign, true),
			p11.Attr(p11.AttrSensitive, true), p11.Attr(p11.AttrExtractable, false), p11.Attr(p11.AttrValue, d),
		}))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The last session takes the login with it, and handles change: a token brought there serves on.
func TestLastSessionLogsOut(t *testing.T) {
	soft := softhsm.New(t)
	cfg := TokenConfig{
		Name: "soft", Module: soft.Module, Label: soft.Label, PIN: PINValue(NewPIN([]byte(soft.PIN))),
		StateDir: filepath.Join(t.TempDir(), "state"), Isolation: InProcess,
	}
	token, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.GenerateKey(t.Context(), keyID, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A")); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), SchedulerConfig{
		Tokens: []TokenConfig{cfg}, Keys: []KeyConfig{{"k", []KeyRef{{"soft", keyID}}}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	key, _ := s.Key("k")
	sign := func() {
		t.Helper()
		if _, err := s.Submit(t.Context(), key, make([]byte, 32), Flow{}); err != nil {
			t.Fatal(err)
		}
	}
	sign()
	l := s.lanes[0]
	l.mutex.Lock()
	module, anchor, epoch := l.at, l.anchor, l.epoch
	l.mutex.Unlock()
	// Without the anchor but with another session the login stays.
	if err := module.CloseSession(anchor); err != nil {
		t.Fatal(err)
	}
	sign()
	l.mutex.Lock()
	if l.epoch != epoch {
		t.Errorf("epoch %d without a loss", l.epoch)
	}
	dead := l.robbed()
	l.mutex.Unlock()
	// Without any session it is gone.
	for _, w := range dead {
		w.drop(nil)
	}
	sign()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.epoch == epoch {
		t.Error("a loss without a new epoch")
	}
	if in, err := l.at.LoggedIn(l.anchor); err != nil || !in {
		t.Errorf("the anchor is not restored: %v %v", in, err)
	}
}
