package hsm_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

func ExampleOpen() {
	ctx := context.Background()
	token, err := hsm.Open(ctx, hsm.TokenConfig{
		Module:   "/usr/lib/librtpkcs11ecp.so",
		Label:    "epov",
		PIN:      hsm.PINCredential("token-pin"),
		StateDir: "/var/lib/epov/tokens",
	}, slog.Default())
	if err != nil {
		fmt.Println(err) // hsm.KindOf(err) == hsm.PINRefused: an operator must act, do not start again
		return
	}
	defer token.Close(ctx)

	key, err := token.Key(ctx, "EXMP01/ov/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	hash := gost.Streebog256.New()
	hash.Write([]byte("message"))
	deadline, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	signature, err := key.SignDigest(deadline, hash.Sum(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x\n", signature)
}
