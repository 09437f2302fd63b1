package softhsm_test

import (
	"crypto/rand"
	"encoding/hex"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/softhsm"
	"github.com/miekg/pkcs11"
)

// Signatures of the module that takes no time verify, also where e must be reduced modulo q or is zero.
func TestNoop(t *testing.T) {
	soft := softhsm.NewNoop(t)
	ctx := pkcs11.New(soft.Module)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(ctx.Initialize())
	defer ctx.Destroy()
	slots, err := ctx.GetSlotList(true)
	must(err)
	info, err := ctx.GetTokenInfo(slots[0])
	must(err)
	if len(slots) != 1 || info.Label != soft.Label || info.SerialNumber != soft.Serial {
		t.Errorf("slots %v, token %q %q, want %q", slots, info.Label, info.SerialNumber, soft.Serial)
	}
	s, err := ctx.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION)
	must(err)
	find := func(class uint) []pkcs11.ObjectHandle {
		t.Helper()
		must(ctx.FindObjectsInit(s, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_ID, softhsm.NoopKey)}))
		found, _, err := ctx.FindObjects(s, 10)
		must(err)
		must(ctx.FindObjectsFinal(s))
		return found
	}
	if len(find(pkcs11.CKO_PRIVATE_KEY)) != 0 {
		t.Error("the private key is visible without a login")
	}
	wantCode(t, ctx.Login(s, pkcs11.CKU_USER, "12345679"), pkcs11.CKR_PIN_INCORRECT)
	must(ctx.Login(s, pkcs11.CKU_USER, soft.PIN))
	private, public := find(pkcs11.CKO_PRIVATE_KEY), find(pkcs11.CKO_PUBLIC_KEY)
	if len(private) != 1 || len(public) != 1 {
		t.Fatal(private, public)
	}
	value, err := ctx.GetAttributeValue(s, public[0], []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	must(err)
	key, err := gost.NewPublicKey(gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"), value[0].Value)
	must(err)
	q, err := hex.DecodeString("93b861b7091b844500d15a997010616cffffffffffffffffffffffffffffffff") // as a digest
	must(err)
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	most := make([]byte, 32)
	for i := range most {
		most[i] = 0xff
	}
	for _, digest := range [][]byte{random, most, q, make([]byte, 32)} {
		must(ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GOSTR3410, nil)}, private[0]))
		signature, err := ctx.Sign(s, digest)
		must(err)
		if err := key.Verify(digest, signature); err != nil {
			t.Errorf("%x: %v", digest, err)
		}
	}
	must(ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GOSTR3410, nil)}, private[0]))
	wantCode(t, ctx.SignInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GOSTR3410, nil)}, private[0]),
		pkcs11.CKR_OPERATION_ACTIVE)
	must(ctx.CloseSession(s))
	wantCode(t, ctx.CloseSession(s), pkcs11.CKR_SESSION_HANDLE_INVALID)
	must(ctx.Finalize())
}
