package daemon

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// What the daemon listens for. A listener goes by its name wherever one is meant: in the log, and where the sockets are opened
// by somebody else.
const (
	apiListener = "api" // calls of clients: listen
)

// open opens the listener of that name, at host:port, or at the path of a Unix socket, which begins with a slash.
func open(ctx context.Context, name, address string) (net.Listener, error) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", name, err)
	}
	return l, nil
}
