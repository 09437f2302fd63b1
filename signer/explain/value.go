package explain

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"hash"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
)

// toVerify are octets that may have been signed.
type toVerify struct {
	octets   []byte
	digest   []byte // instead of octets: what was taken for their digest
	mistakes []Mistake
	what     []string
}

// candidateKey is a key that may have signed.
type candidateKey struct {
	certificate *gost.Certificate
	key         *gost.PreparedKey
	mistakes    []Mistake
	what        string
}

// maxKeys bounds the keys that are tried.
const maxKeys = 16

// addKey adds a certificate's key unless it is there.
func addKey(keys []candidateKey, c *gost.Certificate, m ...Mistake) []candidateKey {
	if c.PublicKey == nil || len(keys) == maxKeys ||
		slices.ContainsFunc(keys, func(k candidateKey) bool { return k.key.Public().Equal(c.PublicKey) }) {
		return keys
	}
	k := candidateKey{certificate: c, key: gost.Prepare(c.PublicKey), mistakes: m}
	if len(m) > 0 {
		k.what = clip("the key of " + c.Subject.String() + ", serial number " + c.Serial.Text(16))
	}
	return append(keys, k)
}

// combination is one way to verify octets.
type combination struct {
	key    *candidateKey
	value  reading
	digest digestWay
	cost   int
}

// digestWay is how a digest may have come about.
type digestWay struct {
	mistakes []Mistake
	what     string
	make     func(a *gost.Algorithm, octets []byte) []byte // nil where it does not apply
}

func sum(h hash.Hash, octets []byte) []byte {
	h.Write(octets)
	return h.Sum(nil)
}

func reversed(b []byte) []byte {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return b
}

// digestWays are tried in full on what should have been signed, and the first ones on what else may have been.
var digestWays = []digestWay{
	{make: func(a *gost.Algorithm, b []byte) []byte { return sum(a.Digest.New(), b) }},
	{mistakes: []Mistake{DigestReversed}, make: func(a *gost.Algorithm, b []byte) []byte { return reversed(sum(a.Digest.New(), b)) }},
	{mistakes: []Mistake{DigestAlgorithm}, what: "the digest is that of " + gost.GOSTR341194.Name,
		make: func(a *gost.Algorithm, b []byte) []byte {
			return otherDigest(a, gost.GOSTR341194, b)
		}},
	{mistakes: []Mistake{DigestAlgorithm}, what: "the digest is that of " + gost.Streebog256.Name,
		make: func(a *gost.Algorithm, b []byte) []byte {
			return otherDigest(a, gost.Streebog256, b)
		}},
	{mistakes: []Mistake{DigestAlgorithm}, what: "the digest is that of sha256", make: func(a *gost.Algorithm, b []byte) []byte {
		if a.Digest.Size != sha256.Size {
			return nil
		}
		return sum(sha256.New(), b)
	}},
	{mistakes: []Mistake{DigestAlgorithm}, what: "the digest is that of sha512", make: func(a *gost.Algorithm, b []byte) []byte {
		if a.Digest.Size != sha512.Size {
			return nil
		}
		return sum(sha512.New(), b)
	}},
	{mistakes: []Mistake{DigestTwice}, make: func(a *gost.Algorithm, b []byte) []byte {
		return sum(a.Digest.New(), sum(a.Digest.New(), b))
	}},
	{mistakes: []Mistake{DigestTwice, DigestReversed}, make: func(a *gost.Algorithm, b []byte) []byte {
		return sum(a.Digest.New(), reversed(sum(a.Digest.New(), b)))
	}},
}

const commonDigestWays = 4

func otherDigest(a *gost.Algorithm, d *gost.Digest, b []byte) []byte {
	if a.Digest == d || a.Digest.Size != d.Size {
		return nil
	}
	return sum(d.New(), b)
}

// value looks for octets, a key and a way to read the value that verify. The first candidate is what should have been signed.
// stated is the algorithm that the message names.
func (s *search) value(candidates []toVerify, values []reading, keys []candidateKey,
	stated *gost.Algorithm) (f Finding, octets []byte, ok bool) {
	var combinations []combination
	for i := range keys {
		for _, v := range readSignature(values) {
			if len(v.octets) != keys[i].key.Public().Algorithm.SignatureSize() {
				continue
			}
			for d, way := range digestWays {
				cost := len(keys[i].mistakes) + len(v.mistakes) + len(way.mistakes)
				if stated != nil && keys[i].key.Public().Algorithm != stated {
					cost++
				}
				combinations = append(combinations, combination{&keys[i], v, way, 16*cost + d})
			}
		}
	}
	slices.SortStableFunc(combinations, func(a, b combination) int { return cmp.Compare(a.cost, b.cost) })
	try := func(c *toVerify, k *combination) bool {
		digest := c.digest
		a := k.key.key.Public().Algorithm
		if digest == nil {
			digest = k.digest.make(a, c.octets)
		}
		if len(digest) != a.Digest.Size {
			return false
		}
		s.verifications--
		return k.key.key.Verify(digest, k.value.octets) == nil
	}
	for i := range candidates {
		c := &candidates[i]
		for k := range combinations {
			combination := &combinations[k]
			if i > 0 && (combination.cost>>4 > 1 || combination.cost&15 >= commonDigestWays) ||
				c.digest != nil && len(combination.digest.mistakes) > 0 {
				continue
			}
			if s.verifications <= 0 || !s.spend(len(c.octets)) {
				s.exhausted = true
				return f, nil, false
			}
			if !try(c, combination) {
				continue
			}
			if a := combination.key.key.Public().Algorithm; stated != a {
				f.Mistakes, f.What = []Mistake{MethodOther}, []string{"the key is of " + a.Name}
			}
			f.Mistakes = slices.Concat(f.Mistakes, c.mistakes, combination.key.mistakes, combination.value.mistakes,
				combination.digest.mistakes)
			f.What = append(f.What, c.what...)
			for _, what := range []string{combination.key.what, combination.value.what, combination.digest.what} {
				if what != "" {
					f.What = append(f.What, what)
				}
			}
			return f, c.octets, true
		}
	}
	return f, nil, false
}

// readSignature adds to the readings of a value those of signatures: halves swapped or reversed, ASN.1.
func readSignature(values []reading) []reading {
	var out []reading
	add := func(r reading, octets []byte, m Mistake, what string) {
		mistakes := slices.Clone(r.mistakes)
		if m != "" {
			mistakes = append(mistakes, m)
		}
		if what == "" {
			what = r.what
		}
		out = append(out, reading{octets, mistakes, what})
	}
	for _, v := range values {
		for _, bare := range unwrapped(v) {
			n := len(bare.octets) / 2
			if len(bare.octets) != 64 && len(bare.octets) != 128 {
				continue
			}
			add(bare, bare.octets, "", "")
			add(bare, slices.Concat(bare.octets[n:], bare.octets[:n]), ValueSwapped, "")
			add(bare, reversed(bare.octets), ValueReversed, "")
			add(bare, slices.Concat(reversed(bare.octets[:n]), reversed(bare.octets[n:])), ValueHalves, "")
		}
	}
	return out
}

// unwrapped takes a value out of what it may be wrapped in.
func unwrapped(v reading) []reading {
	out := []reading{v}
	wrap := func(octets []byte, m Mistake, what string) {
		out = append(out, reading{octets, append(slices.Clone(v.mistakes), m), what})
	}
	in := cryptobyte.String(v.octets)
	var body cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if in.ReadASN1(&body, cbasn1.SEQUENCE) && in.Empty() && body.ReadASN1Integer(r) && body.ReadASN1Integer(s) && body.Empty() &&
		r.Sign() >= 0 && s.Sign() >= 0 && r.BitLen() <= 512 && s.BitLen() <= 512 {
		size := 32
		if max(r.BitLen(), s.BitLen()) > 256 {
			size = 64
		}
		one, two := r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))
		wrap(slices.Concat(two, one), ValueDER, "SEQUENCE { r, s }")
		wrap(slices.Concat(one, two), ValueDER, "SEQUENCE { s, r }")
	}
	in = cryptobyte.String(v.octets)
	if in.ReadASN1(&body, cbasn1.OCTET_STRING) && in.Empty() {
		wrap(body, ValueDER, "OCTET STRING")
	}
	in = cryptobyte.String(v.octets)
	var bits asn1.BitString
	if in.ReadASN1BitString(&bits) && in.Empty() && bits.BitLength%8 == 0 {
		wrap(bits.Bytes, ValueDER, "BIT STRING")
	}
	for _, size := range []int{64, 128} {
		if len(v.octets) > size && len(v.octets) < size+64 {
			wrap(v.octets[:size], ValueTrailing, "")
			wrap(v.octets[len(v.octets)-size:], ValueTrailing, "the octets too many come first")
		}
	}
	return out
}
