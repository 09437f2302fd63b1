package api

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
)

var services = []string{
	epovpb.SignService_ServiceDesc.ServiceName,
	epovpb.VerifyService_ServiceDesc.ServiceName,
	epovpb.KeyService_ServiceDesc.ServiceName,
	epovpb.AuditService_ServiceDesc.ServiceName,
	epovpb.MonitorService_ServiceDesc.ServiceName,
	epovpb.InfoService_ServiceDesc.ServiceName,
}

// wellness is the standard health service: of the server, "", of its services, and of each key, "keys/{system}/{key}". It is
// there for everybody who got through TLS, but of a key only those learn who may do something with it, or monitor.
type wellness struct {
	*health.Server
	server *Server

	mutex   sync.Mutex
	signing bool
	keys    map[string]bool
	drained bool
}

func newWellness(s *Server) *wellness {
	w := &wellness{Server: health.NewServer(), server: s}
	for _, name := range append(services, "") {
		w.SetServingStatus(name, healthpb.HealthCheckResponse_NOT_SERVING)
	}
	return w
}

// SetServing tells the health service whether signatures can be made, and with which keys: "keys/{system}/{key}" and whether its
// primary version would sign. Verification and the list of keys need no token: they serve from the first call on. The overall
// state, "", is that of signing.
func (s *Server) SetServing(signing bool, keys map[string]bool) {
	w := s.health
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for name := range w.keys {
		if _, still := keys[name]; !still {
			w.SetServingStatus(name, healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
		}
	}
	w.signing, w.keys = signing, keys
	w.tell()
}

// tell is called with the mutex held.
func (w *wellness) tell() {
	set := func(name string, well bool) {
		state := healthpb.HealthCheckResponse_NOT_SERVING
		if well && !w.drained {
			state = healthpb.HealthCheckResponse_SERVING
		}
		w.SetServingStatus(name, state)
	}
	for _, name := range services {
		set(name, true)
	}
	set("", w.signing)
	set(epovpb.SignService_ServiceDesc.ServiceName, w.signing)
	for name, well := range w.keys {
		set(name, well)
	}
}

func (w *wellness) mayAsk(ctx context.Context, name string) bool {
	if !strings.HasPrefix(name, "keys/") {
		return true
	}
	n, err := signer.ParseKeyName(name)
	if err != nil || n.Version != 0 {
		return false
	}
	caller, err := w.server.identify(ctx)
	return err == nil && caller.Knows(n)
}

// Check implements the health service. A key that is not there and one that does not concern the caller look the same.
func (w *wellness) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	out, err := w.Server.Check(ctx, in)
	if err != nil || !w.mayAsk(ctx, in.Service) || out.Status == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, status.Error(codes.NotFound, "unknown service")
	}
	return out, nil
}

// Watch implements the health service.
func (w *wellness) Watch(in *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	if w.mayAsk(stream.Context(), in.Service) {
		return w.Server.Watch(in, stream)
	}
	if err := stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVICE_UNKNOWN}); err != nil {
		return err
	}
	<-stream.Context().Done() // as the protocol has it of services that may come
	return status.FromContextError(stream.Context().Err()).Err()
}

// List implements the health service: the services, and the keys that concern the caller.
func (w *wellness) List(ctx context.Context, in *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	out := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{}}
	w.mutex.Lock()
	names := append([]string{""}, services...)
	for name := range w.keys {
		names = append(names, name)
	}
	w.mutex.Unlock()
	for _, name := range names {
		if state, err := w.Check(ctx, &healthpb.HealthCheckRequest{Service: name}); err == nil {
			out.Statuses[name] = state
		}
	}
	return out, nil
}

// drain is a server's way out of a balancer's rotation.
type drain struct {
	refusing atomic.Bool
}

// Drain says that the server does not serve, to whoever asks after its health. Calls are taken all the same until refuse is true;
// then batches and watchers are ended too.
func (s *Server) Drain(refuse bool) {
	s.health.mutex.Lock()
	defer s.health.mutex.Unlock()
	s.health.drained = true
	s.drain.refusing.Store(refuse)
	s.health.tell()
	if refuse {
		s.endLasting()
	}
}

// Draining tells whether Drain was called, and not Undrain since.
func (s *Server) Draining() bool {
	s.health.mutex.Lock()
	defer s.health.mutex.Unlock()
	return s.health.drained
}

// Undrain is the end of Drain.
func (s *Server) Undrain() {
	s.health.mutex.Lock()
	defer s.health.mutex.Unlock()
	s.health.drained = false
	s.letLast()
	s.drain.refusing.Store(false)
	s.health.tell()
}

// letLast lets there be batches and watchers, which endLasting ends.
func (s *Server) letLast() {
	ending := make(chan struct{})
	s.ending.Store(&ending)
}

func (s *Server) endLasting() {
	s.endings.Lock()
	defer s.endings.Unlock()
	select {
	case <-s.stopping():
	default:
		close(*s.ending.Load())
	}
}

// stopping is closed when what has no end of its own must end.
func (s *Server) stopping() <-chan struct{} { return *s.ending.Load() }

// Calls is how many calls there are, with batches and watchers, health apart.
func (s *Server) Calls() int { return int(s.calls.used.Load() + s.batches.used.Load()) }
