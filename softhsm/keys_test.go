package softhsm_test

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// imported stores a private key, its number big-endian, as SoftHSM takes it.
func (c *client) imported(id string, p set, number []byte) pkcs11.ObjectHandle {
	c.Helper()
	_, private := templates(id)
	o, err := c.CreateObject(c.s, slices.Concat(private, p.params(c), []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, p.keyType),
		pkcs11.NewAttribute(pkcs11.CKA_VALUE, number), pkcs11.NewAttribute(pkcs11.CKA_GOST28147_PARAMS, []byte{}),
	}))
	c.must(err)
	return o
}

// openSSLKey makes a key with the gost engine and gives its number, big-endian, and its public key.
func openSSLKey(tb testing.TB, p set, name string) ([]byte, *gost.PublicKey) {
	tb.Helper()
	pkcs8, err := oracle.OpenSSL(tb, nil, "genpkey", "-engine", "gost", "-algorithm", fmt.Sprint("gost2012_", 8*p.Size()),
		"-pkeyopt", "paramset:"+name, "-outform", "DER")
	if err != nil {
		tb.Fatal(err)
	}
	spki, err := oracle.OpenSSL(tb, pkcs8, "pkey", "-engine", "gost", "-inform", "DER", "-pubout", "-outform", "DER")
	if err != nil {
		tb.Fatal(err)
	}
	public, err := gost.ParsePublicKey(spki)
	if err != nil {
		tb.Fatal(err)
	}
	var key struct {
		Version   int
		Algorithm asn1.RawValue
		Private   []byte // little-endian
	}
	if _, err := asn1.Unmarshal(pkcs8, &key); err != nil || len(key.Private) != p.Size() {
		tb.Fatalf("a private key of %d octets, %v", len(key.Private), err)
	}
	slices.Reverse(key.Private)
	return key.Private, public
}

func TestImport(t *testing.T) {
	c := connect(t, softhsm.New(t))
	for name, openssl := range map[string]string{
		"CryptoPro-A": "A", "CryptoPro-B": "B", "CryptoPro-C": "C", "CryptoPro-XchA": "XA", "CryptoPro-XchB": "XB",
		"tc26-256-A": "TCA", "tc26-256-B": "TCB", "tc26-256-C": "TCC", "tc26-256-D": "TCD",
		"tc26-512-A": "A", "tc26-512-B": "B", "tc26-512-C": "C",
	} {
		p := named(name)
		number, public := openSSLKey(t, p, openssl)
		priv := c.imported(name, p, number)
		digest := make([]byte, p.Size())
		signature, err := c.signed(c.s, p.sign, priv, digest)
		if err == nil {
			err = public.Verify(digest, signature)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Numbers with leading zeros, kept or not, are keys; numbers out of range are none.
func TestImportedNumbers(t *testing.T) {
	c := connect(t, softhsm.New(t))
	for _, name := range []string{"tc26-256-A", "tc26-512-B"} {
		p := named(name)
		number, public := openSSLKey(t, p, map[string]string{"tc26-256-A": "TCA", "tc26-512-B": "B"}[name])
		digest := make([]byte, p.Size())
		for i, form := range [][]byte{number, append(make([]byte, 3), number...)} {
			signature, err := c.signed(c.s, p.sign, c.imported(fmt.Sprint(name, i), p, form), digest)
			if err == nil {
				err = public.Verify(digest, signature)
			}
			if err != nil {
				t.Errorf("%s, form %d: %v", name, i, err)
			}
		}
		small := []byte{7}
		short, padded := c.imported(name+"-7", p, small), c.imported(name+"-07", p, append(make([]byte, p.Size()-1), 7))
		for _, o := range []pkcs11.ObjectHandle{short, padded} {
			signature, err := c.signed(c.s, p.sign, o, digest)
			if err != nil || len(signature) != 2*p.Size() {
				t.Errorf("%s: %d octets, %v", name, len(signature), err)
			}
		}
		for i, bad := range [][]byte{make([]byte, p.Size()), bytes.Repeat([]byte{0xFF}, p.Size()), append([]byte{1}, number...)} {
			if _, err := c.signed(c.s, p.sign, c.imported(fmt.Sprint(name, "-bad-", i), p, bad), digest); err == nil {
				t.Errorf("%s: signed with the number %x", name, bad)
			}
		}
	}
	// The parameters of one size under the type of the other.
	p := named("tc26-512-A")
	p.keyType, p.sign = pkcs11.CKK_GOSTR3410, pkcs11.CKM_GOSTR3410
	if _, err := c.signed(c.s, p.sign, c.imported("mixed", p, []byte{7}), make([]byte, 32)); err == nil {
		t.Error("a 256-bit key signed with parameters of 512 bit")
	}
}

// A key that leaves the token wrapped comes back as itself.
func TestWrap(t *testing.T) {
	c := connect(t, softhsm.New(t))
	wrapping, err := c.GenerateKey(c.s, mechanism(pkcs11.CKM_AES_KEY_GEN), []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_WRAP, true),
		pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, true),
	})
	c.must(err)
	wrap := mechanism(pkcs11.CKM_AES_KEY_WRAP_PAD)
	for _, name := range []string{"CryptoPro-A", "tc26-256-C", "tc26-512-A", "tc26-512-C"} {
		p := named(name)
		pub, _ := templates(name)
		public, private, err := c.GenerateKeyPair(c.s, mechanism(p.generate), slices.Concat(pub, p.params(t)),
			[]*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)})
		c.must(err)
		wrapped, err := c.WrapKey(c.s, wrap, wrapping, private)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := c.UnwrapKey(c.s, wrap, wrapping, wrapped, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, p.keyType),
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		digest := make([]byte, p.Size())
		signature, err := c.signed(c.s, p.sign, back, digest)
		c.must(err)
		if err := c.public(public, p).Verify(digest, signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The token keeps parsed keys while the login lasts, and wipes them with the login, the object and the token.
func TestParsedKeysAreWiped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads the process's memory by /proc")
	}
	token := softhsm.New(t)
	c := connect(t, token)
	for _, p := range []set{named("tc26-256-A"), named("tc26-512-A")} {
		number := make([]byte, p.Size())
		_, _ = rand.Read(number) // never fails
		number[0] = 1            // below the order
		use := func() {
			t.Helper()
			priv := c.find(pkcs11.CKO_PRIVATE_KEY, p.Name)
			for range 3 {
				if _, err := c.signed(c.s, p.sign, priv, make([]byte, p.Size())); err != nil {
					t.Fatal(err)
				}
			}
			if n := parsed(t, number); n == 0 {
				t.Fatal("no parsed key is kept, or the search misses it")
			}
		}
		wiped := func(when string) {
			t.Helper()
			if n := parsed(t, number); n != 0 {
				t.Errorf("%s, %s: %d copies of the number are left", p.Name, when, n)
			}
		}
		c.imported(p.Name, p, number)
		use()
		c.must(c.Logout(c.s))
		wiped("logged out")
		c.login()
		use()
		c.must(c.CloseSession(c.s))
		wiped("last session closed")
		c.s = c.session()
		c.login()
		use()
		c.must(c.DestroyObject(c.s, c.find(pkcs11.CKO_PRIVATE_KEY, p.Name)))
		wiped("object destroyed")
		c.imported(p.Name, p, number)
		use()
		c.must(c.CloseAllSessions(c.slot))
		c.must(c.InitToken(c.slot, token.SOPIN, token.Label))
		wiped("token initialised anew")
		c.s = c.session()
		c.must(c.Login(c.s, pkcs11.CKU_SO, token.SOPIN))
		c.must(c.InitPIN(c.s, token.PIN))
		c.must(c.Logout(c.s))
		c.login()
		c.imported(p.Name, p, number)
		use()
		c.must(c.Finalize())
		wiped("finalised")
		c.must(c.Initialize())
		c.s = c.session()
		c.login()
	}
}

// parsed counts where a number is in memory as OpenSSL keeps it, in words of the machine, least first. The words looked for
// are masked, so that they are not found where they are looked for.
func parsed(t *testing.T, number []byte) int {
	t.Helper()
	const mask = 0x5A5A5A5A5A5A5A5A
	words := make([]uint64, len(number)/8)
	for i := range words {
		end := len(number) - 8*i
		words[i] = binary.BigEndian.Uint64(number[end-8:end]) ^ mask
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	chunk, n := make([]byte, 1<<20), 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue // what cannot be written, or is the kernel's
		}
		if to-from > 4<<30 {
			continue // not malloc's: the race detector's
		}
		for step := int64(len(chunk) - 8*len(words)); from < to; from += step {
			got, _ := memory.ReadAt(chunk[:min(int64(len(chunk)), to-from)], from)
			for i := 0; i+8*len(words) <= got; i += 8 {
				j := 0
				for j < len(words) && binary.NativeEndian.Uint64(chunk[i+8*j:]) == words[j]^mask {
					j++
				}
				if j == len(words) {
					n++
				}
			}
			clear(chunk)
		}
	}
	return n
}

// A program that leaves without C_Finalize leaves in peace.
func TestExitWithoutFinalize(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		oracle.Missing(t, "a C compiler")
	}
	token := softhsm.New(t)
	dir := t.TempDir()
	source, program := filepath.Join(dir, "exit.c"), filepath.Join(dir, "exit")
	const text = `
#include <dlfcn.h>
int main(int argc, char **argv) {
	void *module = dlopen(argv[1], RTLD_NOW);
	long (*initialize)(void *) = module ? (long (*)(void *))dlsym(module, "C_Initialize") : 0;
	return initialize ? (int)initialize(0) : 99;
}`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-w", "-o", program, source, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(program, token.Module).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// pkcs11-tool, which gives the parameters in both templates, makes keys and signs.
func TestPKCS11Tool(t *testing.T) {
	tool, err := exec.LookPath("pkcs11-tool")
	if err != nil {
		oracle.Missing(t, "pkcs11-tool")
	}
	token := softhsm.New(t)
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(tool, append([]string{"--module", token.Module, "--token-label", token.Label, "--login",
			"--pin", token.PIN}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("pkcs11-tool %s: %v: %s", args, err, out)
		}
		return string(out)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "digest"), filepath.Join(dir, "signature")
	data := []byte("text")
	kinds := []string{"GOSTR3410:A", "GOSTR3410:B", "GOSTR3410:C", "GOSTR3410-2012-256:A", "GOSTR3410-2012-256:B",
		"GOSTR3410-2012-256:C", "GOSTR3410-2012-256:D", "GOSTR3410-2012-512:A", "GOSTR3410-2012-512:B", "GOSTR3410-2012-512:C"}
	var signatures [][]byte
	for i, kind := range kinds {
		id, p, mechanism := fmt.Sprintf("%02x", i+1), named("CryptoPro-A"), "GOSTR3410"
		if strings.Contains(kind, "-512:") {
			p, mechanism = named("tc26-512-A"), "GOSTR3410_512"
		}
		if err := os.WriteFile(in, digestOf(p, data), 0o600); err != nil {
			t.Fatal(err)
		}
		run("--keypairgen", "--key-type", kind, "--id", id, "--label", kind)
		run("--sign", "--mechanism", mechanism, "--id", id, "--input-file", in, "--output-file", out)
		signature, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		signatures = append(signatures, signature)
	}
	c := connect(t, token)
	for i, signature := range signatures {
		pub := c.find(pkcs11.CKO_PUBLIC_KEY, string(rune(i+1)))
		var oid asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(c.attribute(pub, pkcs11.CKA_GOSTR3410_PARAMS), &oid); err != nil {
			t.Fatal(err)
		}
		wantOpenSSL(t, c.public(pub, setOf(gost.ParamSetByOID(oid))), data, signature)
	}
}

// BenchmarkSign compares the patched token with the stock one where "SOFTHSM_STOCK=1 softhsm/build.sh" has built it.
func BenchmarkSign(b *testing.B) {
	run := func(name string, token *softhsm.Token, p set, sessions int) {
		b.Run(fmt.Sprintf("%s/%s/sessions=%d", name, p.Name, sessions), func(b *testing.B) {
			c := connect(b, token)
			_, priv := c.pair(b.Name()+rand.Text(), p)
			digest := make([]byte, p.Size())
			work := make(chan struct{}, sessions)
			done := make(chan error, sessions)
			for range sessions {
				s := c.session()
				go func() {
					for range work {
						if _, err := c.signed(s, p.sign, priv, digest); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			for range sessions {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
		})
	}
	for _, sessions := range []int{1, 4} {
		run("stock", softhsm.NewStock(b), named("CryptoPro-A"), sessions)
		token := softhsm.New(b)
		for _, name := range []string{"CryptoPro-A", "tc26-256-A", "tc26-512-A"} {
			run("patched", token, named(name), sessions)
		}
	}
}
