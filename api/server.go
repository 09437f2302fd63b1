package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
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
	health  *health.Server
	signing *signer.Service
	log     *slog.Logger
	trace   Trace
	limits  Limits
	plain   bool
	calls   places // of calls from their first octet on
	probes  places // the same for the health service
	work    places // of calls at work
}

// MutualTLS is the one TLS configuration there is: version 1.3, and a client certificate that leads to one of the CAs.
func MutualTLS(certificate tls.Certificate, clientCAs *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clientCAs,
		// A resumed session would carry an identity that was verified long ago.
		SessionTicketsDisabled: true,
	}
}

// New makes a server.
func New(c Config) (*Server, error) {
	if c.Service == nil {
		return nil, errors.New("api: a server needs a service")
	}
	if c.TLS != nil && (c.TLS.ClientAuth != tls.RequireAndVerifyClientCert || c.TLS.ClientCAs == nil) {
		return nil, errors.New("api: TLS without verified client certificates")
	}
	limits, err := c.Limits.checked()
	if err != nil {
		return nil, err
	}
	s := &Server{
		health: health.NewServer(), signing: c.Service, log: c.Logger, limits: limits, plain: c.TLS == nil,
		calls: places{most: int64(limits.Calls)}, probes: places{most: int64(limits.Calls)}, work: places{most: int64(limits.Calls)},
	}
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
		options = append(options, grpc.Creds(newRefusals(credentials.NewTLS(c.TLS), s.log, &s.trace)))
	}
	s.grpc = grpc.NewServer(options...)
	epovpb.RegisterSignServiceServer(s.grpc, &signService{Server: s})
	epovpb.RegisterVerifyServiceServer(s.grpc, &verifyService{Server: s})
	epovpb.RegisterKeyServiceServer(s.grpc, &keyService{Server: s})
	epovpb.RegisterAuditServiceServer(s.grpc, &auditService{Server: s})
	healthpb.RegisterHealthServer(s.grpc, s.health)
	for _, name := range append(services, "") {
		s.health.SetServingStatus(name, healthpb.HealthCheckResponse_NOT_SERVING)
	}
	return s, nil
}

var services = []string{
	epovpb.SignService_ServiceDesc.ServiceName,
	epovpb.VerifyService_ServiceDesc.ServiceName,
	epovpb.KeyService_ServiceDesc.ServiceName,
	epovpb.AuditService_ServiceDesc.ServiceName,
}

// SetServing tells the health service whether signatures can be made. Verification and the list of keys need no token: they
// serve from the first call on. The overall state, "", is that of signing.
func (s *Server) SetServing(signing bool) {
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if signing {
		state = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
	s.health.SetServingStatus(epovpb.SignService_ServiceDesc.ServiceName, state)
	s.health.SetServingStatus(epovpb.VerifyService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	s.health.SetServingStatus(epovpb.KeyService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	s.health.SetServingStatus(epovpb.AuditService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
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
