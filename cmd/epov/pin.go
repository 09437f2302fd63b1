package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm"
)

// pinSource is the PIN in a file or, without one, what is typed on the terminal. done wipes what was typed.
func pinSource(file, what string) (source hsm.PINSource, done func(), err error) {
	if file != "" {
		return hsm.PINFile(file), func() {}, nil
	}
	octets, err := ask(what)
	if err != nil {
		return hsm.PINSource{}, nil, err
	}
	defer clear(octets)
	pin := hsm.NewPIN(octets)
	return hsm.PINValue(pin), pin.Wipe, nil
}

// presentPIN reads a PIN that is set already. The caller wipes it.
func presentPIN(file, what string) (hsm.PIN, error) {
	source, _, err := pinSource(file, what)
	if err != nil {
		return hsm.PIN{}, err
	}
	return source.Read()
}

// newPIN is a PIN about to be set: from a file, or asked for twice.
func newPIN(file, what string) (hsm.PIN, error) {
	if file != "" {
		return hsm.ReadPINFile(file)
	}
	first, err := ask("New " + what)
	if err != nil {
		return hsm.PIN{}, err
	}
	defer clear(first)
	second, err := ask("New " + what + " again")
	if err != nil {
		return hsm.PIN{}, err
	}
	defer clear(second)
	if !bytes.Equal(first, second) {
		return hsm.PIN{}, errors.New("the two entries differ; nothing was changed")
	}
	return hsm.NewPIN(first), nil
}

// ask reads one line from the terminal without echo. A signal that ends the program restores the echo first.
func ask(what string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, usagef("no terminal to ask for the %s on: give it in a file of mode 0600 (--pin-file, --new-pin-file, --so-pin-file)",
			strings.ToLower(what[:1])+what[1:])
	}
	defer tty.Close()
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	restore := func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
	defer restore()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-stop:
			restore()
			fmt.Fprintln(tty)
			os.Exit(exitFailed)
		case <-done:
		}
	}()

	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprintf(tty, "%s: ", what)
	line := make([]byte, 512)
	defer clear(line)
	n, err := tty.Read(line) // canonical mode: one line, or an end of file
	fmt.Fprintln(tty)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	pin := bytes.TrimSuffix(line[:n], []byte("\n"))
	if len(pin) == 0 {
		return nil, errors.New("no PIN was entered")
	}
	return bytes.Clone(pin), nil
}
