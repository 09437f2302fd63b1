package gost_test

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/epov-signer/epov/gost"
)

// Sign and verify with a key in software. The hash is the algorithm's own.
func ExamplePrivateKey() {
	key, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("tc26-256-A"))
	if err != nil {
		panic(err)
	}
	h := gost.GOST2012_256.Digest.New()
	h.Write([]byte("message"))
	digest := h.Sum(nil)

	signature, err := key.Sign(rand.Reader, digest, nil)
	if err != nil {
		panic(err)
	}
	public := key.Public().(*gost.PublicKey)
	fmt.Println(len(signature), public.Verify(digest, signature))

	digest[0] ^= 1
	fmt.Println(errors.Is(public.Verify(digest, signature), gost.ErrVerification))
	// Output:
	// 64 <nil>
	// true
}

// The parameter sets of the standards' worked examples are refused unless they are asked for.
func ExampleAllowTestParams() {
	p := gost.ParamSetByName("test-512")
	_, err := gost.GenerateKey(rand.Reader, gost.GOST2012_512, p)
	fmt.Println(err)
	_, err = gost.GenerateKey(rand.Reader, gost.GOST2012_512, p, gost.AllowTestParams())
	fmt.Println(err)
	// Output:
	// gost: parameter set is for tests only: test-512
	// <nil>
}
