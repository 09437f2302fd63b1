package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/orca"
	"google.golang.org/grpc/reflection"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
)

// Config is what a server is made of.
type Config struct {
	Service *signer.Service
	TLS     *tls.Config // see MutualTLS; nil: no TLS, and every caller is the client that is configured as anyone
	Limits  Limits
	// Operator makes it a server of the administration service, and of nothing else; nil: of everything else.
	Operator Operator
	// Local recognises callers by their connections, such as those of a Unix socket, instead of TLS; nil: not so.
	Local func(net.Conn) (*signer.Caller, error)

	Trace   *Trace       // may be nil
	Logger  *slog.Logger // nil: slog.Default()
	Version string       // of the software, for callers
	Load    Load         // for balancers that follow load reports; nil: none are made
	// Reflection makes the services known to whoever may connect, for tools that have no .proto files.
	Reflection bool
	// Monitor gives the state of the service, without asking a token; nil: callers learn the version only.
	Monitor func() *epovpb.ServiceState
}

// Server serves epov.v1, or its administration service, and the standard health service. It starts as not serving: see SetServing.
type Server struct {
	grpc       *grpc.Server
	health     *wellness
	signing    *signer.Service
	log        *slog.Logger
	trace      Trace
	monitor    func() *epovpb.ServiceState
	limits     atomic.Pointer[Limits] // of now, complete
	began      Limits                 // those that connections were bounded by at first
	plain      bool
	tls        atomic.Pointer[tls.Config] // of handshakes from now on
	unknown    seldom                     // lines about callers who are not known
	drain      drain
	reports    *reports // nil: none
	changes    signal   // of keys
	calls      places   // of calls from their first octet on
	probes     places   // the same for the health service
	batches    places   // the same for batches and watchers
	work       places   // of calls at work
	share      shares   // of calls, by client
	load       shares   // of work, by client
	batchShare shares   // of batches, by client
	probeShare shares   // of calls of the health service, by client or name
	connShare  shares   // of connections, by client or names

	served  map[string]bool // methods by their full names
	version string
	endings sync.Mutex                    // held to close what follows
	ending  atomic.Pointer[chan struct{}] // closed when what has no end of its own must end
}

// streamWorkers is how many goroutines wait for calls.
const streamWorkers = 16

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
		signing: c.Service, log: c.Logger, began: limits, plain: c.TLS == nil && c.Local == nil,
		version: c.Version, served: map[string]bool{},
	}
	s.adjust(limits)
	s.letLast()
	s.health = newWellness(s)
	if s.log == nil {
		s.log = slog.Default()
	}
	s.monitor = c.Monitor
	if c.Trace != nil {
		s.trace = *c.Trace
	}
	if c.Load != nil {
		s.reports = &reports{load: c.Load}
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(limits.MessageBytes + overhead),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxConcurrentStreams(uint32(limits.Streams)),
		grpc.MaxHeaderListSize(16 << 10),
		// Calls run on goroutines that are kept, whose stacks have grown already. Watchers keep some of them; when none is free a
		// call gets a goroutine of its own.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.InTapHandle(s.tapped),
		grpc.UnknownServiceHandler(unserved),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: limits.ConnectionAge, Time: time.Minute, Timeout: 20 * time.Second,
			// By then streams have ended by themselves, whatever their limits are by then.
			MaxConnectionAgeGrace: longest,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
		grpc.ChainStreamInterceptor(s.guardStream, s.admitStream),
	}
	if c.TLS != nil {
		s.tls.Store(c.TLS)
		options = append(options, grpc.Creds(newRefusals(newGate(s), s.log, &s.trace)))
	}
	if c.Local != nil {
		options = append(options, grpc.Creds(newRefusals(localGate{c.Local}, s.log, &s.trace)))
	}
	s.grpc = grpc.NewServer(options...)
	own := registrar{s}
	if c.Operator != nil {
		epovpb.RegisterAdminServiceServer(own, &adminService{Server: s, operator: c.Operator})
	} else {
		epovpb.RegisterSignServiceServer(own, &signService{Server: s})
		epovpb.RegisterVerifyServiceServer(own, &verifyService{Server: s})
		epovpb.RegisterKeyServiceServer(own, &keyService{Server: s})
		epovpb.RegisterAuditServiceServer(own, &auditService{Server: s})
		epovpb.RegisterMonitorServiceServer(own, &monitorService{Server: s})
		epovpb.RegisterInfoServiceServer(own, &infoService{Server: s})
	}
	if s.reports != nil {
		if err := orca.Register(s.grpc, orca.ServiceOptions{ServerMetricsProvider: s.reports}); err != nil {
			return nil, err
		}
	}
	if c.Reflection {
		reflection.Register(s.grpc)
	}
	healthpb.RegisterHealthServer(own, s.health)
	for service, info := range s.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			s.served["/"+service+"/"+m.Name] = true
		}
	}
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
	s.endLasting()
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
