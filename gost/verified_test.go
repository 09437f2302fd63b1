package gost

import (
	"bytes"
	"crypto/rand"
	"testing"
)

func TestProve(t *testing.T) {
	for _, a := range []struct {
		algorithm *Algorithm
		set       string
	}{{GOST2012_256, "CryptoPro-A"}, {GOST2012_256, "tc26-256-A"}, {GOST2012_512, "tc26-512-A"}} {
		private, err := GenerateKey(rand.Reader, a.algorithm, ParamSetByName(a.set))
		if err != nil {
			t.Fatal(err)
		}
		other, err := GenerateKey(rand.Reader, a.algorithm, ParamSetByName(a.set))
		if err != nil {
			t.Fatal(err)
		}
		key := private.Public().(*PublicKey)
		digest := make([]byte, a.algorithm.Digest.Size)
		_, _ = rand.Read(digest)
		signature, err := private.Sign(rand.Reader, digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, prove := range map[string]func(digest, signature []byte) (Verified, error){"plain": key.Prove,
			"prepared": Prepare(key).Prove} {
			given, value := bytes.Clone(digest), bytes.Clone(signature)
			v, err := prove(given, value)
			if err != nil || !v.Of(key, digest) || !bytes.Equal(v.Signature(), signature) {
				t.Fatalf("%s, %s: %v", a.set, name, err)
			}
			same, err := NewPublicKey(key.Algorithm, key.Params, key.Bytes())
			if err != nil || !v.Of(same, digest) {
				t.Errorf("%s, %s: not of the same key again (%v)", a.set, name, err)
			}
			// What was proved stays, whatever becomes of what it was made from or what was got from it.
			given[0]++
			value[0]++
			v.Signature()[1]++
			if !v.Of(key, digest) || v.Of(key, given) || !bytes.Equal(v.Signature(), signature) {
				t.Errorf("%s, %s: it changed", a.set, name)
			}
			if v.Of(other.Public().(*PublicKey), digest) || v.Of(key, digest[1:]) || v.Of(key, nil) || v.Of(nil, digest) {
				t.Errorf("%s, %s: it says more than was verified", a.set, name)
			}
			for i := range signature {
				wrong := bytes.Clone(signature)
				wrong[i] ^= 1
				if v, err := prove(digest, wrong); err == nil || v != (Verified{}) || v.Of(key, digest) || v.Signature() != nil {
					t.Fatalf("%s, %s: octet %d: a wrong signature is proved", a.set, name, i)
				}
			}
			for _, wrong := range [][]byte{nil, signature[:len(signature)-1], append(bytes.Clone(signature), make([]byte, 300)...)} {
				if v, err := prove(digest, wrong); err == nil || v != (Verified{}) {
					t.Errorf("%s, %s: a signature of %d octets is proved", a.set, name, len(wrong))
				}
			}
		}
	}
}
