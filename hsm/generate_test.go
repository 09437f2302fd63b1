package hsm

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// newStandOf makes a fake that says it is another model.
func newStandOf(t *testing.T, model string) *stand {
	t.Helper()
	f := newStand(t)
	f.SetInfo(func(i *p11.TokenInfo) {
		if i.Model = model; model == "SoftHSM v2" {
			i.Manufacturer = "SoftHSM project"
		}
	})
	return f
}

// without takes attributes out of a template.
func without(template []*p11.Attribute, kinds ...uint) []*p11.Attribute {
	return slices.DeleteFunc(slices.Clone(template), func(a *p11.Attribute) bool { return slices.Contains(kinds, a.Type) })
}

// makeKeys lets the fake make pairs of the stand's own key, as a token keeps them; spoil changes the private object.
func (f *stand) makeKeys(spoil func(public, private []*p11.Attribute) (pub, priv []*p11.Attribute)) {
	f.Generate = func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute, error) {
		public = append(slices.Clone(public), p11.Attr(p11.AttrValue, f.key.Public().(*gost.PublicKey).Bytes()))
		private = append(slices.Clone(private), p11.Attr(p11.AttrAlwaysSensitive, true), p11.Attr(p11.AttrNeverExtractable, true),
			p11.Attr(p11.AttrLocal, true))
		if spoil != nil {
			public, private = spoil(public, private)
		}
		return public, private, nil
	}
}

// A key that is not kept as it was asked for is not left behind.
func TestGenerateRefusesWeakKeys(t *testing.T) {
	set := func(kind uint, value any) func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute) {
		return func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute) {
			return public, append(without(private, kind), p11.Attr(kind, value))
		}
	}
	otherSet, err := asn1.Marshal(gost.ParamSetByName("CryptoPro-B").OID)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		spoil func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute)
		want  string // part of the error; empty: the key is good
	}{
		{"as asked", nil, ""},
		{"not sensitive", set(p11.AttrSensitive, false), "is not sensitive"},
		{"extractable", set(p11.AttrExtractable, true), "is extractable"},
		{"visible", set(p11.AttrPrivate, false), "is visible without the PIN"},
		{"was sensitive later", set(p11.AttrAlwaysSensitive, false), "was not always sensitive"},
		{"left the token", set(p11.AttrNeverExtractable, false), "was extractable"},
		{"asks for its PIN", set(p11.AttrAlwaysAuth, true), "asks for its PIN"},
		{"may not sign", set(p11.AttrSign, false), "CKA_SIGN"},
		{"says nothing of itself", func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute) {
			return public, without(private, p11.AttrSensitive, p11.AttrAlwaysSensitive, p11.AttrNeverExtractable)
		}, "is not sensitive"},
		{"another set", func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute) {
			return append(without(public, p11.AttrGOSTR3410Params), p11.Attr(p11.AttrGOSTR3410Params, otherSet)), private
		}, "it is on CryptoPro-A, and the token calls it CryptoPro-B"},
		{"big-endian", func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute) {
			value := publicValue(public)
			slices.Reverse(value[:32])
			slices.Reverse(value[32:])
			return append(without(public, p11.AttrValue), p11.Attr(p11.AttrValue, value)), private
		}, "its halves are big-endian"},
		{"no public value", func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute) {
			return without(public, p11.AttrValue), private
		}, "no public key that can be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newStand(t)
			f.makeKeys(test.spoil)
			before := f.Objects()
			token := f.open(t)
			_, err := token.GenerateKey(t.Context(), "EXMP01/ov/2", gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
			if test.want == "" {
				if err != nil || f.Objects() != before+2 {
					t.Fatalf("%d objects more, %v", f.Objects()-before, err)
				}
				return
			}
			wantKind(t, err, KeyUnusable)
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the fault is not named: %v", err)
			}
			if f.Objects() != before {
				t.Errorf("%d objects are left behind", f.Objects()-before)
			}
		})
	}
}

// publicValue copies the public value out of a template.
func publicValue(public []*p11.Attribute) []byte {
	for _, a := range public {
		if a.Type == p11.AttrValue {
			return bytes.Clone(a.Value)
		}
	}
	return nil
}

// The parameters go where the vendor's profile puts them.
func TestGenerateTemplates(t *testing.T) {
	has := func(template []*p11.Attribute, kind uint) bool {
		return slices.ContainsFunc(template, func(a *p11.Attribute) bool { return a.Type == kind })
	}
	for _, test := range []struct {
		model  string
		demand bool // the fake wants the parameters in the private template
		calls  int
		ok     bool
	}{
		{"", false, 1, true},
		{"", true, 2, true},
		{"SoftHSM v2", true, 1, false},
		{"JaCarta GOST 2.0", false, 1, true},
	} {
		f := newStandOf(t, test.model)
		f.makeKeys(nil)
		make := f.Generate
		f.Generate = func(public, private []*p11.Attribute) ([]*p11.Attribute, []*p11.Attribute, error) {
			if test.demand && !has(private, p11.AttrGOSTR3410Params) {
				return nil, nil, p11.TemplateIncomplete
			}
			if test.model == "JaCarta GOST 2.0" &&
				!(has(private, p11.AttrUnwrap) && has(private, p11.AttrModifiable) && has(private, p11.AttrValueLen)) {
				return nil, nil, p11.AttributeReadOnly
			}
			return make(public, private)
		}
		_, err := f.open(t).GenerateKey(t.Context(), "EXMP01/ov/2", gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
		if (err == nil) != test.ok || f.Calls("GenerateKeyPair") != test.calls {
			t.Errorf("%q: %d calls, %v", test.model, f.Calls("GenerateKeyPair"), err)
		}
	}
}

// Tokens whose vendor says so take no private keys, and the key is not sent to them.
func TestImportRefused(t *testing.T) {
	f := newStandOf(t, "JaCarta GOST 2.0")
	key, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.open(t).ImportKey(t.Context(), "EXMP01/ov/2", key)
	wantKind(t, err, Config)
	if f.Calls("CreateObject") != 0 {
		t.Error("the key was sent")
	}
}

func algorithm256() *gost.Algorithm { return gost.GOST2012_256 }
func cryptoProASet() *gost.ParamSet { return gost.ParamSetByName("CryptoPro-A") }
