package api

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// refusals tells the log why connections fail before there is a call: gRPC itself says nothing of them, and the caller only
// learns that the connection ended.
type refusals struct {
	credentials.TransportCredentials
	log   *slog.Logger
	trace *Trace

	mutex   sync.Mutex
	told    time.Time
	untold  int
	between time.Duration // two lines have at least this between them, so that nobody fills the disk
}

func newRefusals(c credentials.TransportCredentials, log *slog.Logger, trace *Trace) *refusals {
	return &refusals{TransportCredentials: c, log: log, trace: trace, between: time.Second}
}

func (r *refusals) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, info, err := r.TransportCredentials.ServerHandshake(conn)
	if err != nil && !errors.Is(err, io.EOF) { // whoever only looks whether the port is open hangs up
		r.trace.refused(RefusedHandshake)
		r.tell(conn.RemoteAddr(), err)
	}
	return out, info, err
}

func (r *refusals) tell(from net.Addr, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if time.Since(r.told) < r.between {
		r.untold++
		return
	}
	r.log.Warn("connection refused", "remote", from.String(), "error", err, "untold_before", r.untold)
	r.told, r.untold = time.Now(), 0
}

func (r *refusals) Clone() credentials.TransportCredentials {
	return &refusals{TransportCredentials: r.TransportCredentials.Clone(), log: r.log, trace: r.trace, between: r.between}
}
