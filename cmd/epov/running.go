package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/daemon"
	"github.com/epov-signer/epov/signer"
)

// keyChange is a change of one version's state: by the daemon that runs, or in the file of states alone.
type keyChange struct {
	verb, done, state, means string                                                 // "activate", "activated", "active", "it is primary"
	running                  func(context.Context, epovpb.AdminServiceClient) error // nil: the file it must be
	alone                    func(r *daemon.Rotation, name signer.KeyName) error
}

// takeOverTime is how long a daemon may take for a file of states.
const takeOverTime = 15 * time.Second

// change makes the change where the daemon knows of it from then on: through the daemon of the configuration when one runs, which
// proves keys on the tokens that it has open; otherwise in the file, by which a daemon goes when it starts. A daemon that runs and
// cannot be told is not left with the old state in silence.
func (c *rotationFlags) change(ctx context.Context, con *console, name string, act keyChange) error {
	n, err := signer.ParseKeyName(name)
	if err != nil {
		return usageError{err}
	}
	address, err := daemon.AdminAddress(c.Config)
	if err != nil {
		return usageError{err}
	}
	admin, err := c.answering(address, name, act.verb)
	if err != nil {
		return err
	}
	if admin != nil && act.running != nil {
		if err := admin.call(ctx, act.running); err != nil {
			return err
		}
		_, err := fmt.Fprintf(con.out, "%s %s: %s, in the daemon that runs (%s)\n", act.done, n, act.means, printable(address))
		return err
	}
	if err := c.rotate(con, name, act.alone); err != nil {
		return err
	}
	follows := "no daemon answers; the next one starts with it"
	switch {
	case admin != nil:
		if err := admin.awaitState(ctx, n, act.state); err != nil {
			return fmt.Errorf("the states are written, but %w; its log says why, and `epov admin state` what is in force", err)
		}
		follows = "the daemon that runs has taken it over"
	case address == "":
		follows = "a running epovd takes it over within a second; `epov keys` shows it (with admin: in the configuration it would be asked)"
	}
	_, err = fmt.Fprintf(con.out, "%s %s: %s; %s\n", act.done, n, act.means, follows)
	return err
}

// answering is the administration of the daemon that runs by the configuration; nil when none does. One that this caller cannot use is an
// error with the command that can.
func (c *rotationFlags) answering(address, name, verb string) (*administration, error) {
	network, at := "unix", "--socket "+address
	switch {
	case address == "":
		return nil, nil
	case !filepath.IsAbs(address):
		network, at = "tcp", "--address "+address+" --tls-cert FILE --tls-key FILE --tls-ca FILE"
	}
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err == nil {
		conn.Close()
		if network == "unix" {
			return &administration{Socket: address}, nil
		}
		err = errors.New("it asks for a certificate with the right admin-keys")
	}
	return nil, usagef("a daemon runs by this configuration, and has to make the change: %w; use\n  epov admin key %s %s %s", err,
		verb, at, name)
}

// awaitState waits until the daemon has a version in a state.
func (a *administration) awaitState(ctx context.Context, n signer.KeyName, state string) error {
	for end := time.Now().Add(takeOverTime); ; {
		found := ""
		err := a.call(ctx, func(ctx context.Context, admin epovpb.AdminServiceClient) error {
			s, err := admin.GetAdminState(ctx, &epovpb.GetAdminStateRequest{})
			for _, k := range s.GetKeys() {
				if k.Name == n.String() {
					found = k.State
				}
			}
			return err
		})
		switch {
		case err != nil:
			return fmt.Errorf("the daemon does not tell its state: %w", err)
		case found == state:
			return nil
		case time.Now().After(end):
			return errors.New("the daemon that runs has not taken them over")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
