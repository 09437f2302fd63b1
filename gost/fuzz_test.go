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

// FuzzVerify compares signer and verifier with the reference: for the key d·P, either the octets as they come are judged,
// or a signature is made with the nonce k and must be the same and verify.
func FuzzVerify(f *testing.F) {
	for i := range ParamSets {
		q := ParamSets[i].curve.q.v
		var least, most [64]byte
		q.putBytes(most[:])
		most[63] -= 2 // scalar maps x to x + 1
		f.Add(uint8(i), true, []byte("key"), []byte("nonce"), []byte("digest"), []byte{})
		f.Add(uint8(i), true, least[:], most[:], make([]byte, 64), []byte{})
		f.Add(uint8(i), true, most[:], least[:], []byte{1}, []byte{})
		f.Add(uint8(i), false, most[:], []byte{}, []byte("digest"), []byte("signature"))
	}
	f.Fuzz(func(t *testing.T, set uint8, sign bool, dOctets, kOctets, digest, signature []byte) {
		p := ParamSets[int(set)%len(ParamSets)]
		a := p.algorithms[int(set)/len(ParamSets)%len(p.algorithms)]
		ref := referenceOf(p.curve)
		// any octets are a scalar in range
		scalar := func(b []byte) (*big.Int, fe) {
			x := new(big.Int).SetBytes(b[:min(len(b), 64)])
			x.Mod(x, new(big.Int).Sub(ref.q, big.NewInt(1))).Add(x, big.NewInt(1))
			return x, feOf(x)
		}
		fixed := func(b []byte, n int) []byte {
			b = b[:min(len(b), n)]
			return append(bytes.Clone(b), make([]byte, n-len(b))...)
		}
		d, limbs := scalar(dOctets)
		public := ref.mul(d, ref.base)
		key, err := newPrivateKey(a, p, &limbs, []KeyOption{testSets})
		if err != nil {
			t.Fatal(err)
		}
		digest = fixed(digest, a.Digest.Size)
		if !sign {
			signature = fixed(signature, a.SignatureSize())
			if got := key.public.Verify(digest, signature) == nil; got != ref.verify(public, digest, signature) {
				t.Errorf("%s: verdict on %x over %x is %v", p.Name, signature, digest, got)
			}
			return
		}
		k, nonce := scalar(kOctets)
		want := ref.sign(d, k, digest, p.Size())
		got := key.signWithNonce(digest, &nonce)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: signature is %x, want %x", p.Name, got, want)
		}
		if got != nil && key.public.Verify(digest, got) != nil {
			t.Errorf("%s: own signature %x over %x does not verify", p.Name, got, digest)
		}
	})
}
