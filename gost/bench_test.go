package gost

import (
	"crypto/rand"
	"testing"
)

// benchmarkSets has one set of each shape: p close to a power of two, a = −3 and not, 256 and 512 bits.
var benchmarkSets = []string{"CryptoPro-A", "tc26-256-A", "tc26-512-A", "tc26-512-C"}

func benchmarkKey(b *testing.B, name string) (*PrivateKey, []byte) {
	p := ParamSetByName(name)
	a := p.algorithms[len(p.algorithms)-1]
	key, err := GenerateKey(rand.Reader, a, p)
	if err != nil {
		b.Fatal(err)
	}
	return key, make([]byte, a.Digest.Size)
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range benchmarkSets {
		b.Run(name, func(b *testing.B) {
			key, digest := benchmarkKey(b, name)
			signature, err := key.Sign(nil, digest, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := key.public.Verify(digest, signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerifyPrepared(b *testing.B) {
	for _, name := range benchmarkSets {
		b.Run(name, func(b *testing.B) {
			key, digest := benchmarkKey(b, name)
			signature, err := key.Sign(nil, digest, nil)
			if err != nil {
				b.Fatal(err)
			}
			prepared := Prepare(key.public)
			b.ReportAllocs()
			for b.Loop() {
				if err := prepared.Verify(digest, signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPrepare(b *testing.B) {
	for _, name := range benchmarkSets {
		b.Run(name, func(b *testing.B) {
			key, _ := benchmarkKey(b, name)
			b.ReportAllocs()
			for b.Loop() {
				Prepare(key.public)
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, name := range benchmarkSets {
		b.Run(name, func(b *testing.B) {
			key, digest := benchmarkKey(b, name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign(nil, digest, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	for _, name := range benchmarkSets {
		b.Run(name, func(b *testing.B) {
			key, _ := benchmarkKey(b, name)
			der := key.public.SubjectPublicKeyInfo()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParsePublicKey(der); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkInverse(b *testing.B) {
	for _, name := range []string{"CryptoPro-A", "tc26-512-A"} {
		b.Run(name, func(b *testing.B) {
			c := ParamSetByName(name).curve
			x := c.base.y
			for b.Loop() {
				c.p.inverse(&x, &x)
			}
		})
	}
}

func BenchmarkPoints(b *testing.B) {
	for _, name := range benchmarkSets {
		c := ParamSetByName(name).curve
		var s sum
		e := c.baseEntry()
		s.begin(c)
		s.add(e)
		s.double()
		b.Run(name+"/double", func(b *testing.B) {
			for b.Loop() {
				s.double()
			}
		})
		b.Run(name+"/add", func(b *testing.B) {
			for b.Loop() {
				s.add(e)
			}
		})
	}
}

func BenchmarkMul(b *testing.B) {
	for _, name := range []string{"CryptoPro-A", "tc26-512-A"} {
		b.Run(name, func(b *testing.B) {
			c := ParamSetByName(name).curve
			x, y := c.base.x, c.base.y
			for b.Loop() {
				c.p.mul(&x, &x, &y)
			}
		})
	}
}
