package softhsm_test

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"slices"
	"sync"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// Every set under every name: generated, signed with and without the token's hash, verified by the token, by package gost
// and by OpenSSL; and all of it again after a new login.
func TestSets(t *testing.T) {
	c := connect(t, softhsm.New(t))
	for _, params := range gost.ParamSets {
		t.Run(params.Name, func(t *testing.T) {
			c := *c
			c.TB = t
			p := setOf(params)
			pub, priv := c.pair(p.Name, p)
			for _, object := range []pkcs11.ObjectHandle{pub, priv} {
				if got := c.attribute(object, pkcs11.CKA_GOSTR3410_PARAMS); !bytes.Equal(got, der(t, p.OID)) {
					t.Errorf("parameters % x", got)
				}
				if got := c.attribute(object, pkcs11.CKA_GOSTR3411_PARAMS); !bytes.Equal(got, der(t, p.algorithm.Digest.OID)) {
					t.Errorf("parameters of the hash % x", got)
				}
				for kind, want := range map[uint]uint{pkcs11.CKA_KEY_TYPE: p.keyType, pkcs11.CKA_KEY_GEN_MECHANISM: p.generate} {
					if got := c.attribute(object, kind); !bytes.Equal(got, pkcs11.NewAttribute(kind, want).Value) {
						t.Errorf("attribute %#x is % x", kind, got)
					}
				}
			}
			key := c.public(pub, p)
			c.wantSignatures(p, pub, priv, key)

			c.must(c.Logout(c.s))
			c.login()
			pub, priv = c.find(pkcs11.CKO_PUBLIC_KEY, p.Name), c.find(pkcs11.CKO_PRIVATE_KEY, p.Name)
			if !c.public(pub, p).Equal(key) {
				t.Error("another key after the login")
			}
			c.wantSignatures(p, pub, priv, key)
		})
	}
}

func (c *client) wantSignatures(p set, pub, priv pkcs11.ObjectHandle, key *gost.PublicKey) {
	c.Helper()
	data := []byte(rand.Text())
	digest := digestOf(p, data)
	raw, err := c.signed(c.s, p.sign, priv, digest)
	c.must(err)
	hashed, err := c.signed(c.s, p.signHashing, priv, data)
	c.must(err)
	c.must(c.SignInit(c.s, mechanism(p.signHashing), priv))
	c.must(c.SignUpdate(c.s, data[:5]))
	c.must(c.SignUpdate(c.s, data[5:]))
	parts, err := c.SignFinal(c.s)
	c.must(err)
	for _, signature := range [][]byte{raw, hashed, parts} {
		c.must(key.Verify(digest, signature))
		wantOpenSSL(c, key, data, signature)
		c.must(c.verified(p.sign, pub, digest, signature))
		c.must(c.verified(p.signHashing, pub, data, signature))
		c.must(c.VerifyInit(c.s, mechanism(p.signHashing), pub))
		c.must(c.VerifyUpdate(c.s, data))
		c.must(c.VerifyFinal(c.s, signature))
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x10
		wantCode(c, c.verified(p.sign, pub, digest, bad), pkcs11.CKR_SIGNATURE_INVALID)
		if i < len(digest) {
			bad := bytes.Clone(digest)
			bad[i] ^= 1
			wantCode(c, c.verified(p.sign, pub, bad, raw), pkcs11.CKR_SIGNATURE_INVALID)
		}
	}
	wantCode(c, c.verified(p.signHashing, pub, data[1:], hashed), pkcs11.CKR_SIGNATURE_INVALID)
	wantCode(c, c.verified(p.sign, pub, digest, raw[1:]), pkcs11.CKR_SIGNATURE_LEN_RANGE)
}

func TestDigest(t *testing.T) {
	c := connect(t, softhsm.New(t))
	for kind, d := range map[uint]*gost.Digest{mechStreebog256: gost.Streebog256, mechStreebog512: gost.Streebog512} {
		for _, size := range []int{1, 63, 64, 65, 5000} {
			data := bytes.Repeat([]byte{0xA5}, size)
			h := d.New()
			h.Write(data)
			want := h.Sum(nil)
			c.must(c.DigestInit(c.s, mechanism(kind)))
			whole, err := c.Digest(c.s, data)
			c.must(err)
			c.must(c.DigestInit(c.s, mechanism(kind)))
			c.must(c.DigestUpdate(c.s, data[:size/2+1]))
			c.must(c.DigestUpdate(c.s, data[size/2+1:]))
			parts, err := c.DigestFinal(c.s)
			c.must(err)
			if !bytes.Equal(whole, want) || !bytes.Equal(parts, want) {
				t.Errorf("%s of %d octets: % x, % x", d.Name, size, whole, parts)
			}
		}
	}
	list, err := c.GetMechanismList(c.slot)
	c.must(err)
	for _, kind := range []uint{mechStreebog256, mechStreebog512, mechKeyPair512, mechSign512, mechSignStreebog, mechSignStreebog2} {
		if !slices.ContainsFunc(list, func(m *pkcs11.Mechanism) bool { return m.Mechanism == kind }) {
			t.Errorf("mechanism %#x is not listed", kind)
		}
		if info, err := c.GetMechanismInfo(c.slot, mechanism(kind)); err != nil || info.Flags == 0 {
			t.Errorf("mechanism %#x: %+v %v", kind, info, err)
		}
	}
}

// Parameters may stand in either template or in both, and must agree; the hash goes without saying.
func TestTemplates(t *testing.T) {
	c := connect(t, softhsm.New(t))
	a, b, large := named("CryptoPro-A"), named("CryptoPro-B"), named("tc26-512-A")
	unknown := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_GOSTR3410_PARAMS, der(t, asn1.ObjectIdentifier{1, 2, 643, 9}))}
	notDER := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_GOSTR3410_PARAMS, append(der(t, a.OID), 0))}
	ec := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC)}
	for _, test := range []struct {
		name            string
		mechanism       uint
		public, private []*pkcs11.Attribute
		want            uint
	}{
		{"public", a.generate, a.params(t), nil, pkcs11.CKR_OK},
		{"both", a.generate, a.params(t), a.params(t), pkcs11.CKR_OK},
		{"private", a.generate, nil, a.params(t), pkcs11.CKR_OK},
		{"no hash", a.generate, a.params(t)[:1], nil, pkcs11.CKR_OK},
		{"512 no hash", large.generate, large.params(t)[:1], nil, pkcs11.CKR_OK},
		{"none", a.generate, nil, nil, pkcs11.CKR_TEMPLATE_INCOMPLETE},
		{"disagree", a.generate, a.params(t), b.params(t), pkcs11.CKR_TEMPLATE_INCONSISTENT},
		{"512 for 256", a.generate, large.params(t), nil, pkcs11.CKR_DOMAIN_PARAMS_INVALID},
		{"256 for 512", large.generate, a.params(t), nil, pkcs11.CKR_DOMAIN_PARAMS_INVALID},
		{"unknown", a.generate, unknown, nil, pkcs11.CKR_DOMAIN_PARAMS_INVALID},
		{"more than an OID", a.generate, notDER, nil, pkcs11.CKR_DOMAIN_PARAMS_INVALID},
		{"another type", large.generate, slices.Concat(large.params(t), ec), nil, pkcs11.CKR_TEMPLATE_INCONSISTENT},
	} {
		t.Run(test.name, func(t *testing.T) {
			pub, priv := templates(test.name)
			public, private, err := c.GenerateKeyPair(c.s, mechanism(test.mechanism),
				slices.Concat(pub, test.public), slices.Concat(priv, test.private))
			if test.want != pkcs11.CKR_OK {
				wantCode(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p := a
			if test.mechanism == large.generate {
				p = large
			}
			digest := make([]byte, p.Size())
			signature, err := c.signed(c.s, p.sign, private, digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.public(public, p).Verify(digest, signature); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	c := connect(t, softhsm.New(t))
	a, large := named("CryptoPro-A"), named("tc26-512-C")
	pubA, a1 := c.pair("a", a)
	pubL, l1 := c.pair("l", large)
	for _, test := range []struct {
		kind      uint
		pub, priv pkcs11.ObjectHandle
	}{
		{mechSign512, pubA, a1}, {mechSignStreebog2, pubA, a1}, {pkcs11.CKM_ECDSA, pubA, a1}, {pkcs11.CKM_RSA_PKCS, pubA, a1},
		{pkcs11.CKM_GOSTR3410, pubL, l1}, {mechSignStreebog, pubL, l1}, {pkcs11.CKM_GOSTR3410_WITH_GOSTR3411, pubL, l1},
	} {
		wantCode(t, c.SignInit(c.s, mechanism(test.kind), test.priv), pkcs11.CKR_KEY_TYPE_INCONSISTENT)
		wantCode(t, c.VerifyInit(c.s, mechanism(test.kind), test.pub), pkcs11.CKR_KEY_TYPE_INCONSISTENT)
	}
	for _, size := range []int{1, 31, 33, 63, 64, 65, 100} {
		for _, k := range []struct {
			p         set
			pub, priv pkcs11.ObjectHandle
		}{{a, pubA, a1}, {large, pubL, l1}} {
			if size == k.p.Size() {
				continue
			}
			_, err := c.signed(c.s, k.p.sign, k.priv, make([]byte, size))
			wantCode(t, err, pkcs11.CKR_DATA_LEN_RANGE)
			err = c.verified(k.p.sign, k.pub, make([]byte, size), make([]byte, 2*k.p.Size()))
			wantCode(t, err, pkcs11.CKR_DATA_LEN_RANGE)
		}
	}
	// A refusal leaves no operation open.
	if _, err := c.signed(c.s, a.sign, a1, make([]byte, 32)); err != nil {
		t.Error(err)
	}
}

// Four sessions sign with three keys at once; every signature is right.
func TestConcurrent(t *testing.T) {
	c := connect(t, softhsm.New(t))
	type key struct {
		p      set
		priv   pkcs11.ObjectHandle
		public *gost.PublicKey
	}
	var keys []key
	for _, name := range []string{"tc26-256-A", "CryptoPro-C", "tc26-512-A"} {
		p := named(name)
		pub, priv := c.pair(name, p)
		keys = append(keys, key{p, priv, c.public(pub, p)})
	}
	var group sync.WaitGroup
	for range 4 {
		s := c.session()
		group.Go(func() {
			for i := range 150 {
				k := keys[i%len(keys)]
				digest := make([]byte, k.p.Size())
				_, _ = rand.Read(digest) // never fails
				signature, err := c.signed(s, k.p.sign, k.priv, digest)
				if err == nil {
					err = k.public.Verify(digest, signature)
				}
				if err != nil {
					t.Errorf("%s: %v", k.p.Name, err)
					return
				}
			}
		})
	}
	group.Wait()
}
