// Command epovd is the signing service: it holds the keys of information systems on PKCS#11 tokens and signs for the clients
// that its configuration names, over gRPC with mutual TLS.
//
//	epovd -config /etc/epovd/epovd.yaml          serve until SIGTERM or SIGINT
//	epovd -config /etc/epovd/epovd.yaml -check   say what is wrong with the configuration, and where
//	epovd -version
//
// SIGHUP makes it read its configuration again and take over what may change while it runs: tokens, keys and their states, TLS
// certificates, the policy, what is trusted, limits, the log. Files that the configuration names it follows by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/daemon"
)

// Exit codes. The unit file does not restart after exitConfig, exitPIN and exitWeak: only a person can help, and each restart
// could cost a try of the PIN.
const (
	exitOK      = 0
	exitConfig  = 1 // the command line or the configuration is wrong, or does not fit the tokens
	exitRuntime = 2 // something failed that may work the next time
	exitPIN     = 3 // a PIN was refused, must not be tried, or its TPM does not give it back
	exitWeak    = 4 // the system cannot confine the process as the configuration demands
)

func main() {
	hsm.WorkerMain()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout io.Writer, stderr *os.File) int {
	flags := flag.NewFlagSet("epovd", flag.ContinueOnError)
	said := daemon.Errors(stderr)
	flags.SetOutput(said)
	file := flags.String("config", "/etc/epovd/epovd.yaml", "configuration `file`")
	check := flags.Bool("check", false, "check the configuration without touching a token, and exit")
	version := flags.Bool("version", false, "print the version and exit")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitConfig
	case flags.NArg() > 0:
		fmt.Fprintf(said, "epovd: unexpected argument %q\n", flags.Arg(0))
		return exitConfig
	case *version:
		fmt.Fprintln(stdout, "epovd", daemon.BuildVersion())
		return exitOK
	}
	if err := daemon.Hide(); err != nil {
		fmt.Fprintln(said, "epovd:", err)
		return exitRuntime
	}
	config, err := daemon.Load(*file)
	if err != nil {
		fmt.Fprintln(said, err)
		return exitConfig
	}
	if *check {
		return confinable(config, stdout, said)
	}
	confined, err := config.Confine()
	log := config.Logger(stderr)
	slog.SetDefault(log) // for libraries that log by themselves
	if confined != nil {
		daemon.TellConfinement(log, confined)
	}
	var wrong *daemon.ConfigError
	var weak *daemon.WeakError
	switch {
	case errors.As(err, &weak):
		log.Error("not confined enough", "error", err)
		return exitWeak
	case errors.As(err, &wrong):
		fmt.Fprintln(said, err)
		return exitConfig
	case err != nil:
		log.Error("failed", "error", err)
		return exitRuntime
	}
	return serve(config, log)
}

// confinable ends a check with what would confine the daemon here.
func confinable(config *daemon.Config, stdout, stderr io.Writer) int {
	offered, err := config.Confinable()
	for _, p := range offered.Missing() {
		fmt.Fprintf(stdout, "sandbox: not in force here: %s (%s)\n", p.Name, p.Detail)
	}
	if err != nil {
		fmt.Fprintln(stderr, "epovd:", err)
		return exitWeak
	}
	fmt.Fprintf(stdout, "sandbox: %s\nOK\n", offered.InForce())
	return exitOK
}

func serve(config *daemon.Config, log *slog.Logger) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1) // from here on it ends nothing
	signal.Notify(hangup, syscall.SIGHUP)
	log.Info("starting", "version", daemon.BuildVersion())
	daemon.SpareCollector()
	d, err := daemon.Start(ctx, config, log)
	if err == nil {
		context.AfterFunc(ctx, stop) // a second signal ends the process at once
		reloadOnHangup(ctx, hangup, d)
		err = d.Serve(ctx)
	}
	var wrong *daemon.ConfigError
	switch {
	case err == nil:
		log.Info("stopped")
		return exitOK
	case errors.As(err, &wrong):
		for _, f := range wrong.Findings {
			log.Error("configuration", "line", f.Line, "column", f.Column, "path", f.Path, "error", f.Message)
		}
		return exitConfig
	case daemon.Misconfigured(err):
		log.Error("configuration and machine do not fit each other", "error", err)
		return exitConfig
	case daemon.NeedsOperator(err):
		log.Error("a PIN needs an operator", "error", err,
			"next", "correct the PIN in its source, then start the service: the same one is not sent again; `epov doctor` says more")
		return exitPIN
	case errors.Is(err, context.Canceled):
		log.Info("stopped before it served")
		return exitOK
	}
	log.Error("failed", "error", err)
	return exitRuntime
}

// reloadOnHangup passes SIGHUP on, until ctx ends.
func reloadOnHangup(ctx context.Context, hangup chan os.Signal, d *daemon.Daemon) {
	go func() {
		defer signal.Stop(hangup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				d.Reload(ctx)
			}
		}
	}()
}
