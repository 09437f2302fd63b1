package p11

import (
	"errors"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// signer is a session in which a key can sign.
func signer(tb testing.TB, soft *softhsm.Token, o Options) (Module, Session, Object) {
	tb.Helper()
	m, release, err := LoadWith(soft.Module, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := release(); err != nil {
			tb.Error(err)
		}
	})
	slots, err := m.Slots()
	if err != nil {
		tb.Fatal(err)
	}
	s, err := m.OpenSession(slots[0], false)
	if err != nil {
		tb.Fatal(err)
	}
	if err := m.Login(s, User, soft.PIN+"x"); err != PINIncorrect {
		tb.Fatal("a wrong PIN:", err)
	}
	if err := m.Login(s, User, soft.PIN); err != nil {
		tb.Fatal(err)
	}
	found, err := m.Find(s, []*Attribute{Attr(AttrClass, ClassPrivateKey)}, 2)
	if err != nil || len(found) != 1 {
		tb.Fatal(found, err)
	}
	return m, s, found[0]
}

func TestSign(t *testing.T) {
	for _, o := range []Options{{}, {Serial: true}} {
		m, s, key := signer(t, softhsm.NewNoop(t), o)
		if _, alone := m.(*serial); alone != o.Serial {
			t.Errorf("%+v: %T", o, m)
		}
		digest := make([]byte, 32)
		signature, err := m.Sign([]byte("head"), s, MechGOST, key, digest)
		if err != nil || len(signature) != 4+64 || string(signature[:4]) != "head" {
			t.Fatal(signature, err)
		}
		public, err := m.Find(s, []*Attribute{Attr(AttrClass, ClassPublicKey)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		point, err := m.Attribute(s, public[0], AttrValue)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := gost.NewPublicKey(gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"), point)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(digest, signature[4:]); err != nil {
			t.Error(err)
		}
		room := make([]byte, 0, MaxSignature)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := m.Sign(room, s, MechGOST, key, digest); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations a signature", n)
		}
		for _, wrong := range []struct {
			mechanism uint
			key       Object
			data      []byte
			want      Error
		}{
			{MechGOST512, key, digest, MechanismInvalid}, {MechGOST, key + 1, digest, KeyHandleInvalid},
			{MechGOST, key, digest[:31], DataLenRange}, {MechGOST, key, nil, DataLenRange},
		} {
			if _, err := m.Sign(nil, s, wrong.mechanism, wrong.key, wrong.data); err != wrong.want {
				t.Errorf("%v, want %v", err, wrong.want)
			}
		}
		if _, err := m.Sign(nil, s+1, MechGOST, key, digest); err != SessionHandleInvalid {
			t.Error(err)
		}
	}
}

// A library that cannot lock is initialised as for one thread, and let alone with one call at a time.
func TestCannotLock(t *testing.T) {
	faulty := softhsm.NewFaulty(t)
	for _, refusal := range []struct {
		code string
		want Error
	}{{"0x0A", CantLock}, {"0x09", NeedToCreateThreads}} {
		faulty.Set("call C_Initialize at=1 return=" + refusal.code)
		before := faulty.Calls("C_Initialize")
		m, release, err := Load(faulty.Module)
		if err != nil {
			t.Fatal(err)
		}
		if _, alone := m.(*serial); !alone || faulty.Calls("C_Initialize") != before+2 {
			t.Errorf("%T after %d calls", m, faulty.Calls("C_Initialize")-before)
		}
		if err := release(); err != nil {
			t.Error(err)
		}
		faulty.Set("call C_Initialize return=" + refusal.code)
		if _, _, err := Load(faulty.Module); !errors.Is(err, refusal.want) {
			t.Errorf("%v, want %v", err, refusal.want)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	soft := softhsm.NewNoop(b)
	m, s, key := signer(b, soft, Options{})
	digest := make([]byte, 32)
	b.Run("direct", func(b *testing.B) {
		room := make([]byte, 0, MaxSignature)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Sign(room, s, MechGOST, key, digest); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("miekg", func(b *testing.B) {
		ctx := m.(module).ctx
		b.ReportAllocs()
		for b.Loop() {
			if err := ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(MechGOST, nil)}, key); err != nil {
				b.Fatal(err)
			}
			if _, err := ctx.Sign(s, digest); err != nil {
				b.Fatal(err)
			}
		}
	})
}
