package gost

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost/streebog"
)

var _ crypto.Signer = (*PrivateKey)(nil)

// eachKey runs f with a fresh key of every algorithm on every parameter set it may use.
func eachKey(t *testing.T, f func(t *testing.T, key *PrivateKey)) {
	for _, p := range ParamSets {
		for _, a := range p.algorithms {
			t.Run(a.Name+"/"+p.Name, func(t *testing.T) {
				key, err := GenerateKey(nil, a, p, testSets)
				if err != nil {
					t.Fatal(err)
				}
				f(t, key)
			})
		}
	}
}

func TestSignVerify(t *testing.T) {
	eachKey(t, func(t *testing.T, key *PrivateKey) {
		public := key.Public().(*PublicKey)
		digest := make([]byte, public.Algorithm.Digest.Size)
		rand.Read(digest)
		signature, err := key.Sign(rand.Reader, digest, crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		if len(signature) != public.Algorithm.SignatureSize() {
			t.Fatalf("signature has %d octets", len(signature))
		}
		if err := public.Verify(digest, signature); err != nil {
			t.Fatal(err)
		}
		ref := referenceOf(public.Params.curve)
		size := public.Params.Size()
		point := &refPoint{littleEndian(public.raw[:size]), littleEndian(public.raw[size:])}
		if !ref.verify(point, digest, signature) {
			t.Error("the reference refuses the signature")
		}
		for i := range signature {
			bad := bytes.Clone(signature)
			bad[i] ^= 1 << (i % 8)
			if err := public.Verify(digest, bad); !errors.Is(err, ErrVerification) {
				t.Fatalf("signature with octet %d changed gives %v", i, err)
			}
		}
		for i := range digest {
			bad := bytes.Clone(digest)
			bad[i] ^= 1 << (i % 8)
			if err := public.Verify(bad, signature); !errors.Is(err, ErrVerification) {
				t.Fatalf("digest with octet %d changed gives %v", i, err)
			}
		}
		for _, n := range []int{0, 1, len(digest) - 1, len(digest) + 1, 96 - len(digest)} {
			if err := public.Verify(make([]byte, n), signature); !errors.Is(err, ErrDigestLength) {
				t.Errorf("digest of %d octets gives %v", n, err)
			}
			if _, err := key.Sign(nil, make([]byte, n), nil); !errors.Is(err, ErrDigestLength) {
				t.Errorf("signing a digest of %d octets gives %v", n, err)
			}
		}
		if _, err := key.Sign(nil, digest, crypto.SHA256); err == nil {
			t.Error("signs a digest called SHA-256")
		}
	})
}

func TestKeyEncodings(t *testing.T) {
	eachKey(t, func(t *testing.T, key *PrivateKey) {
		public := key.public
		again, err := ParsePublicKey(public.SubjectPublicKeyInfo(), testSets)
		if err != nil || !again.Equal(public) || !bytes.Equal(again.Bytes(), public.Bytes()) {
			t.Errorf("public key does not survive its encoding: %v", err)
		}
		private, err := ParsePrivateKey(key.MarshalPKCS8(), testSets)
		if err != nil || !private.Equal(key) || !private.Public().(*PublicKey).Equal(public) {
			t.Errorf("private key does not survive its encoding: %v", err)
		}
		digestOID, _ := hex.DecodeString(map[string]string{
			"gost2001": "06072a850302021e01", "gost2012-256": "06082a85030701010202", "gost2012-512": "06082a85030701010203",
		}[public.Algorithm.Name])
		old := strings.HasPrefix(public.Params.Name, "CryptoPro-") || public.Params.Name == "test-256"
		if bytes.Contains(public.SubjectPublicKeyInfo(), digestOID) != old {
			t.Errorf("digestParamSet present: %v, RFC 9215 section 4.2 says %v", !old, old)
		}
		if public.Params.TestOnly {
			for what, err := range map[string]error{
				"NewPublicKey":    second(NewPublicKey(public.Algorithm, public.Params, public.raw)),
				"ParsePublicKey":  second(ParsePublicKey(public.SubjectPublicKeyInfo())),
				"ParsePrivateKey": second(ParsePrivateKey(key.MarshalPKCS8())),
				"GenerateKey":     second(GenerateKey(nil, public.Algorithm, public.Params)),
			} {
				if !errors.Is(err, ErrTestParams) {
					t.Errorf("%s of a test set gives %v", what, err)
				}
			}
		}
		if b := public.Bytes(); &b[0] == &public.Bytes()[0] {
			t.Error("Bytes hands out the key's own memory")
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestEqual(t *testing.T) {
	a := mustGenerate(t, GOST2012_256, "CryptoPro-A")
	alias, err := NewPublicKey(GOST2012_256, ParamSetByName("tc26-256-B"), a.public.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !a.public.Equal(alias) || !alias.Equal(a.public) {
		t.Error("another name of the curve makes another key")
	}
	old, err := NewPublicKey(GOST2001, a.public.Params, a.public.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	b := mustGenerate(t, GOST2012_256, "CryptoPro-A")
	for what, x := range map[string]crypto.PublicKey{
		"another algorithm": old, "another point": b.public,
		"nothing": nil, "a nil key": (*PublicKey)(nil), "a private key": a,
	} {
		if a.public.Equal(x) {
			t.Errorf("a key equals %s", what)
		}
	}
	if !a.Equal(a) || a.Equal(b) || a.Equal(a.public) {
		t.Error("equality of private keys")
	}
}

func mustGenerate(t testing.TB, a *Algorithm, params string) *PrivateKey {
	t.Helper()
	key, err := GenerateKey(rand.Reader, a, ParamSetByName(params), testSets)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestNonces: the nonce depends on key, digest and randomness; constant randomness neither repeats a nonce over two
// digests nor changes the signature of one.
func TestNonces(t *testing.T) {
	key, other := mustGenerate(t, GOST2012_256, "tc26-256-A"), mustGenerate(t, GOST2012_256, "tc26-256-A")
	constant := func(b byte) io.Reader { return bytes.NewReader(bytes.Repeat([]byte{b}, 64)) }
	one, two := make([]byte, 32), make([]byte, 32)
	two[31] = 1
	r := map[string]string{}
	for name, c := range map[string]struct {
		key    *PrivateKey
		digest []byte
		rand   io.Reader
	}{
		"first": {key, one, constant(0)}, "another digest": {key, two, constant(0)},
		"another key": {other, one, constant(0)}, "other randomness": {key, one, constant(1)},
	} {
		signature, err := c.key.Sign(c.rand, c.digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		if same := r[string(signature[32:])]; same != "" {
			t.Errorf("%s and %s share a nonce", name, same)
		}
		r[string(signature[32:])] = name
	}
	again, err := key.Sign(constant(0), one, nil)
	if err != nil || r[string(again[32:])] != "first" {
		t.Errorf("signing is not a function of key, digest and randomness: %v", err)
	}
	if _, err := key.Sign(bytes.NewReader(make([]byte, 31)), one, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too little randomness gives %v", err)
	}
}

// TestNonceGenerator: each candidate differs, and is HMAC-Streebog-512 of what the key, the randomness, the digest and the
// number are.
func TestNonceGenerator(t *testing.T) {
	for _, name := range []string{"CryptoPro-A", "tc26-512-A"} {
		p := ParamSetByName(name)
		key := mustGenerate(t, p.algorithms[len(p.algorithms)-1], name)
		fresh, digest := bytes.Repeat([]byte{1}, p.Size()), bytes.Repeat([]byte{2}, p.Size())
		n := key.newNonces(fresh, digest)
		seen := map[string]bool{}
		for i := range 4 {
			d := make([]byte, p.Size())
			key.d.putBytes(d)
			mac := hmac.New(streebog.New512, d)
			mac.Write(slices.Concat(fresh, digest, []byte{byte(i)}))
			got := n.next()
			if !bytes.Equal(got, mac.Sum(nil)[:p.Size()]) {
				t.Errorf("%s: candidate %d is %x", name, i, got)
			}
			seen[string(got)] = true
		}
		if len(seen) != 4 {
			t.Errorf("%s: %d different candidates out of 4", name, len(seen))
		}
	}
}

// stuck is a source that gives the same octet for ever.
type stuck byte

func (s stuck) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s)
	}
	return len(p), nil
}

// TestGenerateKeyBounds: zero and integers of q and above are drawn again, and a source that gives nothing else ends
// it.
func TestGenerateKeyBounds(t *testing.T) {
	for _, p := range ParamSets {
		for _, s := range []stuck{0, 0xff} {
			if _, err := GenerateKey(s, p.algorithms[0], p, testSets); err == nil {
				t.Errorf("%s: a key out of octets %02x", p.Name, byte(s))
			}
		}
		if _, err := GenerateKey(bytes.NewReader(nil), p.algorithms[0], p, testSets); !errors.Is(err, io.EOF) {
			t.Errorf("%s: an empty source gives %v", p.Name, err)
		}
		q := bigOf(&p.curve.q.v)
		for delta, good := range map[int64]bool{-1: true, 0: false, 1: false} {
			first := new(big.Int).Add(q, big.NewInt(delta))
			first.Lsh(first, uint(8*p.Size()-q.BitLen()))
			draws := append(first.FillBytes(make([]byte, p.Size())), bytes.Repeat([]byte{0x11}, p.Size())...)
			key, err := GenerateKey(bytes.NewReader(draws), p.algorithms[0], p, testSets)
			if err != nil {
				t.Fatal(err)
			}
			if taken := bigOf(&key.d).Cmp(new(big.Int).Add(q, big.NewInt(delta))) == 0; taken != good {
				t.Errorf("%s: drawing q%+d is taken: %v", p.Name, delta, taken)
			}
		}
	}
}

// TestNoSignature: with the base point of CryptoPro-C the nonces 1 and q − 1 give r = 0, and the standard draws again.
func TestNoSignature(t *testing.T) {
	key := mustGenerate(t, GOST2012_256, "CryptoPro-C")
	last := key.public.Params.curve.q.v
	last[0]--
	for _, k := range []fe{{1}, last} {
		if got := key.signWithNonce(make([]byte, 32), &k); got != nil {
			t.Errorf("a signature with r = 0: %x", got)
		}
	}
	// s = r·d + k·e is zero for d = −k·e/r
	c := key.public.Params.curve
	ref := referenceOf(c)
	digest := bytes.Repeat([]byte{7}, 32)
	k := big.NewInt(12345)
	r := new(big.Int).Mod(ref.mul(k, ref.base).x, ref.q)
	d := new(big.Int).Mul(k, ref.scalarOf(digest))
	d.Neg(d).Mul(d, r.ModInverse(r, ref.q)).Mod(d, ref.q)
	scalar, nonce := feOf(d), feOf(k)
	special, err := newPrivateKey(GOST2012_256, key.public.Params, &scalar, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := special.signWithNonce(digest, &nonce); got != nil {
		t.Errorf("a signature with s = 0: %x", got)
	}
}

func TestVerifyAllocations(t *testing.T) {
	for _, name := range []string{"CryptoPro-A", "tc26-256-A", "tc26-512-A", "tc26-512-C"} {
		p := ParamSetByName(name)
		a := p.algorithms[len(p.algorithms)-1]
		key := mustGenerate(t, a, name)
		digest := make([]byte, a.Digest.Size)
		signature, err := key.Sign(nil, digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(signature)
		bad[0] ^= 1
		for route, verify := range map[string]func(digest, signature []byte) error{
			"without tables": key.public.Verify, "with tables": Prepare(key.public).Verify,
		} {
			if n := testing.AllocsPerRun(5, func() {
				if verify(digest, signature) != nil || verify(digest, bad) == nil {
					t.Error("wrong verdict")
				}
			}); n != 0 {
				t.Errorf("%s: verifying %s allocates %v times", name, route, n)
			}
		}
	}
}

// TestKeyErrors: each refusal names its rule.
func TestKeyErrors(t *testing.T) {
	key := mustGenerate(t, GOST2012_256, "tc26-256-B").public
	type builder = func(b *cryptobyte.Builder)
	// build returns a SubjectPublicKeyInfo with the given AlgorithmIdentifier and BIT STRING.
	build := func(id, bits builder) []byte {
		var b cryptobyte.Builder
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, id)
			b.AddASN1(cryptobyte_asn1.BIT_STRING, bits)
		})
		return b.BytesOrPanic()
	}
	oid := func(arcs ...int) builder { return func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(arcs) } }
	params := func(oids ...[]int) builder {
		return func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(key.Algorithm.PublicKey)
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, o := range oids {
					b.AddASN1ObjectIdentifier(o)
				}
			})
		}
	}
	octets := func(unused uint8, raw []byte) builder {
		return func(b *cryptobyte.Builder) {
			b.AddUint8(unused)
			b.AddASN1OctetString(raw)
		}
	}
	set, digest := []int(key.Params.OID), []int(Streebog256.OID)
	good, id := octets(0, key.raw), params(set)
	if _, err := ParsePublicKey(build(id, good)); err != nil {
		t.Fatal(err)
	}
	bare := func(b *cryptobyte.Builder) { b.AddUint8(0); b.AddBytes(key.raw) }
	for _, v := range []struct {
		name string
		der  []byte
		want string
		is   error
	}{
		{"empty", nil, "not a DER SubjectPublicKeyInfo", nil},
		{"trailing octet", append(key.SubjectPublicKeyInfo(), 0), "octets after SubjectPublicKeyInfo", nil},
		{"RSA", build(oid(1, 2, 840, 113549, 1, 1, 1), good), "RSA", ErrKeyAlgorithm},
		{"unknown algorithm", build(oid(1, 2, 3), good), "1.2.3", ErrKeyAlgorithm},
		{"key agreement", build(oid(1, 2, 643, 7, 1, 1, 6, 1), good), "key agreement only", ErrKeyAlgorithm},
		{"34.10-94", build(oid(1, 2, 643, 2, 2, 20), good), "withdrawn", ErrKeyAlgorithm},
		{"parameters absent", build(oid(key.Algorithm.PublicKey...), good), "inheriting", nil},
		{"no set", build(params(), good), "publicKeyParamSet is missing", nil},
		{"unknown set", build(params(cryptoPro(35, 9)), good), "unknown publicKeyParamSet 1.2.643.2.2.35.9", nil},
		{"set of 512", build(params(tc26(2, 1)), good), "may not be used with gost2012-256", nil},
		{"digest of 512", build(params(set, Streebog512.OID), good), "digestParamSet", nil},
		{"four identifiers", build(params(set, digest, digest, digest), good), "more than three", nil},
		{"unused bits", build(id, octets(4, key.raw)), "unused bits", nil},
		{"empty BIT STRING", build(id, func(*cryptobyte.Builder) {}), "unused bits", nil},
		{"no OCTET STRING", build(id, bare), "OCTET STRING", nil},
		{"short", build(id, octets(0, key.raw[1:])), "63 octets", nil},
		{"not reduced", build(id, octets(0, bytes.Repeat([]byte{0xff}, 64))), "not below p", ErrPoint},
		{"off the curve", build(id, octets(0, make([]byte, 64))), "not on the curve", ErrPoint},
	} {
		_, err := ParsePublicKey(v.der)
		if err == nil || !strings.Contains(err.Error(), v.want) || v.is != nil && !errors.Is(err, v.is) {
			t.Errorf("%s: %v, want %q", v.name, err, v.want)
		}
	}
}

// TestPrivateKeyForms: the length decides first, so an INTEGER that is as long as the raw octets is read as raw
// octets, and only whole multiples are masked keys.
func TestPrivateKeyForms(t *testing.T) {
	c := ParamSetByName("tc26-256-B").curve
	one := append([]byte{1}, make([]byte, 31)...)
	short := append([]byte{2, 30}, bytes.Repeat([]byte{0x11}, 30)...)
	for _, v := range []struct {
		name    string
		content []byte
		want    *big.Int // nil: refused
	}{
		{"raw", one, big.NewInt(1)},
		{"INTEGER of 32 octets in all", short, littleEndian(short)},
		{"INTEGER", []byte{2, 1, 5}, big.NewInt(5)},
		{"INTEGER zero", []byte{2, 1, 0}, nil},
		{"INTEGER negative", []byte{2, 1, 0x85}, nil},
		{"INTEGER not minimal", []byte{2, 2, 0, 5}, nil},
		{"INTEGER of 33 octets", append([]byte{2, 33, 1}, make([]byte, 32)...), nil},
		{"octets after INTEGER", []byte{2, 1, 5, 0}, nil},
		{"OCTET STRING", append([]byte{4, 32}, one...), big.NewInt(1)},
		{"OCTET STRING, long form", append([]byte{4, 0x81, 32}, one...), nil},
		{"OCTET STRING, octet after", append(append([]byte{4, 32}, one...), 0), nil},
		{"OCTET STRING, empty", []byte{4, 0}, nil},
		{"OCTET STRING of OCTET STRING", append([]byte{4, 34, 4, 32}, one...), nil},
		{"masked by zero", append(bytes.Clone(one), make([]byte, 32)...), nil},
		{"masked four times", bytes.Repeat(one, 5), big.NewInt(1)},
		{"masked five times", bytes.Repeat(one, 6), nil},
		{"empty", nil, nil},
		{"SEQUENCE", append([]byte{0x30, 34, 4, 32}, one...), nil},
	} {
		d, err := parseScalar(c, v.content)
		if v.want == nil && err == nil || v.want != nil && (err != nil || bigOf(&d).Cmp(v.want) != 0) {
			t.Errorf("%s: %x, %v, want %x", v.name, bigOf(&d), err, v.want)
		}
	}
	key := mustGenerate(t, GOST2012_256, "tc26-256-B")
	der := key.MarshalPKCS8()
	version := bytes.Clone(der)
	version[4] = 1
	for name, bad := range map[string][]byte{
		"version 1": version, "trailing octet": append(bytes.Clone(der), 0), "empty": {},
		"a public key": key.public.SubjectPublicKeyInfo(),
	} {
		if _, err := ParsePrivateKey(bad); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
