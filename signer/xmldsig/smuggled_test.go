package xmldsig

import (
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// TestSmuggledInKeyInfo: elements of SMEV are not read from where nothing covers them.
func TestSmuggledInKeyInfo(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	for _, m := range messagesToSign()[:2] {
		signed := string(p.sign(t, SMEV3, Input{Document: []byte(m.doc)}))
		for _, x := range []string{"</ds:KeyInfo>", "</ds:X509Data>", "</ds:X509Certificate>", "</ds:SignatureValue>", "</ds:Signature>"} {
			for _, y := range []string{`<b:MessagePrimaryContent xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"><evil/></b:MessagePrimaryContent>`} {
				doc := strings.Replace(signed, x, y+x, 1)
				if doc == signed {
					continue
				}
				r, err := Verify([]byte(doc), Policy{Trust: p.store})
				if err == nil && r.Verdict() == report.Valid {
					t.Errorf("%s %s valid", x, y)
				}
			}
		}
	}
}
