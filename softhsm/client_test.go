package softhsm_test

import (
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// The TC26 extension of PKCS#11, which the binding lacks.
const (
	keyTypeGOST512    = 0xD4321003
	mechKeyPair512    = 0xD4321005
	mechSign512       = 0xD4321006
	mechSignStreebog  = 0xD4321008
	mechSignStreebog2 = 0xD4321009
	mechStreebog256   = 0xD4321012
	mechStreebog512   = 0xD4321013
)

// client is a PKCS#11 session with a token, logged in.
type client struct {
	testing.TB
	*pkcs11.Ctx
	token *softhsm.Token
	slot  uint
	s     pkcs11.SessionHandle
}

func connect(tb testing.TB, t *softhsm.Token) *client {
	tb.Helper()
	ctx := pkcs11.New(t.Module)
	if ctx == nil {
		tb.Fatal("the module cannot be loaded")
	}
	tb.Cleanup(ctx.Destroy)
	c := &client{TB: tb, Ctx: ctx, token: t}
	c.must(ctx.Initialize())
	tb.Cleanup(func() { _ = ctx.Finalize() })
	slots, err := ctx.GetSlotList(true)
	c.must(err)
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.Label == t.Label {
			c.slot = slot
			c.s = c.session()
			c.login()
			return c
		}
	}
	tb.Fatal("the token is not there")
	return nil
}

func (c *client) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *client) session() pkcs11.SessionHandle {
	c.Helper()
	s, err := c.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	c.must(err)
	return s
}

func (c *client) login() { c.Helper(); c.must(c.Login(c.s, pkcs11.CKU_USER, c.token.PIN)) }

func wantCode(tb testing.TB, err error, want uint) {
	tb.Helper()
	if err != pkcs11.Error(want) {
		tb.Errorf("got %v, want %v", err, pkcs11.Error(want))
	}
}

// set is what a parameter set implies on a token.
type set struct {
	*gost.ParamSet
	algorithm                            *gost.Algorithm
	keyType, generate, sign, signHashing uint
	hash                                 uint
}

func setOf(p *gost.ParamSet) set {
	if p.Size() == 64 {
		return set{p, gost.GOST2012_512, keyTypeGOST512, mechKeyPair512, mechSign512, mechSignStreebog2, mechStreebog512}
	}
	return set{p, gost.GOST2012_256, pkcs11.CKK_GOSTR3410, pkcs11.CKM_GOSTR3410_KEY_PAIR_GEN, pkcs11.CKM_GOSTR3410,
		mechSignStreebog, mechStreebog256}
}

func named(name string) set { return setOf(gost.ParamSetByName(name)) }

func der(tb testing.TB, oid asn1.ObjectIdentifier) []byte {
	tb.Helper()
	out, err := asn1.Marshal(oid)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func (p set) params(tb testing.TB) []*pkcs11.Attribute {
	tb.Helper()
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_GOSTR3410_PARAMS, der(tb, p.OID)),
		pkcs11.NewAttribute(pkcs11.CKA_GOSTR3411_PARAMS, der(tb, p.algorithm.Digest.OID)),
	}
}

func mechanism(kind uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(kind, nil)}
}

// templates of a key pair without its parameters.
func templates(id string) (public, private []*pkcs11.Attribute) {
	both := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}
	return slices.Concat(both, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true)}),
		slices.Concat(both, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_SIGN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		})
}

func (c *client) pair(id string, p set) (public, private pkcs11.ObjectHandle) {
	c.Helper()
	pub, priv := templates(id)
	public, private, err := c.GenerateKeyPair(c.s, mechanism(p.generate), slices.Concat(pub, p.params(c)), priv)
	c.must(err)
	return public, private
}

func (c *client) attribute(o pkcs11.ObjectHandle, kind uint) []byte {
	c.Helper()
	got, err := c.GetAttributeValue(c.s, o, []*pkcs11.Attribute{pkcs11.NewAttribute(kind, nil)})
	c.must(err)
	return got[0].Value
}

// public reads the key as the token shows it.
func (c *client) public(o pkcs11.ObjectHandle, p set) *gost.PublicKey {
	c.Helper()
	key, err := gost.NewPublicKey(p.algorithm, p.ParamSet, c.attribute(o, pkcs11.CKA_VALUE), gost.AllowTestParams())
	c.must(err)
	return key
}

func (c *client) find(class uint, id string) pkcs11.ObjectHandle {
	c.Helper()
	c.must(c.FindObjectsInit(c.s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class),
		pkcs11.NewAttribute(pkcs11.CKA_ID, id)}))
	found, _, err := c.FindObjects(c.s, 2)
	c.must(err)
	c.must(c.FindObjectsFinal(c.s))
	if len(found) != 1 {
		c.Fatalf("%d objects are %s", len(found), id)
	}
	return found[0]
}

func (c *client) signed(s pkcs11.SessionHandle, kind uint, key pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := c.SignInit(s, mechanism(kind), key); err != nil {
		return nil, err
	}
	return c.Sign(s, data)
}

func (c *client) verified(kind uint, key pkcs11.ObjectHandle, data, signature []byte) error {
	if err := c.VerifyInit(c.s, mechanism(kind), key); err != nil {
		return err
	}
	return c.Verify(c.s, data, signature)
}

func digestOf(p set, data []byte) []byte {
	h := p.algorithm.Digest.New()
	h.Write(data)
	return h.Sum(nil)
}

// wantOpenSSL checks a signature with the gost engine.
func wantOpenSSL(tb testing.TB, key *gost.PublicKey, data, signature []byte) {
	tb.Helper()
	dir := tb.TempDir()
	name, sig := filepath.Join(dir, "key.pem"), filepath.Join(dir, "sig")
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: key.SubjectPublicKeyInfo()})
	if err := os.WriteFile(name, block, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(sig, signature, 0o600); err != nil {
		tb.Fatal(err)
	}
	md := map[int]string{32: "-md_gost12_256", 64: "-md_gost12_512"}[key.Algorithm.Size]
	out, err := oracle.OpenSSL(tb, data, "dgst", "-engine", "gost", md, "-verify", name, "-signature", sig)
	if err != nil || !strings.Contains(string(out), "Verified OK") {
		tb.Errorf("openssl: %s %v", out, err)
	}
}
