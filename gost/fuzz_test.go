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

// FuzzField compares the paths of the special primes' arithmetic, and them with math/big, on any limbs.
func FuzzField(f *testing.F) {
	for _, c := range []*curve{curveA, curve512A} {
		for _, x := range append(edges(c.p), unreduced(c.p)...) {
			var b [64]byte
			x.putBytes(b[:])
			f.Add(b[:], bytes.Repeat([]byte{0xff}, 64))
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var octets [2][64]byte
		copy(octets[0][:], a)
		copy(octets[1][:], b)
		for _, m := range []*modulus{curveA.p, curve512A.p} {
			var x, y fe
			x.setBytes(octets[0][:m.size()])
			y.setBytes(octets[1][:m.size()])
			v, bigX, bigY := bigOf(&m.v), bigOf(&x), bigOf(&y)
			paths(t, func(t *testing.T) {
				for name, op := range map[string]struct {
					f    func(z *fe)
					want *big.Int
				}{
					"product":    {func(z *fe) { m.mul(z, &x, &y) }, new(big.Int).Mul(bigX, bigY)},
					"square":     {func(z *fe) { m.sqr(z, &x) }, new(big.Int).Mul(bigX, bigX)},
					"sum":        {func(z *fe) { m.add(z, &x, &y) }, new(big.Int).Add(bigX, bigY)},
					"difference": {func(z *fe) { m.sub(z, &x, &y) }, new(big.Int).Sub(bigX, bigY)},
				} {
					var z fe
					op.f(&z)
					m.reduce(&z, &z)
					if want := op.want.Mod(op.want, v); bigOf(&z).Cmp(want) != 0 {
						t.Errorf("%s of %x and %x is %x, want %x", name, bigX, bigY, bigOf(&z), want)
					}
				}
			})
		}
	})
}

// FuzzPoints compares the paths of the formulas for points on any limbs, points of the curve or not: the paths evaluate the
// same polynomials.
func FuzzPoints(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 512))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if !adx {
			t.Skip("one path only")
		}
		var octets [8 * 64]byte
		copy(octets[:], data)
		for _, c := range []*curve{curveA, curve256A, curve512A, curve512C} {
			size := c.size()
			number := func(i int) (z fe) {
				z.setBytes(octets[64*i:][:size])
				return z
			}
			u := point{number(0), number(1), number(2), number(3), number(4)}
			v := entry{number(5), number(6), number(7)}
			var fast, slow [2]point
			c.doubleTimes(&fast[0], &u, 2)
			c.addUnequal(&fast[1], &u, &v)
			adx = false
			c.doubleTimes(&slow[0], &u, 2)
			c.addUnequal(&slow[1], &u, &v)
			adx = true
			for i := range fast {
				a, b := &fast[i], &slow[i]
				if !c.p.equal(&a.x, &b.x) || !c.p.equal(&a.y, &b.y) || !c.p.equal(&a.z, &b.z) ||
					!c.p.equal(&a.e, &b.e) || c.edwards != nil && !c.p.equal(&a.h, &b.h) {
					t.Errorf("the paths differ: %x and %x", *a, *b)
				}
			}
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
			paths(t, func(t *testing.T) {
				good := ref.verify(public, digest, signature)
				if got := key.public.Verify(digest, signature) == nil; got != good {
					t.Errorf("%s: verdict on %x over %x is %v", p.Name, signature, digest, got)
				}
				if got := Prepare(key.public).Verify(digest, signature) == nil; got != good {
					t.Errorf("%s: verdict on %x over %x with tables is %v", p.Name, signature, digest, got)
				}
			})
			return
		}
		k, nonce := scalar(kOctets)
		want := ref.sign(d, k, digest, p.Size())
		paths(t, func(t *testing.T) {
			got := key.signWithNonce(digest, &nonce)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: signature is %x, want %x", p.Name, got, want)
			}
			if got != nil && (key.public.Verify(digest, got) != nil || Prepare(key.public).Verify(digest, got) != nil) {
				t.Errorf("%s: own signature %x over %x does not verify", p.Name, got, digest)
			}
		})
	})
}
