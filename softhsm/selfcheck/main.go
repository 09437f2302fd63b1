// Command selfcheck proves a freshly built module: it makes a token and GOST keys, signs with them and verifies.
// C_Initialize succeeds even when OpenSSL's gost engine is missing, so only a signature tells.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/softhsm"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: selfcheck MODULE")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "selfcheck:", err)
		os.Exit(1)
	}
}

func check(module string) (err error) {
	dir, err := os.MkdirTemp("", "epov-selfcheck-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	conf, err := softhsm.WriteConf(dir)
	if err != nil {
		return err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return err
	}
	pin := hsm.NewPIN([]byte(rand.Text()))
	info, err := hsm.InitToken(module, hsm.InitOptions{Label: "selfcheck", SOPIN: pin, UserPIN: pin})
	if err != nil {
		return err
	}
	ctx := context.Background()
	token, err := hsm.Open(ctx, hsm.TokenConfig{
		Module: module, Serial: info.Serial, PIN: hsm.PINValue(pin), StateDir: filepath.Join(dir, "state"),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, token.Close(ctx)) }()
	sets := []string{"CryptoPro-A"}
	if info.GOST512 { // with our patches
		sets = append(sets, "tc26-256-A", "tc26-512-A", "tc26-512-C")
	}
	for _, name := range sets {
		if err := sign(ctx, token, gost.ParamSetByName(name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func sign(ctx context.Context, token *hsm.Token, p *gost.ParamSet) error {
	algorithm := gost.GOST2012_256
	if p.Size() == 64 {
		algorithm = gost.GOST2012_512
	}
	public, err := token.GenerateKey(ctx, p.Name, algorithm, p)
	if err != nil {
		return err
	}
	key, err := token.Key(ctx, p.Name)
	if err != nil {
		return err
	}
	digest := make([]byte, p.Size())
	_, _ = rand.Read(digest) // never fails
	signature, err := key.SignDigest(ctx, digest)
	if err != nil {
		return err
	}
	return public.Verify(digest, signature)
}
