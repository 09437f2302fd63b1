package gost

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

var opensslDigests = map[*Digest]string{
	GOSTR341194: "-md_gost94", Streebog256: "-md_gost12_256", Streebog512: "-md_gost12_512",
}

func TestHashesAgainstOpenSSL(t *testing.T) {
	n := 0
	for d, name := range opensslDigests {
		for _, size := range []int{1, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 4096, 100_003} {
			msg := make([]byte, size)
			rand.Read(msg)
			want, err := oracle.OpenSSL(t, msg, "dgst", name, "-binary")
			if err != nil {
				t.Fatal(err)
			}
			h := d.New()
			h.Write(msg)
			if got := h.Sum(nil); !bytes.Equal(got, want) {
				t.Errorf("%s of %d octets is %x, OpenSSL says %x", d.Name, size, got, want)
			}
			n++
		}
	}
	t.Logf("%d messages", n)
}

// TestSignaturesAgainstOpenSSL: each verifies the other's signatures, keys passing in both directions.
func TestSignaturesAgainstOpenSSL(t *testing.T) {
	n := 0
	for _, p := range ParamSets {
		for _, a := range p.algorithms {
			t.Run(a.Name+"/"+p.Name, func(t *testing.T) {
				key := mustGenerate(t, a, p.Name)
				toPEM := func(label string, der []byte) []byte {
					return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
				}
				keyFile := oracle.File(t, toPEM("PRIVATE KEY", key.MarshalPKCS8()))
				publicFile := oracle.File(t, toPEM("PUBLIC KEY", key.public.SubjectPublicKeyInfo()))
				msg := make([]byte, 200)
				rand.Read(msg)
				h := a.Digest.New()
				h.Write(msg)
				digest := h.Sum(nil)

				theirs, err := oracle.OpenSSL(t, msg, "dgst", opensslDigests[a.Digest], "-sign", keyFile)
				if err != nil {
					t.Fatal(err)
				}
				if err := key.public.Verify(digest, theirs); err != nil {
					t.Errorf("signature of OpenSSL %x: %v", theirs, err)
				}
				ours, err := key.Sign(nil, digest, nil)
				if err != nil {
					t.Fatal(err)
				}
				check := []string{"dgst", opensslDigests[a.Digest], "-verify", publicFile, "-signature", oracle.File(t, ours)}
				if out, err := oracle.OpenSSL(t, msg, check...); err != nil {
					t.Errorf("OpenSSL refuses our signature %x: %s, %v", ours, out, err)
				}
				msg[0] ^= 1
				if _, err := oracle.OpenSSL(t, msg, check...); err == nil {
					t.Error("OpenSSL accepts our signature of another message")
				}

				der, err := oracle.OpenSSL(t, nil, "pkey", "-in", keyFile, "-pubout", "-outform", "DER")
				if err != nil {
					t.Fatal(err)
				}
				same, err := ParsePublicKey(der, testSets)
				if err != nil || !same.Equal(key.public) {
					t.Errorf("OpenSSL reads our key as %x: %v", der, err)
				}
			})
			n++
		}
	}
	t.Logf("%d pairs of algorithm and parameter set", n)
}

// TestKeysOfOpenSSL reads what genpkey writes.
func TestKeysOfOpenSSL(t *testing.T) {
	for _, v := range []struct{ algorithm, paramSet, want string }{
		{"gost2001", "A", "CryptoPro-A"}, {"gost2001", "XB", "CryptoPro-XchB"},
		{"gost2012_256", "TCA", "tc26-256-A"}, {"gost2012_256", "TCB", "tc26-256-B"}, {"gost2012_256", "TCD", "tc26-256-D"},
		{"gost2012_256", "XA", "CryptoPro-XchA"},
		{"gost2012_512", "A", "tc26-512-A"}, {"gost2012_512", "B", "tc26-512-B"}, {"gost2012_512", "C", "tc26-512-C"},
	} {
		der, err := oracle.OpenSSL(t, nil, "genpkey", "-algorithm", v.algorithm,
			"-pkeyopt", "paramset:"+v.paramSet, "-outform", "DER")
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParsePrivateKey(der)
		if err != nil {
			t.Errorf("%s %s: %v: %s", v.algorithm, v.paramSet, err, hex.EncodeToString(der))
			continue
		}
		if key.public.Params.Name != v.want {
			t.Errorf("%s %s: parameter set is %s", v.algorithm, v.paramSet, key.public.Params)
		}
		public, err := oracle.OpenSSL(t, der, "pkey", "-inform", "DER", "-pubout", "-outform", "DER")
		if err != nil {
			t.Fatal(err)
		}
		if same, err := ParsePublicKey(public); err != nil || !same.Equal(key.public) {
			t.Errorf("%s %s: OpenSSL has another public key: %v", v.algorithm, v.paramSet, err)
		}
	}
}
