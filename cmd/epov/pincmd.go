package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/epov-signer/epov/hsm"
)

type pinCmd struct {
	Change     pinChangeCmd `cmd:"" help:"Set a new user PIN."`
	Reset      pinResetCmd  `cmd:"" help:"Set a new user PIN by the security officer's, which unlocks a locked one."`
	Seal       pinSealCmd   `cmd:"" help:"Seal the user PIN to this machine's TPM, for the daemon's setting pin: {tpm: FILE}."`
	UnsealTest pinUnsealCmd `cmd:"" help:"Try whether the TPM gives a sealed PIN back. The PIN is not shown."`
}

type pinChangeCmd struct {
	tokenFlags
	NewPINFile string `name:"new-pin-file" placeholder:"FILE" help:"File with the PIN to set, mode 0600; default: ask twice on the terminal."`
}

func (c *pinChangeCmd) Run(ctx context.Context, con *console) error {
	cfg, info, done, err := c.config("Present user PIN")
	if err != nil {
		return err
	}
	defer done()
	next, err := newPIN(c.NewPINFile, "user PIN")
	if err != nil {
		return err
	}
	defer next.Wipe()
	if _, err := hsm.ChangePIN(ctx, cfg, next); err != nil {
		return err
	}
	fmt.Fprintf(con.out, "changed the user PIN of token %s, serial %s\n", printable(info.Label), printable(info.Serial))
	if c.PINFile != "" {
		fmt.Fprintf(con.out, "The file %s still holds the old PIN: replace it\n", printable(c.PINFile))
	}
	_, err = fmt.Fprintln(con.out,
		"Give a running daemon the new one before its next start or login: write its PIN file or credential anew, or seal the PIN anew with `epov pin seal`")
	return err
}

type pinResetCmd struct {
	Module     string `required:"" placeholder:"FILE" help:"The PKCS#11 library."`
	Token      string `placeholder:"LABEL" help:"Label of the token."`
	Serial     string `placeholder:"NUMBER" help:"Serial number of the token."`
	SOPINFile  string `name:"so-pin-file" placeholder:"FILE" help:"File with the security officer's PIN, mode 0600; default: ask on the terminal."`
	NewPINFile string `name:"new-pin-file" placeholder:"FILE" help:"File with the user PIN to set, mode 0600; default: ask twice on the terminal."`
	StateDir   string `placeholder:"DIR" help:"Where refused PINs are remembered; best the daemon's. Default: ~/.local/state/epov."`
	FinalTry   bool   `help:"Spend the last try of the security officer's PIN."`
}

func (c *pinResetCmd) Run(ctx context.Context, con *console) error {
	flags := tokenFlags{
		Module: c.Module, Token: c.Token, Serial: c.Serial, PINFile: c.SOPINFile, StateDir: c.StateDir, FinalTry: c.FinalTry,
	}
	cfg, info, done, err := flags.config("Security officer's PIN")
	if err != nil {
		return err
	}
	defer done()
	next, err := newPIN(c.NewPINFile, "user PIN")
	if err != nil {
		return err
	}
	defer next.Wipe()
	if _, err := hsm.ResetPIN(ctx, cfg, next); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "set the user PIN of token %s, serial %s\n", printable(info.Label), printable(info.Serial))
	return err
}

// device chooses a TPM.
type device struct {
	Device string `placeholder:"PATH" help:"The TPM's device, or the socket of an emulator; default: /dev/tpmrm0."`
}

type pinSealCmd struct {
	tokenFlags
	device
	PCRs  []int  `name:"pcrs" default:"7" placeholder:"N" help:"PCRs that must not change: 7 Secure Boot's state, 11 unified kernel images, 4, 8 and 9 boot loader and kernel; default: ${default}."`
	Out   string `short:"o" required:"" placeholder:"FILE" help:"File to write."`
	Force bool   `help:"Replace the file."`
}

// Run proves the PIN by a login first: what the token refuses is not sealed.
func (c *pinSealCmd) Run(ctx context.Context, con *console) error {
	if _, err := os.Lstat(c.Out); err == nil && !c.Force {
		return usagef("%s exists; --force replaces it", c.Out)
	}
	cfg, info, done, err := c.config("User PIN")
	if err != nil {
		return err
	}
	defer done()
	if err := open(ctx, con, cfg, func(*hsm.Token) error { return nil }); err != nil {
		return err
	}
	pin, err := cfg.PIN.Read()
	if err != nil {
		return err
	}
	defer pin.Wipe()
	file, err := hsm.SealPIN(c.Device, c.PCRs, info.Serial, pin)
	if err != nil {
		return err
	}
	if err := replaceFile(c.Out, file); err != nil {
		return err
	}
	sealed, err := hsm.ReadSealedPIN(c.Out)
	if err != nil {
		return err
	}
	if len(sealed.Unmeasured) > 0 {
		fmt.Fprintf(con.err, "epov: warning: nothing was measured into PCR %s on this machine: it guards nothing\n",
			numbers(sealed.Unmeasured))
	}
	fmt.Fprintf(con.out, "sealed the PIN of token %s, serial %s, to PCR %s\n", printable(info.Label),
		printable(info.Serial), numbers(sealed.PCRs))
	_, err = fmt.Fprintln(con.out,
		"When one of these changes by an update, seal the PIN again; keep it elsewhere too, for the TPM gives it to no other machine.\n"+
			"Whoever may read the file and use the TPM of this machine has the PIN: let the daemon's user read it, and nobody else")
	return err
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".epov-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func numbers(list []int) string {
	var out []string
	for _, n := range list {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, ", ")
}

type pinUnsealCmd struct {
	device
	File string `arg:"" help:"File that epov pin seal wrote."`
}

func (c *pinUnsealCmd) Run(con *console) error {
	sealed, err := hsm.ReadSealedPIN(c.File)
	if err != nil {
		return err
	}
	if err := hsm.TestSealedPIN(c.File, c.Device); err != nil {
		return err
	}
	_, err = fmt.Fprintf(con.out, "the TPM gives the PIN of token serial %s, sealed on %s to PCR %s\n",
		printable(sealed.Serial), sealed.Time.Local().Format(time.DateTime), numbers(sealed.PCRs))
	return err
}
