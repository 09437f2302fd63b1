package gost_test

import (
	"crypto/rand"
	"fmt"

	"github.com/epov-signer/epov/gost"
)

func ExampleParseName() {
	name, err := gost.ParseName(`CN=Портал,O="Ведомство, отдел",OGRN=1047702026701,C=RU`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(name)
	fmt.Println(name.MatchesString(`C=RU, ОГРН=1047702026701, O=Ведомство\, отдел, CN=Портал`))
	// Output:
	// CN=Портал,O=Ведомство\, отдел,1.2.643.100.1=1047702026701,C=RU
	// true
}

// The key may be anywhere: what it must sign comes out of PrepareRequest, and its signature goes into Complete.
func ExamplePrepareRequest() {
	key, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		fmt.Println(err)
		return
	}
	subject, err := gost.ParseName("CN=Портал,OGRN=1047702026701,C=RU")
	if err != nil {
		fmt.Println(err)
		return
	}
	prepared, err := gost.PrepareRequest(gost.RequestTemplate{
		Subject:  subject,
		KeyUsage: gost.UsageDigitalSignature | gost.UsageContentCommitment,
	}, key.Public().(*gost.PublicKey))
	if err != nil {
		fmt.Println(err)
		return
	}
	signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	der, err := prepared.Complete(signature)
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := gost.ParseRequest(der)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(request.Subject, request.CheckSignature())
	// Output:
	// CN=Портал,1.2.643.100.1=1047702026701,C=RU <nil>
}
