package xmldsig_test

import (
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"log"
	"os"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// A request of SMEV 3 is signed with a key in software and verified.
func Example() {
	certificates := func(name string) []*gost.Certificate {
		data, err := os.ReadFile(vectors.Path("gost/certs/2012-256-tc26A/" + name))
		if err != nil {
			log.Fatal(err)
		}
		certs, err := gost.ParseCertificates(data)
		if err != nil {
			log.Fatal(err)
		}
		return certs
	}
	data, err := os.ReadFile(vectors.Path("gost/certs/2012-256-tc26A/leaf.key"))
	if err != nil {
		log.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := gost.ParsePrivateKey(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}

	doc := `<t:AckRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"
  xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"
><b:AckTargetMessage accepted="true">8c1c0a10-f1ee-11f0-8a5e-0242ac120002</b:AckTargetMessage></t:AckRequest>`
	prepared, err := xmldsig.SMEV3.Prepare(xmldsig.Input{Document: []byte(doc), Certificate: certificates("leaf.pem")[0]})
	if err != nil {
		log.Fatal(err)
	}
	value, err := key.Sign(rand.Reader, prepared.Digest(), nil) // or a token
	if err != nil {
		log.Fatal(err)
	}
	signed, err := prepared.Complete(value)
	if err != nil {
		log.Fatal(err)
	}

	r, err := xmldsig.Verify(signed, xmldsig.Policy{
		Profile: xmldsig.SMEV3,
		Trust:   trust.New(certificates("root.pem"), certificates("int.pem")),
	})
	if err != nil {
		log.Fatal(err)
	}
	s := r.Signatures[0]
	fmt.Println(r.Verdict(), s.Name, "covers", s.Coverage[0].Place.Path, s.Coverage[0].URI)
	// Output: valid CallerInformationSystemSignature covers /t:AckRequest/b:AckTargetMessage #SIGNED_BY_CALLER
}
