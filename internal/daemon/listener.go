package daemon

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	defaultConnections = 1024
	// spared are descriptors kept for what is not a connection: tokens, whose modules may open files at every signature, and
	// would take keys for gone when they cannot.
	spared = 256
)

// listener holds most connections at once; further ones are closed at once, so that their callers try elsewhere.
type listener struct {
	net.Listener
	free chan struct{}
	log  *slog.Logger
	told time.Time // when the log last heard of refusals
}

// narrow bounds a listener to most connections, 0 for the default, and to fewer when the process may not have as many files
// open.
func narrow(l net.Listener, most int, log *slog.Logger) (net.Listener, error) {
	if most == 0 {
		most = defaultConnections
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return l, fmt.Errorf("limit of open files: %w", err)
	}
	if files.Cur < spared+1 {
		return l, fmt.Errorf("the process may open %d files; at least %d are needed", files.Cur, spared+1)
	}
	if room := files.Cur - spared; uint64(most) > room {
		log.Warn("the limit of open files allows fewer connections", "files", files.Cur, "connections", room)
		most = int(room)
	}
	return &listener{Listener: l, free: make(chan struct{}, most), log: log}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &connection{Conn: conn, done: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			if time.Since(l.told) > time.Minute {
				l.told = time.Now()
				l.log.Warn("connections are refused: there are as many as allowed", "connections", cap(l.free))
			}
			_ = conn.Close()
		}
	}
}

type connection struct {
	net.Conn
	done func()
}

func (c *connection) Close() error {
	defer c.done()
	return c.Conn.Close()
}
