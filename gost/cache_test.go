package gost

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"unsafe"

	"github.com/epov-signer/epov/internal/vectors"
)

// TestKeyCache: a key is prepared when it has come often enough, the least recently used one gives way, and nothing grows.
func TestKeyCache(t *testing.T) {
	c := NewKeyCache(2)
	digest := make([]byte, 32)
	type signed struct {
		key       *PublicKey
		signature []byte
	}
	var keys []signed
	for range 4 {
		k := mustGenerate(t, GOST2012_256, "CryptoPro-A")
		signature, err := k.Sign(nil, digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, signed{k.public, signature})
	}
	use := func(i, times int) {
		for range times {
			if err := c.Verify(keys[i].key, digest, keys[i].signature); err != nil {
				t.Fatal(err)
			}
			if err := c.Verify(keys[i].key, digest, keys[(i+1)%4].signature); !errors.Is(err, ErrVerification) {
				t.Fatalf("another key's signature gives %v", err)
			}
			if err := c.Verify(keys[i].key, digest[1:], keys[i].signature); !errors.Is(err, ErrDigestLength) {
				t.Fatalf("a short digest gives %v", err)
			}
		}
	}
	prepared := func(i int) bool {
		for id, e := range c.keys {
			if bytes.Equal(id.raw[:64], keys[i].key.raw) {
				return e.Value.(*cachedKey).key != nil
			}
		}
		return false
	}
	check := func(want ...int) {
		t.Helper()
		n := 0
		for i := range keys {
			if prepared(i) {
				n++
			}
		}
		for _, i := range want {
			if !prepared(i) {
				t.Errorf("key %d is not prepared", i)
			}
		}
		if n != len(want) || c.prepared.Len() != n || len(c.keys) != c.prepared.Len()+c.met.Len() {
			t.Errorf("%d keys prepared, %d listed, %d met, %d in all", n, c.prepared.Len(), c.met.Len(), len(c.keys))
		}
	}
	use(0, 2)
	check()
	use(0, 1)
	check(0)
	use(1, 3)
	check(0, 1)
	use(0, 1)
	use(2, 3)
	check(0, 2)
	use(3, 3)
	check(2, 3)
}

// TestKeyCacheBounds: keys that do not come again leave no more behind than stated.
func TestKeyCacheBounds(t *testing.T) {
	c := NewKeyCache(0)
	if c.max != 1 {
		t.Fatalf("%d keys", c.max)
	}
	k := mustGenerate(t, GOST2012_256, "CryptoPro-A").public
	for i := range 100 {
		id := keyID{algorithm: k.Algorithm, curve: k.Params.curve, raw: [128]byte{byte(i)}}
		if p, build := c.find(&id); p != nil || build {
			t.Fatal("prepared at first sight")
		}
	}
	if len(c.keys) != 8 || c.met.Len() != 8 {
		t.Errorf("%d keys met", len(c.keys))
	}
	for _, p := range ParamSets {
		key := mustGenerate(t, p.algorithms[len(p.algorithms)-1], p.Name).public
		tables := Prepare(key).tables
		if size := 8*cap(tables.table) + int(unsafe.Sizeof(*tables)+unsafe.Sizeof(PreparedKey{})); size > PreparedKeySize {
			t.Errorf("%s: a prepared key takes %d octets", p.Name, size)
		}
	}
}

// TestKeyCacheConcurrent is for the race detector.
func TestKeyCacheConcurrent(t *testing.T) {
	c := NewKeyCache(1)
	digest := make([]byte, 32)
	var group sync.WaitGroup
	for range 2 {
		k := mustGenerate(t, GOST2012_256, "tc26-256-A")
		signature, err := k.Sign(nil, digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			group.Go(func() {
				for range 30 {
					if err := c.Verify(k.public, digest, signature); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	group.Wait()
}

// TestKeyCacheCertificates: certificates are judged alike with and without tables, and without a cache.
func TestKeyCacheCertificates(t *testing.T) {
	read := func(name string) *Certificate {
		c, err := ParseCertificates(vectors.Read(t, "gost/certs/"+name))
		if err != nil {
			t.Fatal(err)
		}
		return c[0]
	}
	issuer, good, bad := read("2012-256-cpA/int.pem"), read("2012-256-cpA/leaf.pem"), read("bad/12-bad-signature-leaf.pem")
	for _, cache := range []*KeyCache{nil, NewKeyCache(1)} {
		for range 2 * prepareAfter {
			if err := cache.CheckSignature(good, issuer); err != nil {
				t.Fatal(err)
			}
			if err := cache.CheckSignature(bad, issuer); !errors.Is(err, ErrVerification) {
				t.Fatal(err)
			}
		}
	}
}

// TestCertificateCache: a certificate that comes again is the same one, what cannot be read is not kept, and nothing grows.
func TestCertificateCache(t *testing.T) {
	c := NewKeyCache(1)
	names := []string{"root", "int", "leaf"}
	for _, name := range names {
		certs, err := ParseCertificates(vectors.Read(t, "gost/certs/2012-256-cpXA/"+name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.ParseCertificate(certs[0].Raw)
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.ParseCertificate(bytes.Clone(certs[0].Raw))
		if err != nil || again != first || first.Fingerprint() != certs[0].Fingerprint() ||
			first.SubjectString() != certs[0].SubjectString() || first.IssuerString() != certs[0].IssuerString() ||
			!bytes.Equal(first.Raw, certs[0].Raw) {
			t.Errorf("%s: %v, the same %t", name, err, again == first)
		}
		broken := bytes.Clone(certs[0].Raw)
		broken[1]++
		for range 2 {
			if _, err := c.ParseCertificate(broken); err == nil {
				t.Errorf("%s: a broken certificate", name)
			}
		}
	}
	for i := range 20 {
		c.certificates[string(rune('a'+i))] = nil
	}
	der := vectors.Read(t, "gost/certs/2012-256-cpXA/leaf.pem")
	certs, _ := ParseCertificates(der)
	delete(c.certificates, string(certs[0].Raw))
	if _, err := c.ParseCertificate(certs[0].Raw); err != nil || len(c.certificates) != 1 {
		t.Errorf("%d certificates are kept", len(c.certificates))
	}
	var none *KeyCache
	if _, err := none.ParseCertificate(certs[0].Raw); err != nil {
		t.Error(err)
	}
}
