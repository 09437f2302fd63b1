package gost

import (
	"bytes"
	"math/big"
	"testing"
)

// FuzzParsePublicKey: what is accepted survives its encoding, and the encoding is a fixed point.
func FuzzParsePublicKey(f *testing.F) {
	seen := map[string]bool{}
	for _, v := range loadSign(f).PublicKeys {
		if !seen[v.Name] {
			seen[v.Name] = true
			f.Add([]byte(v.SPKI))
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := ParsePublicKey(der, testSets)
		if err != nil {
			if key != nil {
				t.Fatal("a key beside an error")
			}
			return
		}
		canonical := key.SubjectPublicKeyInfo()
		again, err := ParsePublicKey(canonical, testSets)
		if err != nil || !again.Equal(key) || !bytes.Equal(again.SubjectPublicKeyInfo(), canonical) {
			t.Fatalf("%x: does not survive its encoding %x: %v", der, canonical, err)
		}
		if !bytes.Contains(der, key.raw) {
			t.Fatal("the key's octets are not in its encoding")
		}
	})
}

// FuzzParsePrivateKey: what is accepted survives its encoding.
func FuzzParsePrivateKey(f *testing.F) {
	seen := map[string]bool{}
	for _, v := range loadSign(f).PrivateKeys {
		if !seen[v.Name] {
			seen[v.Name] = true
			f.Add([]byte(v.PKCS8))
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := ParsePrivateKey(der, testSets)
		if err != nil {
			return
		}
		again, err := ParsePrivateKey(key.MarshalPKCS8(), testSets)
		if err != nil || !again.Equal(key) {
			t.Fatalf("does not survive its encoding: %v", err)
		}
	})
}

// FuzzVerify compares the verifier with the reference, on the octets as they come and on a signature that the reference
// makes from them for the key d·P.
func FuzzVerify(f *testing.F) {
	for i, g := range loadSign(f).Groups {
		for _, v := range g.Tests[2:4] {
			f.Add(uint8(i), []byte(g.D), []byte(v.K), []byte(v.Digest), []byte(v.Sig))
		}
	}
	f.Fuzz(func(t *testing.T, set uint8, dOctets, kOctets, digest, signature []byte) {
		p := ParamSets[int(set)%len(ParamSets)]
		a := p.algorithms[int(set)/len(ParamSets)%len(p.algorithms)]
		ref := referenceOf(p.curve)
		// any octets are a scalar in range
		scalar := func(b []byte) *big.Int {
			x := new(big.Int).SetBytes(b[:min(len(b), 64)])
			return x.Mod(x, new(big.Int).Sub(ref.q, big.NewInt(1))).Add(x, big.NewInt(1))
		}
		d, k := scalar(dOctets), scalar(kOctets)
		fixed := func(b []byte, n int) []byte {
			return append(bytes.Clone(b[:min(len(b), n)]), make([]byte, n-min(len(b), n))...)
		}
		digest, signature = fixed(digest, a.Digest.Size), fixed(signature, a.SignatureSize())

		dLimbs, kLimbs := feOf(d), feOf(k)
		key, err := newPrivateKey(a, p, &dLimbs, []KeyOption{testSets})
		if err != nil {
			t.Fatal(err)
		}
		public := ref.mul(d, ref.base)
		if got := key.public.Verify(digest, signature) == nil; got != ref.verify(public, digest, signature) {
			t.Errorf("%s: verdict on %x over %x is %v", p.Name, signature, digest, got)
		}
		made := ref.sign(d, k, digest, p.Size())
		if got := key.signWithNonce(digest, &kLimbs); !bytes.Equal(got, made) {
			t.Errorf("%s: signature is %x, want %x", p.Name, got, made)
		}
		if made != nil {
			if err := key.public.Verify(digest, made); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
	})
}
