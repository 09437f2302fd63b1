package hsm_test

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

var quiet = slog.New(slog.DiscardHandler)

func cryptoProA() *gost.ParamSet { return gost.ParamSetByName("CryptoPro-A") }

func config(tb testing.TB, t *softhsm.Token) hsm.TokenConfig {
	return hsm.TokenConfig{
		Module: t.Module, Label: t.Label, PIN: hsm.PINValue(hsm.NewPIN([]byte(t.PIN))), StateDir: filepath.Join(tb.TempDir(), "state"),
	}
}

func open(tb testing.TB, cfg hsm.TokenConfig) *hsm.Token {
	tb.Helper()
	token, err := hsm.Open(tb.Context(), cfg, quiet)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeToken(tb, token) })
	return token
}

func closeToken(tb testing.TB, token *hsm.Token) {
	tb.Helper()
	if err := token.Close(context.Background()); err != nil {
		tb.Error(err)
	}
}

func newKey(tb testing.TB, token *hsm.Token, id string) *hsm.TokenKey {
	tb.Helper()
	if _, err := token.GenerateKey(tb.Context(), id, gost.GOST2012_256, cryptoProA()); err != nil {
		tb.Fatal(err)
	}
	key, err := token.Key(tb.Context(), id)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func wantKind(tb testing.TB, err error, want hsm.Kind) {
	tb.Helper()
	if err == nil || hsm.KindOf(err) != want {
		tb.Fatalf("got %v (%v), want an error of kind %v", err, hsm.KindOf(err), want)
	}
}

// verifyWithOpenSSL checks a signature over data's Streebog-256 digest.
func verifyWithOpenSSL(tb testing.TB, public *gost.PublicKey, data, signature []byte) {
	tb.Helper()
	dir := tb.TempDir()
	key, sig := filepath.Join(dir, "key.pem"), filepath.Join(dir, "sig")
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public.SubjectPublicKeyInfo()})
	if err := os.WriteFile(key, block, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(sig, signature, 0o600); err != nil {
		tb.Fatal(err)
	}
	out, err := oracle.OpenSSL(tb, data, "dgst", "-engine", "gost", "-md_gost12_256", "-verify", key, "-signature", sig)
	if err != nil || !strings.Contains(string(out), "Verified OK") {
		tb.Errorf("openssl: %s %v", out, err)
	}
}

func TestSign(t *testing.T) {
	token := open(t, config(t, softhsm.New(t)))
	key := newKey(t, token, "EXMP01/ov/1")
	if a := key.Public().Algorithm; a != gost.GOST2012_256 {
		t.Fatalf("algorithm %s", a.Name)
	}

	type signed struct{ data, signature []byte }
	results := make(chan signed, 200)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 50 {
				data := []byte(rand.Text())
				h := gost.Streebog256.New()
				h.Write(data)
				digest := h.Sum(nil)
				signature, err := key.SignDigest(t.Context(), digest)
				if err != nil {
					t.Error(err)
					return
				}
				if err := key.Public().Verify(digest, signature); err != nil {
					t.Error(err)
				}
				results <- signed{data, signature}
			}
		})
	}
	group.Wait()
	close(results)
	n := 0
	for r := range results {
		if n%25 == 0 {
			verifyWithOpenSSL(t, key.Public(), r.data, r.signature)
		}
		n++
	}
	if n != 200 {
		t.Errorf("%d signatures of 200", n)
	}
}

// A pair that a second start of the process finds is the same one; the certificate of a listing is the one imported.
func TestProvision(t *testing.T) {
	soft := softhsm.New(t)
	cfg := config(t, soft)
	token := open(t, cfg)
	first := newKey(t, token, "EXMP01/ov/1")
	newKey(t, token, "EXMP01/ov/2")

	_, err := token.GenerateKey(t.Context(), "EXMP01/ov/1", gost.GOST2012_256, cryptoProA())
	wantKind(t, err, hsm.Exists)
	_, err = token.GenerateKey(t.Context(), "EXMP01/ov/3", gost.GOST2001, cryptoProA())
	wantKind(t, err, hsm.Invalid)

	cert := certify(t, first, "1")
	wantKind(t, token.ImportCertificate(t.Context(), "EXMP01/ov/2", cert, false), hsm.Invalid)
	wantKind(t, token.ImportCertificate(t.Context(), "EXMP01/ov/9", cert, false), hsm.KeyNotFound)
	wantKind(t, token.ImportCertificate(t.Context(), "EXMP01/ov/1", cert[:len(cert)-1], false), hsm.Invalid)
	for range 2 { // the second time it is there
		if err := token.ImportCertificate(t.Context(), "EXMP01/ov/1", cert, false); err != nil {
			t.Fatal(err)
		}
	}
	renewed := certify(t, first, "2")
	wantKind(t, token.ImportCertificate(t.Context(), "EXMP01/ov/1", renewed, false), hsm.Exists)
	if err := token.ImportCertificate(t.Context(), "EXMP01/ov/1", renewed, true); err != nil {
		t.Fatal(err)
	}

	closeToken(t, token)
	if _, err := first.SignDigest(t.Context(), make([]byte, 32)); hsm.KindOf(err) != hsm.Closed {
		t.Errorf("signing on a closed token: %v", err)
	}
	token = open(t, cfg)
	list, err := token.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].ID != "EXMP01/ov/1" || !list[0].HasCert || list[0].Problem != "" || list[0].Type != "gost256" ||
		string(list[0].Certificate.Raw) != string(renewed) || list[1].HasCert || list[1].Public == nil {
		t.Errorf("%+v", list)
	}
	key, err := token.Key(t.Context(), "EXMP01/ov/1")
	if err != nil {
		t.Fatal(err)
	}
	if !key.Public().Equal(first.Public()) || string(key.Certificate().Raw) != string(renewed) {
		t.Error("another key or certificate than before")
	}
	_, err = token.Key(t.Context(), "EXMP01/ov/3")
	wantKind(t, err, hsm.KeyNotFound) // what could not be made is not left behind
}

// Every set that is not for tests only serves, under every name.
func TestGenerateEverySet(t *testing.T) {
	token := open(t, config(t, softhsm.New(t)))
	n := 0
	for _, p := range gost.ParamSets {
		if p.TestOnly {
			continue
		}
		n++
		id, a := "EXMP01/"+p.Name+"/1", gost.GOST2012_256
		if p.Size() == 64 {
			a = gost.GOST2012_512
		}
		public, err := token.GenerateKey(t.Context(), id, a, p)
		if err != nil {
			t.Error(err)
			continue
		}
		key, err := token.Key(t.Context(), id)
		if err != nil {
			t.Error(err)
			continue
		}
		if !key.Public().Equal(public) || key.Public().Params != p {
			t.Errorf("%s: found on %s", p.Name, key.Public().Params.Name)
		}
		digest := make([]byte, p.Size())
		signature, err := key.SignDigest(t.Context(), digest)
		if err == nil {
			err = public.Verify(digest, signature)
		}
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	if n != 12 {
		t.Errorf("%d sets", n)
	}
	list, err := token.Keys(t.Context())
	if err != nil || len(list) != n {
		t.Errorf("%d keys, %v", len(list), err)
	}
}

// What stock SoftHSM cannot make is refused and leaves nothing behind.
func TestStockTokenCannot(t *testing.T) {
	token := open(t, config(t, softhsm.NewStock(t)))
	newKey(t, token, "EXMP01/ov/1")
	_, err := token.GenerateKey(t.Context(), "EXMP01/ov/3", gost.GOST2012_512, gost.ParamSetByName("tc26-512-A"))
	wantKind(t, err, hsm.Config)
	if _, err = token.GenerateKey(t.Context(), "EXMP01/ov/3", gost.GOST2012_256, gost.ParamSetByName("CryptoPro-B")); err == nil {
		t.Fatal("stock SoftHSM made a key on CryptoPro-B")
	}
	_, err = token.Key(t.Context(), "EXMP01/ov/3")
	wantKind(t, err, hsm.KeyNotFound)
}

// certify has a throw-away authority of OpenSSL certify the key.
func certify(tb testing.TB, key *hsm.TokenKey, serial string) []byte {
	tb.Helper()
	name, err := gost.ParseName("CN=EXMP01")
	if err != nil {
		tb.Fatal(err)
	}
	prepared, err := gost.PrepareRequest(gost.RequestTemplate{Subject: name}, key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	signature, err := key.SignDigest(tb.Context(), prepared.Digest())
	if err != nil {
		tb.Fatal(err)
	}
	request, err := prepared.Complete(signature)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("req.der"), request, 0o600); err != nil {
		tb.Fatal(err)
	}
	for _, args := range [][]string{
		{"genpkey", "-engine", "gost", "-algorithm", "gost2012_256", "-pkeyopt", "paramset:A", "-out", at("ca.key")},
		{"req", "-engine", "gost", "-x509", "-new", "-key", at("ca.key"), "-subj", "/CN=test authority",
			"-md_gost12_256", "-out", at("ca.pem")},
		{"x509", "-engine", "gost", "-req", "-inform", "DER", "-in", at("req.der"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
			"-set_serial", serial, "-md_gost12_256", "-outform", "DER", "-out", at("cert.der")},
	} {
		if _, err := oracle.OpenSSL(tb, nil, args...); err != nil {
			tb.Fatal(err)
		}
	}
	der, err := os.ReadFile(at("cert.der"))
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// A wrong PIN costs one try, however often the service starts.
func TestWrongPIN(t *testing.T) {
	soft := softhsm.New(t)
	cfg := config(t, soft)
	right := cfg.PIN
	cfg.PIN = hsm.PINValue(hsm.NewPIN([]byte("surely-wrong")))
	for i := range 4 {
		_, err := hsm.Open(t.Context(), cfg, quiet)
		wantKind(t, err, hsm.PINRefused)
		if before := strings.Contains(err.Error(), "before"); before != (i > 0) {
			t.Errorf("start %d: %v", i+1, err)
		}
		if strings.Contains(err.Error(), "surely-wrong") {
			t.Error("the error tells the PIN")
		}
	}
	infos, err := hsm.ListTokens(soft.Module)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if info.Label == soft.Label && !info.PINCountLow {
			t.Error("the token does not know of the wrong PIN")
		}
	}
	cfg.PIN = right
	open(t, cfg)
}

func TestFindToken(t *testing.T) {
	soft := softhsm.New(t)
	label := soft.Label
	cfg := config(t, soft)
	if err := soft.Add(label + "-2"); err != nil {
		t.Fatal(err)
	}
	missing := cfg
	missing.Label = "nowhere"
	_, err := hsm.Open(t.Context(), missing, quiet)
	wantKind(t, err, hsm.Away)
	if !strings.Contains(err.Error(), label) {
		t.Errorf("the tokens there are not listed: %v", err)
	}
	nothing := cfg
	nothing.Module = filepath.Join(t.TempDir(), "none.so")
	_, err = hsm.Open(t.Context(), nothing, quiet)
	wantKind(t, err, hsm.Config)

	other := cfg
	other.Label, other.Serial = "", soft.Serial
	first, second := open(t, cfg), open(t, other) // two tokens of one module
	newKey(t, first, "A/ov/1")
	key := newKey(t, second, "B/ov/1")
	_, err = second.Key(t.Context(), "A/ov/1")
	wantKind(t, err, hsm.KeyNotFound)
	closeToken(t, first)
	if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
		t.Errorf("closing one token disturbs the other: %v", err)
	}
}

func TestInitToken(t *testing.T) {
	soft := softhsm.New(t)
	so, pin := hsm.NewPIN([]byte("so-secret")), hsm.NewPIN([]byte("user-secret"))
	o := hsm.InitOptions{Label: "fresh", SOPIN: so, UserPIN: pin}
	for _, short := range []hsm.InitOptions{
		{Label: "fresh", SOPIN: so, UserPIN: hsm.NewPIN([]byte("12"))}, {Label: "fresh", SOPIN: hsm.NewPIN([]byte("12")), UserPIN: pin},
	} {
		_, err := hsm.InitToken(soft.Module, short)
		wantKind(t, err, hsm.Invalid) // and the token is as it was
	}
	info, err := hsm.InitToken(soft.Module, o)
	if err != nil {
		t.Fatal(err)
	}
	if info.Label != "fresh" || !info.Initialised || !info.UserPINSet || !info.GOST256 || !info.GOST512 || info.Serial == "" {
		t.Errorf("%+v", info)
	}
	_, err = hsm.InitToken(soft.Module, o)
	wantKind(t, err, hsm.Exists) // the label
	o.Label, o.Serial = "again", info.Serial
	_, err = hsm.InitToken(soft.Module, o)
	wantKind(t, err, hsm.Exists) // its keys
	cfg := config(t, soft)
	cfg.Label, cfg.PIN = "fresh", hsm.PINValue(pin)
	newKey(t, open(t, cfg), "EXMP01/ov/1")
}

func BenchmarkSignDigest(b *testing.B) {
	token := open(b, config(b, softhsm.New(b)))
	key := newKey(b, token, "EXMP01/ov/1")
	digest := make([]byte, 32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := key.SignDigest(b.Context(), digest); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
