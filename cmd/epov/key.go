package main

import (
	"context"
	"fmt"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

type keyCmd struct {
	Generate keyGenerateCmd `cmd:"" help:"Generate a key that cannot leave the token."`
	List     keyListCmd     `cmd:"" help:"List the keys on a token."`
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

type keyListCmd struct {
	tokenFlags
}

func (c *keyListCmd) Run(ctx context.Context, con *console) error {
	return c.use(ctx, con, func(token *hsm.Token) error {
		keys, err := token.Keys(ctx)
		if err != nil {
			return err
		}
		t := newTable(con.out, "NAME", "TYPE", "PARAMETERS", "CERTIFICATE", "VALID UNTIL", "PROBLEM")
		for _, k := range keys {
			t.row(keyRow(k)...)
		}
		return t.flush()
	})
}

// keyRow shows keys that are not named in our way by their id.
func keyRow(k hsm.KeyInfo) []string {
	name := "id " + k.ID
	if n, ok := parseKeyID(k.ID); ok {
		name = n.String()
	}
	row := []string{name, k.Type, "", "", "", k.Problem}
	if k.Public != nil {
		row[2] = k.Public.Params.Name
	}
	switch {
	case k.Certificate != nil:
		row[3] = k.Certificate.Subject.String()
		row[4] = k.Certificate.NotAfter.UTC().Format(time.RFC3339)
	case k.HasCert:
		row[3] = "unreadable"
	}
	return row
}
