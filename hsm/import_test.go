package hsm_test

import (
	"crypto/rand"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// opensslKey makes a key with OpenSSL's engine.
func opensslKey(tb testing.TB, algorithm, set string) *gost.PrivateKey {
	tb.Helper()
	out, err := oracle.OpenSSL(tb, nil, "genpkey", "-engine", "gost", "-algorithm", algorithm, "-pkeyopt", "paramset:"+set)
	if err != nil {
		tb.Fatal(err)
	}
	block, _ := pem.Decode(out)
	if block == nil {
		tb.Fatalf("%s", out)
	}
	key, err := gost.ParsePrivateKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// A key of OpenSSL's signs on the token, is kept as well as it can be, and says where it comes from.
func TestImportKey(t *testing.T) {
	token := open(t, config(t, softhsm.New(t)))
	for _, kind := range [][3]string{
		{"A/ov/1", "gost2012_256", "A"}, {"B/ov/1", "gost2012_256", "TCA"}, {"C/ov/1", "gost2012_512", "A"},
		{"D/ov/1", "gost2012_512", "C"},
	} {
		id := kind[0]
		private := opensslKey(t, kind[1], kind[2])
		public, err := token.ImportKey(t.Context(), id, private)
		if err != nil {
			t.Errorf("%v: %v", kind, err)
			continue
		}
		if !public.Equal(private.Public()) {
			t.Errorf("%v: another key", kind)
		}
		key, err := token.Key(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		digest := make([]byte, public.Algorithm.Digest.Size)
		signature, err := key.SignDigest(t.Context(), digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := private.Public().(*gost.PublicKey).Verify(digest, signature); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
		_, err = token.ImportKey(t.Context(), id, private)
		wantKind(t, err, hsm.Exists)
	}
	newKey(t, token, "E/ov/1")
	list, err := token.Keys(t.Context())
	if err != nil || len(list) != 5 {
		t.Fatalf("%d keys, %v", len(list), err)
	}
	for _, k := range list {
		a := k.Attributes
		imported := k.ID != "E/ov/1"
		if !a.Sensitive || a.Extractable || !a.Sign || !a.Private || a.Label != k.ID || a.Local == imported ||
			a.AlwaysSensitive == imported {
			t.Errorf("%s: %+v", k.ID, a)
		}
		if weak := a.Weaknesses(); (len(weak) > 0) != imported || imported && !slices.Contains(weak, "was extractable") {
			t.Errorf("%s: %v", k.ID, weak)
		}
	}
	old, err := gost.GenerateKey(rand.Reader, gost.GOST2001, cryptoProA())
	if err == nil {
		_, err = token.ImportKey(t.Context(), "F/ov/1", old)
		wantKind(t, err, hsm.Invalid)
	}
}

// Stock SoftHSM takes a key of another curve and signs on CryptoPro-A with it: that is found out, and nothing stays.
func TestImportOnTheWrongCurve(t *testing.T) {
	token := open(t, config(t, softhsm.NewStock(t)))
	if _, err := token.ImportKey(t.Context(), "A/ov/1", opensslKey(t, "gost2012_256", "A")); err != nil {
		t.Fatal(err)
	}
	_, err := token.ImportKey(t.Context(), "B/ov/1", opensslKey(t, "gost2012_256", "B"))
	wantKind(t, err, hsm.WrongSignature)
	if !strings.Contains(err.Error(), "on another curve than CryptoPro-B") {
		t.Error(err)
	}
	if list, err := token.Keys(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	_, err = token.GenerateKey(t.Context(), "B/ov/1", gost.GOST2012_256, cryptoProA()) // no object of the id is left
	if err != nil {
		t.Error(err)
	}
}
