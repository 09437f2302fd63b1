package hsm

import (
	"crypto/rand"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/internal/testpki"
)

// What tokens are known to keep in another way than the standard has it, and what is made of it.
func TestObjectsAsTokensKeepThem(t *testing.T) {
	oid := func(set string) []byte {
		der, err := asn1.Marshal(gost.ParamSetByName(set).OID)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	private, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		t.Fatal(err)
	}
	public := private.Public().(*gost.PublicKey)
	bare := public.Bytes()
	wrapped, err := asn1.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	bigEndian := slices.Clone(bare)
	slices.Reverse(bigEndian[:32])
	slices.Reverse(bigEndian[32:])
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	certificate := ca.Issue(t, public, testpki.Template{}).Raw
	old, err := gost.NewPublicKey(gost.GOST2001, public.Params, bare)
	if err != nil {
		t.Fatal(err)
	}
	_, other := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})

	key := func(more ...*p11.Attribute) []*p11.Attribute {
		return append(more, p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST))
	}
	shown := func(set string, value []byte) []*p11.Attribute {
		return []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassPublicKey), p11.Attr(p11.AttrKeyType, p11.KeyTypeGOST),
			p11.Attr(p11.AttrGOSTR3410Params, oid(set)), p11.Attr(p11.AttrValue, value)}
	}
	certified := func(der []byte) []*p11.Attribute {
		return []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassCertificate), p11.Attr(p11.AttrValue, der)}
	}
	for _, test := range []struct {
		name    string
		vendor  *Vendor
		objects [][]*p11.Attribute
		want    string // part of the refusal; empty: it serves
	}{
		{"as the standard has it", nil, [][]*p11.Attribute{key(), shown("CryptoPro-A", bare)}, ""},
		{"public value in an OCTET STRING", nil, [][]*p11.Attribute{key(), shown("CryptoPro-A", wrapped)}, ""},
		{"the same curve by another name", nil, [][]*p11.Attribute{key(), shown("tc26-256-B", bare), certified(certificate)}, ""},
		{"the private object calls the curve tc26-256-A, as Botan's SoftHSM does", nil,
			[][]*p11.Attribute{key(p11.Attr(p11.AttrGOSTR3410Params, oid("tc26-256-A"))), shown("CryptoPro-A", bare)}, ""},
		{"only the certificate", nil, [][]*p11.Attribute{key(), certified(certificate)}, ""},
		{"an empty public object beside the certificate", nil,
			[][]*p11.Attribute{key(), shown("CryptoPro-A", nil), certified(certificate)}, ""},
		{"neither", nil, [][]*p11.Attribute{key()}, "neither a public key nor a certificate"},
		{"certificate of another key", nil, [][]*p11.Attribute{key(), shown("CryptoPro-A", bare), certified(other.Raw)}, "different keys"},
		{"certificate that is none", nil, [][]*p11.Attribute{key(), shown("CryptoPro-A", bare), certified([]byte("x"))}, "its certificate"},
		{"mislabelled public object", nil, [][]*p11.Attribute{key(), shown("CryptoPro-C", bare)},
			"on CryptoPro-A, and the token calls it CryptoPro-C"},
		{"mislabelled, certificate right", nil,
			[][]*p11.Attribute{key(), shown("CryptoPro-C", bare), certified(certificate)}, "the token calls it CryptoPro-C"},
		{"big-endian halves", nil, [][]*p11.Attribute{key(), shown("CryptoPro-A", bigEndian)}, "halves are big-endian"},
		{"two keys", nil, [][]*p11.Attribute{key(), key(), shown("CryptoPro-A", bare)}, "several objects of the kind private key"},
		{"two certificates", nil, [][]*p11.Attribute{key(), certified(certificate), certified(other.Raw)},
			"several objects of the kind certificate"},
		{"not for signing", nil, [][]*p11.Attribute{key(p11.Attr(p11.AttrSign, false)), shown("CryptoPro-A", bare)}, "CKA_SIGN is false"},
		{"PIN at each signature", nil,
			[][]*p11.Attribute{key(p11.Attr(p11.AttrAlwaysAuth, true)), shown("CryptoPro-A", bare)}, "asks for its PIN"},
		{"the same, where it means nothing", &Vendor{Mechanism256: p11.MechGOST, AlwaysAuthenticate: Ignored},
			[][]*p11.Attribute{key(p11.Attr(p11.AttrAlwaysAuth, true)), shown("CryptoPro-A", bare)}, ""},
		{"a vendor whose keys all do", &Vendor{Mechanism256: p11.MechGOST, AlwaysAuthenticate: Forced},
			[][]*p11.Attribute{key(), shown("CryptoPro-A", bare)}, "asks for its PIN"},
		{"touch", &rutoken, [][]*p11.Attribute{key(p11.Attr(p11.AttrRutokenTouch, true)), shown("CryptoPro-A", bare)}, "waits for a touch"},
		{"confirmation", &rutoken, [][]*p11.Attribute{key(p11.Attr(p11.AttrRutokenConfirm, true)), shown("CryptoPro-A", bare)},
			"waits for a confirmation"},
		{"a module without the mechanism", &Vendor{Title: "The module"}, [][]*p11.Attribute{key(), shown("CryptoPro-A", bare)},
			"The module signs nothing with keys of 256 bit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := p11.NewFake(p11.TokenInfo{}, "1234")
			for _, o := range test.objects {
				f.Add(append(o, p11.Attr(p11.AttrID, "A/ov/1"))...)
			}
			s, err := f.OpenSession(7, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Login(s, p11.User, "1234"); err != nil {
				t.Fatal(err)
			}
			got, err := reader{m: f, s: s, vendor: test.vendor}.pair("A/ov/1")
			switch {
			case test.want == "" && (err != nil || !samePoint(got.public, old)):
				t.Errorf("%+v %v", got, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}
