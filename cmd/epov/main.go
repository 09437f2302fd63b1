// Command epov is the tool beside the daemon epovd. It provisions tokens (token, pin, key, tls, csr, cert, doctor), asks a
// daemon to sign and verify (sign, verify, esia, keys), looks after one (admin, health, top, canary, bench), and does without
// one what needs no key: verify --local, explain, check, canon, trust, policy, audit.
//
// Exit codes: 0 done, and for verify the verdict is valid; 1 it failed, or the verdict is another one; 2 the command line or
// a file it names is wrong; 3 the daemon or the token cannot be reached, or takes no work, now, so that trying again may help.
//
// A PIN comes from a file or is asked for on the terminal. It is never an argument, and never part of a message.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/epov-signer/epov/hsm"
)

// Exit codes, part of the command's interface.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
)

const description = `GOST signatures for SMEV by keys that never leave their token.

Exit codes: 0 done (verify: valid), 1 failed (verify: not valid), 2 wrong command line or file, 3 daemon or token out of reach.`

type cli struct {
	Token    tokenCmd    `cmd:"" help:"Look at tokens and initialise them."`
	PIN      pinCmd      `cmd:"" name:"pin" help:"Change a token's PIN, or seal it to this machine's TPM."`
	Key      keyCmd      `cmd:"" help:"Generate, list and import keys on a token; stage, activate and retire their versions."`
	TLS      tlsCmd      `cmd:"" name:"tls" help:"Keep the daemon's TLS key on a token: generate it, ask for its certificate."`
	CSR      csrCmd      `cmd:"" name:"csr" help:"Ask for a certificate: make a PKCS#10 request, or look at one."`
	Cert     certCmd     `cmd:"" help:"Look at certificates, and put one beside its key on the token."`
	Doctor   doctorCmd   `cmd:"" help:"Examine modules, tokens, keys and certificates, and say what to do next."`
	Check    checkCmd    `cmd:"" help:"Say whether a message can be signed and what recipients would refuse, before anything is signed."`
	Sign     signCmd     `cmd:"" help:"Have a daemon sign."`
	Verify   verifyCmd   `cmd:"" help:"Verify signatures, through a daemon or with --local."`
	ESIA     esiaCmd     `cmd:"" name:"esia" help:"Sign requests to ESIA."`
	Trust    trustCmd    `cmd:"" help:"Keep what is trusted: lists of accredited authorities, roots."`
	Audit    auditCmd    `cmd:"" help:"Verify and search an audit log, make and verify receipts: all of it offline."`
	Explain  explainCmd  `cmd:"" help:"Say why a signature does not verify, and what to do about it."`
	Canon    canonCmd    `cmd:"" help:"Write the octets that a reference digests: canonical XML and the transforms of XML signatures."`
	Keys     keysCmd     `cmd:"" help:"List the keys that a daemon lets this client use."`
	Admin    adminCmd    `cmd:"" help:"Administer a running daemon: drain, reload, state, keys."`
	Policy   policyCmd   `cmd:"" help:"Check who may do what, and show it."`
	Bench    benchCmd    `cmd:"" help:"Ask a daemon at a steady rate and show its latencies, or look for the rate that it bears."`
	Health   healthCmd   `cmd:"" help:"Ask whether a daemon serves, for probes: 0 it does, 1 it does not, 3 it cannot be reached."`
	Protoset protosetCmd `cmd:"" help:"Write the description of the API for programs without generated code."`
	Canary   canaryCmd   `cmd:"" help:"Have a daemon's key sign a text that is no document: does the whole way work?"`
	Top      topCmd      `cmd:"" help:"Watch a daemon: throughput, queues, tokens, keys and latencies."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Completion completionCmd `cmd:"" help:"Write a completion script for a shell."`
	Man        manCmd        `cmd:"" hidden:"" help:"Write the manual page epov(1)."`
}

// console is what commands read and write; a test gives its own.
type console struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	hsm.WorkerMain() // `epov doctor` puts modules into processes of their own
	os.Exit(run(os.Args[1:], &console{os.Stdin, os.Stdout, os.Stderr}))
}

// run is the whole program. It returns the exit code.
func run(args []string, con *console) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what does not heed the first
	con = &console{&interruptible{ctx, con.in, nil}, con.out, con.err}

	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("epov"),
		kong.Description(description),
		kong.Writers(con.out, con.err),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(con),
	)
	if err != nil {
		panic(err) // the command tree is malformed: a fault of the program, found by any test
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		return conclude(con.err, usageError{err})
	}
	return conclude(con.err, k.Run())
}

// conclude writes one line about err, if there is one, and returns the exit code that belongs to it.
func conclude(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errVerdict) { // the verdict has been printed already
		fmt.Fprintf(w, "epov: %s\n", describe(err))
	}
	return exitCode(err)
}
