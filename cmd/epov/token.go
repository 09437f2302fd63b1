package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/epov-signer/epov/hsm"
)

// tokenFlags choose a token and how to log in to it.
type tokenFlags struct {
	Module   string `required:"" placeholder:"FILE" help:"The PKCS#11 library."`
	Token    string `placeholder:"LABEL" help:"Label of the token."`
	Serial   string `placeholder:"NUMBER" help:"Serial number of the token."`
	PINFile  string `name:"pin-file" placeholder:"FILE" help:"File with the user PIN, mode 0600; default: ask on the terminal."`
	StateDir string `placeholder:"DIR" help:"Where refused PINs are remembered; best the daemon's. Default: ~/.local/state/epov."`
	FinalTry bool   `help:"Spend the last try of the PIN before the token locks it."`

	KeyPINFile string `name:"key-pin-file" placeholder:"FILE" help:"File with the PIN for keys that want it for each signature; it may be that of the user PIN."`
}

// config finds the token before anybody types a PIN for it. done wipes what was typed.
func (t *tokenFlags) config(what string) (cfg hsm.TokenConfig, info hsm.TokenInfo, done func(), err error) {
	if t.Token == "" && t.Serial == "" {
		return cfg, info, nil, usagef("--token or --serial says which token; `epov token list` lists them")
	}
	state, err := t.stateDir()
	if err != nil {
		return cfg, info, nil, err
	}
	if info, err = hsm.FindToken(t.Module, t.Token, t.Serial); err != nil {
		return cfg, info, nil, err
	}
	pin, done, err := pinSource(t.PINFile, what)
	if err != nil {
		return cfg, info, nil, err
	}
	cfg = hsm.TokenConfig{
		Module: t.Module, Label: t.Token, Serial: info.Serial, PIN: pin, Sessions: 1, StateDir: state, AllowFinalTry: t.FinalTry,
	}
	if t.KeyPINFile != "" {
		cfg.KeyPIN = hsm.PINFile(t.KeyPINFile)
	}
	return cfg, info, done, nil
}

// use opens the token, lets f work with it, and closes it.
func (t *tokenFlags) use(ctx context.Context, con *console, f func(*hsm.Token) error) error {
	cfg, _, done, err := t.config("user PIN")
	if err != nil {
		return err
	}
	defer done()
	return open(ctx, con, cfg, f)
}

func open(ctx context.Context, con *console, cfg hsm.TokenConfig, f func(*hsm.Token) error) error {
	log := slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	token, err := hsm.Open(ctx, cfg, log)
	if err != nil {
		return err
	}
	err = f(token)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closeErr := token.Close(ctx); err == nil {
		err = closeErr
	}
	return err
}

func (t *tokenFlags) stateDir() (string, error) {
	if t.StateDir != "" {
		return t.StateDir, nil
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "epov"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usagef("--state-dir is missing, and there is no home folder to default to")
	}
	return filepath.Join(home, ".local", "state", "epov"), nil
}

type tokenCmd struct {
	List tokenListCmd `cmd:"" help:"List the tokens a module shows, without logging in."`
	Init tokenInitCmd `cmd:"" help:"Initialise a token: its label and its PINs."`
}

type tokenListCmd struct {
	Module string `required:"" placeholder:"FILE" help:"The PKCS#11 library."`
	JSON   bool   `name:"json" help:"Write JSON."`
}

// jsonToken is a token for machines. Field names are a contract: fields may be added, none is renamed.
type jsonToken struct {
	Label  string   `json:"label"`
	Serial string   `json:"serial"`
	Model  string   `json:"model"`
	Slot   uint     `json:"slot"` // may be another at the next start
	Signs  []string `json:"signs"`
	State  string   `json:"state"`
}

func (c *tokenListCmd) Run(con *console) error {
	tokens, err := hsm.ListTokens(c.Module)
	if err != nil {
		return err
	}
	if c.JSON {
		list := make([]jsonToken, len(tokens))
		for n, i := range tokens {
			list[n] = jsonToken{i.Label, i.Serial, tokenModel(i), i.Slot, tokenSigns(i), tokenState(i)}
		}
		return writeJSON(con, list)
	}
	t := newTable(con.out, "LABEL", "SERIAL", "MODEL", "SLOT", "SIGNS", "STATE")
	for _, i := range tokens {
		t.row(i.Label, i.Serial, tokenModel(i), fmt.Sprint(i.Slot), strings.Join(tokenSigns(i), ","), tokenState(i))
	}
	return t.flush()
}

func tokenModel(i hsm.TokenInfo) string { return strings.TrimSpace(i.Manufacturer + " " + i.Model) }

func tokenSigns(i hsm.TokenInfo) []string {
	out := []string{}
	for _, m := range []struct {
		has  bool
		name string
	}{{i.GOST256, "gost256"}, {i.GOST512, "gost512"}, {i.ECDSA, "ecdsa"}, {i.RSA, "rsa"}} {
		if m.has {
			out = append(out, m.name)
		}
	}
	return out
}

func tokenState(i hsm.TokenInfo) string {
	switch {
	case !i.Initialised:
		return "uninitialised"
	case !i.UserPINSet:
		return "no user PIN"
	case i.PINLocked:
		return "PIN locked"
	case i.PINFinalTry:
		return "PIN: one try left"
	case i.PINCountLow:
		return "PIN: few tries left"
	}
	return "ready"
}

type tokenInitCmd struct {
	Module       string `required:"" placeholder:"FILE" help:"The PKCS#11 library."`
	Label        string `required:"" help:"Label to give the token, at most 32 octets."`
	Slot         *uint  `xor:"which" placeholder:"NUMBER" help:"Slot of the token; default: the only uninitialised one."`
	Serial       string `xor:"which" placeholder:"NUMBER" help:"Serial number of the token, instead of --slot."`
	PINFile      string `name:"pin-file" placeholder:"FILE" help:"File with the user PIN to set, mode 0600; default: ask on the terminal."`
	StateDir     string `placeholder:"DIR" help:"With --reinitialize: where refused PINs are remembered. Default: ~/.local/state/epov."`
	SOPINFile    string `name:"so-pin-file" placeholder:"FILE" help:"File with the security officer's PIN, mode 0600: to set on an empty token, its present one with --reinitialize; default: ask."`
	Reinitialize string `placeholder:"OLD-LABEL" help:"Erase the initialised token of this label, and every key on it."`
}

func (c *tokenInitCmd) Run(con *console) error {
	if len(c.Label) > 32 || strings.TrimSpace(c.Label) == "" {
		return usagef("--label must have 1 to 32 octets; it has %d (a Cyrillic letter takes two)", len(c.Label))
	}
	serial, err := c.choose()
	if err != nil {
		return err
	}
	// A token that was initialised before wants the PIN that its security officer has had.
	theirs := newPIN
	if c.Reinitialize != "" {
		theirs = presentPIN
	}
	so, err := theirs(c.SOPINFile, "security officer's PIN")
	if err != nil {
		return err
	}
	defer so.Wipe()
	user, err := newPIN(c.PINFile, "user PIN")
	if err != nil {
		return err
	}
	defer user.Wipe()
	state := ""
	if c.Reinitialize != "" {
		if state, err = (&tokenFlags{StateDir: c.StateDir}).stateDir(); err != nil {
			return err
		}
	}
	info, err := hsm.InitToken(c.Module, hsm.InitOptions{
		Label: c.Label, Serial: serial, Slot: c.Slot, SOPIN: so, UserPIN: user, Erase: c.Reinitialize != "", StateDir: state,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "initialised token %s, serial %s\n", printable(info.Label), printable(info.Serial))
	return err
}

// choose finds the token before any PIN is asked for. Erasing needs the label of what is erased, typed by hand.
func (c *tokenInitCmd) choose() (serial string, err error) {
	if c.Slot == nil && c.Serial == "" && c.Reinitialize == "" {
		return "", nil // the only uninitialised one
	}
	tokens, err := hsm.ListTokens(c.Module)
	if err != nil {
		return "", err
	}
	var found []hsm.TokenInfo
	for _, i := range tokens {
		switch {
		case c.Slot != nil && i.Slot == *c.Slot, c.Serial != "" && i.Serial == c.Serial,
			c.Slot == nil && c.Serial == "" && i.Initialised && i.Label == c.Reinitialize:
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 0:
		return "", usagef("there is no such token; `epov token list` lists them")
	case len(found) > 1:
		return "", usagef("%d tokens fit; choose one with --serial or --slot", len(found))
	}
	i := found[0]
	switch {
	case i.Initialised && c.Reinitialize == "":
		return "", usagef("token %s is initialised: its keys would be lost; if that is meant, give --reinitialize with its label",
			printable(i.Label))
	case i.Initialised && i.Label != c.Reinitialize:
		return "", usagef("--reinitialize says %q, but the token's label is %q", c.Reinitialize, i.Label)
	case !i.Initialised && c.Reinitialize != "":
		return "", usagef("the token is not initialised: leave --reinitialize out")
	}
	if c.Slot != nil {
		return "", nil
	}
	return i.Serial, nil
}
