package hsm

import (
	"bytes"
	"encoding/asn1"
	"testing"

	"github.com/epov-signer/epov/gost"
)

// What a token says of a public key is read without trust: any octets give a key on its curve or an error.
func FuzzTokenPublicKey(f *testing.F) {
	for _, set := range gost.ParamSets {
		der, err := asn1.Marshal(set.OID)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der, make([]byte, 64))
		f.Add(der, append([]byte{4, 64}, make([]byte, 64)...))
		f.Add(der, append([]byte{4, 0x81, 0x80}, make([]byte, 128)...))
	}
	f.Fuzz(func(t *testing.T, params, value []byte) {
		set, err := paramSet(params)
		if err != nil {
			return
		}
		for _, a := range []*gost.Algorithm{gost.GOST2012_256, gost.GOST2012_512} {
			bare := unwrap(value, 2*a.Size)
			key, err := gost.NewPublicKey(a, set, bare)
			if err == nil && !bytes.Equal(key.Bytes(), bare) {
				t.Errorf("%x became %x", bare, key.Bytes())
			}
		}
	})
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if name := k.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("kind %d is called %q", k, name)
		} else {
			seen[name] = true
		}
	}
	if Kind(len(Kinds())).String() != "unknown" {
		t.Error("a kind outside the list has a name")
	}
	for code, o := range outcomes {
		if o.remedy == giveUp && o.kind == Internal {
			t.Errorf("%v needs no row: it says what a code without one means", code)
		}
	}
}
