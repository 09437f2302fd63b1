package hsm_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

func ExampleScheduler() {
	hsm.WorkerMain() // first of all in main

	ctx := context.Background()
	token := func(name, label string) hsm.TokenConfig {
		return hsm.TokenConfig{
			Name: name, Module: "/usr/lib/librtpkcs11ecp.so", Label: label,
			PIN: hsm.PINCredential("pin-" + name), StateDir: "/var/lib/epov/" + name,
		}
	}
	tokens, err := hsm.Start(ctx, hsm.SchedulerConfig{
		Tokens: []hsm.TokenConfig{token("one", "EPOV-1"), token("two", "EPOV-2")},
		Keys: []hsm.KeyConfig{{Name: "ov", Replicas: []hsm.KeyRef{
			{Token: "one", ID: "EXMP01/ov/1"}, {Token: "two", ID: "EXMP01/ov/1"},
		}}},
	}, slog.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tokens.Close(ctx)

	key, err := tokens.Key("ov")
	if err != nil {
		fmt.Println(err)
		return
	}
	hash := gost.Streebog256.New()
	hash.Write([]byte("message"))
	deadline, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	signature, err := tokens.Submit(deadline, key, hash.Sum(nil), hsm.Flow{Client: "archive", Weight: 1})
	if err != nil {
		fmt.Println(err) // hsm.KindOf(err) == hsm.Away: both are; (*hsm.Error).RetryAfter says when to ask again
		return
	}
	fmt.Printf("%x\n", signature.Signature()) // s ‖ r
}

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
