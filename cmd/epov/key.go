package main

import (
	"context"
	"fmt"
	"os"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

type keyCmd struct {
	Generate keyGenerateCmd `cmd:"" help:"Generate a key that cannot leave the token."`
	List     keyListCmd     `cmd:"" help:"List the keys on a token: how they are kept, their certificates."`
	Stage    keyStageCmd    `cmd:"" help:"Make a successor known to the daemon: proved, listed, not signing yet."`
	Activate keyActivateCmd `cmd:"" help:"Make a staged version the primary one, while requests flow."`
	Retire   keyRetireCmd   `cmd:"" help:"End the signing of a version that is not the primary one; it stays listed."`
	Disable  keyDisableCmd  `cmd:"" help:"End the signing of a key version at once, be it the primary one."`
	States   keyStatesCmd   `cmd:"" help:"List the versions of the daemon's keys with their states."`
	Import   keyImportCmd   `cmd:"" help:"Put a key that was made elsewhere on a token. Better generate one there."`
}

type keyGenerateCmd struct {
	tokenFlags
	System    string `required:"" placeholder:"MNEMONIC" help:"Mnemonic of the information system, such as EXMP01."`
	Key       string `default:"ov" help:"Name of the key within the system."`
	Version   int    `placeholder:"N" help:"Version; default: the next after the highest on the token."`
	Algorithm string `default:"gost2012-256" help:"gost2012-256 or gost2012-512."`
	Params    string `placeholder:"NAME" help:"Parameter set of the curve; default: CryptoPro-A for 256 bit, tc26-512-A for 512 bit."`
}

func (c *keyGenerateCmd) Run(ctx context.Context, con *console) error {
	algorithm, params, err := c.kind()
	if err != nil {
		return err
	}
	name := keyName{c.System, c.Key, max(c.Version, 1)}
	if err := name.check(); err != nil {
		return err
	}
	if c.Version < 0 {
		return usagef("versions of keys count from 1")
	}
	return c.use(ctx, con, func(token *hsm.Token) error {
		if c.Version == 0 {
			if name.version, err = nextVersion(ctx, token, name); err != nil {
				return err
			}
		}
		public, err := token.GenerateKey(ctx, name.id(), algorithm, params)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(con.out, "generated %s on token %s: %s, %s\n",
			name, printable(token.Info().Label), public.Algorithm.Name, public.Params.Name)
		return err
	})
}

func (c *keyGenerateCmd) kind() (*gost.Algorithm, *gost.ParamSet, error) {
	var algorithm *gost.Algorithm
	params := c.Params
	switch c.Algorithm {
	case gost.GOST2012_256.Name:
		algorithm = gost.GOST2012_256
		if params == "" {
			params = "CryptoPro-A"
		}
	case gost.GOST2012_512.Name:
		algorithm = gost.GOST2012_512
		if params == "" {
			params = "tc26-512-A"
		}
	default:
		return nil, nil, usagef("--algorithm must be gost2012-256 or gost2012-512")
	}
	set := gost.ParamSetByName(params)
	if set == nil || set.TestOnly {
		return nil, nil, usagef("there is no parameter set %q; known: %s", params, paramSetNames())
	}
	if !set.UsableWith(algorithm) {
		return nil, nil, usagef("--params %s is not for keys of --algorithm %s", set.Name, algorithm.Name)
	}
	return algorithm, set, nil
}

func paramSetNames() (list string) {
	for _, p := range gost.ParamSets {
		if !p.TestOnly {
			if list != "" {
				list += ", "
			}
			list += p.Name
		}
	}
	return list
}

func nextVersion(ctx context.Context, token *hsm.Token, name keyName) (int, error) {
	keys, err := token.Keys(ctx)
	if err != nil {
		return 0, err
	}
	next := 1
	for _, k := range keys {
		if n, ok := parseKeyID(k.ID); ok && n.system == name.system && n.key == name.key {
			next = max(next, n.version+1)
		}
	}
	return next, nil
}

type keyImportCmd struct {
	tokenFlags
	Name    string `required:"" placeholder:"NAME" help:"Key version to make of it, such as keys/EXMP01/ov/versions/1."`
	Outside bool   `name:"key-exists-outside-the-token" help:"Required: says that you know that copies of the key can exist."`
	File    string `arg:"" help:"The private key, PKCS#8, PEM or DER, not encrypted, mode 0600; - is standard input."`
}

func (c *keyImportCmd) Run(ctx context.Context, con *console) error {
	name, err := parseKeyName(c.Name)
	if err != nil {
		return err
	}
	if !c.Outside {
		return usagef("a key that is imported has been outside the token, and every copy of its file signs as well as the token: " +
			"generate the key on the token (`epov key generate`); if it must be this one, give --key-exists-outside-the-token")
	}
	if info, err := os.Stat(c.File); c.File != "-" && err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return usagef("%s: mode %#o lets others read the key; make it 0600", c.File, info.Mode().Perm())
	}
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	defer clear(data)
	der, err := unarmour(c.File, data, "PRIVATE KEY")
	if err != nil {
		return err
	}
	defer clear(der)
	private, err := gost.ParsePrivateKey(der)
	if err != nil {
		return usagef("%s: %w", c.File, err)
	}
	return c.use(ctx, con, func(token *hsm.Token) error {
		public, err := token.ImportKey(ctx, name.id(), private)
		if err != nil {
			return err
		}
		fmt.Fprintln(con.err, "warning: destroy the file and its copies; the token says for ever that the key was not made there")
		_, err = fmt.Fprintf(con.out, "imported %s to token %s: %s, %s\n",
			name, printable(token.Info().Label), public.Algorithm.Name, public.Params.Name)
		return err
	})
}
