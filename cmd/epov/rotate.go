package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/daemon"
	"github.com/epov-signer/epov/signer"
)

// rotationFlags choose what is rotated.
type rotationFlags struct {
	Config  string `default:"/etc/epovd/epovd.yaml" placeholder:"FILE" help:"Configuration of epovd, with key_states. Default: /etc/epovd/epovd.yaml."`
	PINFile string `name:"pin-file" placeholder:"FILE" help:"File with the user PIN, mode 0600; default: as the configuration says, else ask."`
}

// rotate opens the states, lets f change them, and says what becomes of it.
func (c *rotationFlags) rotate(con *console, name string, f func(*daemon.Rotation, signer.KeyName) error) error {
	n, err := signer.ParseKeyName(name)
	if err != nil {
		return usageError{err}
	}
	r, err := c.open(con)
	if err != nil {
		return err
	}
	defer r.Close()
	if err = f(r, n); err != nil {
		if _, ok := errors.AsType[*daemon.ConfigError](err); ok {
			return usageError{err}
		}
	}
	return err
}

func (c *rotationFlags) open(con *console) (*daemon.Rotation, error) {
	log := slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelError}))
	r, err := daemon.Rotate(c.Config, log)
	if err != nil {
		if _, ok := errors.AsType[*daemon.ConfigError](err); ok {
			return nil, usageError{err}
		}
		return nil, err
	}
	r.PIN = c.pin
	r.Warn = func(format string, args ...any) {
		fmt.Fprintln(con.err, "warning: "+printable(fmt.Sprintf(format, args...)))
	}
	return r, nil
}

// pin takes the configured PIN where this process can read it; the credentials and descriptors are the service's.
func (c *rotationFlags) pin(t hsm.TokenConfig) (hsm.PINSource, func(), error) {
	if c.PINFile == "" {
		if p, err := t.PIN.Read(); err == nil {
			p.Wipe()
			return t.PIN, func() {}, nil
		}
	}
	return pinSource(c.PINFile, "user PIN of token "+t.Name)
}

type keyStageCmd struct {
	rotationFlags
	Name        string   `arg:"" help:"Key version, such as keys/EXMP01/ov/versions/2."`
	Token       []string `placeholder:"NAME" help:"Configured token that holds it; several for replicas. Default: the primary version's."`
	ID          string   `name:"id" placeholder:"TEXT" help:"CKA_ID on the token; default: SYSTEM/KEY/VERSION."`
	Certificate string   `placeholder:"FILE" help:"Its certificate; default: the one on the token."`
	Chain       []string `placeholder:"FILE" help:"Certificates to send along, the issuer's first, without the root."`
}

func (c *keyStageCmd) Run(ctx context.Context, con *console) error {
	act := keyChange{verb: "stage", done: "staged", state: "staged", means: "key and certificate are proved"}
	act.alone = func(r *daemon.Rotation, name signer.KeyName) error {
		s := daemon.Staging{Tokens: c.Token, ID: c.ID}
		var err error
		if c.Certificate != "" {
			if s.Certificate, err = absolutePath(c.Certificate); err != nil {
				return err
			}
		}
		for _, file := range c.Chain {
			if file, err = absolutePath(file); err != nil {
				return err
			}
			s.Chain = append(s.Chain, file)
		}
		return r.Stage(ctx, name, s)
	}
	if c.Certificate == "" && c.Chain == nil { // else a daemon has to read files, of which its administration knows nothing
		act.running = func(ctx context.Context, admin epovpb.AdminServiceClient) error {
			_, err := admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: c.Name, Tokens: c.Token, Id: c.ID})
			return err
		}
	}
	return c.change(ctx, con, c.Name, act)
}

type keyActivateCmd struct {
	rotationFlags
	Name string `arg:"" help:"Key version, such as keys/EXMP01/ov/versions/2."`
}

func (c *keyActivateCmd) Run(ctx context.Context, con *console) error {
	return c.change(ctx, con, c.Name, keyChange{verb: "activate", done: "activated", state: "active", means: "it is primary",
		running: func(ctx context.Context, admin epovpb.AdminServiceClient) error {
			_, err := admin.ActivateKey(ctx, &epovpb.ActivateKeyRequest{Key: c.Name})
			return err
		},
		alone: func(r *daemon.Rotation, name signer.KeyName) error { return r.Activate(ctx, name) },
	})
}

type keyRetireCmd struct {
	rotationFlags
	Name string `arg:"" help:"Key version, such as keys/EXMP01/ov/versions/1."`
}

func (c *keyRetireCmd) Run(ctx context.Context, con *console) error {
	return c.change(ctx, con, c.Name, keyChange{verb: "retire", done: "retired", state: "retired", means: "it signs no more",
		running: func(ctx context.Context, admin epovpb.AdminServiceClient) error {
			_, err := admin.RetireKey(ctx, &epovpb.RetireKeyRequest{Key: c.Name})
			return err
		},
		alone: func(r *daemon.Rotation, name signer.KeyName) error { return r.Retire(ctx, name) },
	})
}

type keyDisableCmd struct {
	rotationFlags
	Name string `arg:"" help:"Key version, such as keys/EXMP01/ov/versions/1."`
}

func (c *keyDisableCmd) Run(ctx context.Context, con *console) error {
	return c.change(ctx, con, c.Name, keyChange{verb: "disable", done: "disabled", state: "disabled", means: "it must not sign",
		running: func(ctx context.Context, admin epovpb.AdminServiceClient) error {
			_, err := admin.DisableKey(ctx, &epovpb.DisableKeyRequest{Key: c.Name})
			return err
		},
		alone: func(r *daemon.Rotation, name signer.KeyName) error { return r.Disable(ctx, name) },
	})
}

type keyStatesCmd struct {
	rotationFlags
}

func (c *keyStatesCmd) Run(con *console) error {
	r, err := c.open(con)
	if err != nil {
		return err
	}
	defer r.Close()
	t := newTable(con.out, "NAME", "PRIMARY", "STATE", "TOKENS")
	for _, v := range r.Versions() {
		primary := ""
		if v.Primary {
			primary = "primary"
		}
		t.row(v.Name, primary, v.State, strings.Join(v.Tokens, ", "))
	}
	return t.flush()
}
