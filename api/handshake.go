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
	lines *seldom
}

func newRefusals(c credentials.TransportCredentials, log *slog.Logger, trace *Trace) *refusals {
	return &refusals{TransportCredentials: c, log: log, trace: trace, lines: new(seldom)}
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
	if untold, ok := r.lines.now(); ok {
		r.log.Warn("connection refused", "remote", from.String(), "error", err, "untold_before", untold)
	}
}

func (r *refusals) Clone() credentials.TransportCredentials {
	return &refusals{TransportCredentials: r.TransportCredentials.Clone(), log: r.log, trace: r.trace, lines: r.lines}
}

// seldom bounds lines of the log, so that nobody fills the disk: two of them have a second between them. The zero value is
// ready.
type seldom struct {
	mutex  sync.Mutex
	told   time.Time
	untold int
}

// now says whether to tell now, and how many times nothing was told since it last was.
func (s *seldom) now() (untold int, ok bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if time.Since(s.told) < time.Second {
		s.untold++
		return 0, false
	}
	untold, s.untold, s.told = s.untold, 0, time.Now()
	return untold, true
}
