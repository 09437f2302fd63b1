package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
)

// Limits bound what callers can ask for. The zero value of a field means its default.
//
// They bound memory too. Requests that arrive take at most Calls times MessageBytes, and those of the health service as much
// again. A request at work is held several times over (the document, what is known of it, the answer; reckon with five), so
// there a call takes a place of Calls for itself and one more for every MiB of its request.
type Limits struct {
	MessageBytes  int           // octets of a request's contents together, default signer.DefaultMessageBytes
	Calls         int           // calls at once, over all connections, from the first octet of a request on, default 256
	Streams       int           // calls at once on one connection, default 128
	CallTime      time.Duration // time a call may take, its request's arrival included, whatever its own deadline, default a minute
	ConnectionAge time.Duration // after which a connection is asked to reconnect, default 30 minutes
}

// overhead is what a request may add to its contents: names, certificates, encoding.
const overhead = 1 << 20

func (l Limits) checked() (Limits, error) {
	if l.MessageBytes < 0 || l.MessageBytes > math.MaxInt32-overhead || l.Calls < 0 || l.Streams < 0 ||
		l.Streams > math.MaxInt32 || l.CallTime < 0 || l.ConnectionAge < 0 {
		return l, errors.New("api: a limit is out of range")
	}
	if l.MessageBytes == 0 {
		l.MessageBytes = signer.DefaultMessageBytes
	}
	if l.Calls == 0 {
		l.Calls = 256
	}
	if l.Streams == 0 {
		l.Streams = 128
	}
	if l.CallTime == 0 {
		l.CallTime = time.Minute
	}
	if l.ConnectionAge == 0 {
		l.ConnectionAge = 30 * time.Minute
	}
	return l, nil
}

// Config is what a server is made of.
type Config struct {
	Service *signer.Service
	TLS     *tls.Config // see MutualTLS; nil: no TLS, and every caller is the client that is configured as anyone
	Limits  Limits
	Trace   *Trace       // may be nil
	Logger  *slog.Logger // nil: slog.Default()
}

// Server serves epov.v1 and the standard health service. It starts as not serving: see SetServing.
type Server struct {
	grpc    *grpc.Server
	health  *wellness
	signing *signer.Service
	log     *slog.Logger
	trace   Trace
	limits  Limits
	plain   bool
	tls     atomic.Pointer[tls.Config] // of handshakes from now on
	unknown seldom                     // lines about callers who are not known
	drain   drain
	calls   places // of calls from their first octet on
	probes  places // the same for the health service
	work    places // of calls at work
	share   shares // of calls, by client
	load    shares // of work, by client
}

// New makes a server.
func New(c Config) (*Server, error) {
	if c.Service == nil {
		return nil, errors.New("api: a server needs a service")
	}
	if c.TLS != nil {
		if err := checkTLS(c.TLS); err != nil {
			return nil, err
		}
	}
	limits, err := c.Limits.checked()
	if err != nil {
		return nil, err
	}
	s := &Server{
		signing: c.Service, log: c.Logger, limits: limits, plain: c.TLS == nil,
		calls: places{most: int64(limits.Calls)}, probes: places{most: int64(limits.Calls)}, work: places{most: int64(limits.Calls)},
		share: newShares(limits.Calls), load: newShares(limits.Calls),
	}
	s.health = newWellness(s)
	if s.log == nil {
		s.log = slog.Default()
	}
	if c.Trace != nil {
		s.trace = *c.Trace
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(limits.MessageBytes + overhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(uint32(limits.Streams)),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.InTapHandle(s.enter),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: limits.ConnectionAge, MaxConnectionAgeGrace: limits.CallTime,
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(s.guard, s.admit),
		grpc.ChainStreamInterceptor(s.guardStream),
	}
	if c.TLS != nil {
		s.tls.Store(c.TLS)
		options = append(options, grpc.Creds(newRefusals(newGate(&s.tls), s.log, &s.trace)))
	}
	s.grpc = grpc.NewServer(options...)
	epovpb.RegisterSignServiceServer(s.grpc, &signService{Server: s})
	epovpb.RegisterVerifyServiceServer(s.grpc, &verifyService{Server: s})
	epovpb.RegisterKeyServiceServer(s.grpc, &keyService{Server: s})
	epovpb.RegisterAuditServiceServer(s.grpc, &auditService{Server: s})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	return s, nil
}

// Serve serves on the listener until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Shutdown reports not serving, refuses new calls and waits for those at work as long as ctx allows. It says whether all of
// them ended by themselves.
func (s *Server) Shutdown(ctx context.Context) bool {
	s.health.Shutdown()
	done := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(done) }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return false
	}
}
