package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // watches the health of every daemon
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/epov-signer/epov/api/epovpb"
)

// Defaults of Config.
const (
	DefaultTimeout      = 30 * time.Second
	DefaultAttempts     = 4
	DefaultMessageBytes = 64 << 20
)

// Balance says how calls are spread over several daemons.
type Balance string

const (
	// RoundRobin takes the daemons in turns.
	RoundRobin Balance = "round_robin"

	// Weighted takes the daemons by what they can do: their load reports (ORCA) say how busy their tokens are.
	Weighted Balance = "weighted_round_robin"

	// ByRequest sends a request id to the same daemon each time, as long as that one is healthy, and calls without an id in
	// turns. It is what makes a repetition after a broken connection find the stored signature: request ids are remembered
	// by the daemon that signed. When that one is gone another signs anew; the first signature was then given to nobody.
	ByRequest Balance = "epov_by_request"
)

// Health services to watch; see Config.Health.
const (
	SigningHealth   = "epov.v1.SignService"   // a daemon that has no token to sign with gets no calls
	VerifyingHealth = "epov.v1.VerifyService" // for clients that only verify
	NoHealth        = "-"                     // calls go to every daemon that can be reached
)

// Config says where the daemons are and how to call them. The zero value of a field means its default.
type Config struct {
	// Addresses of equal daemons, host:port. A single one may also be a target of gRPC, such as
	// "dns:///epovd.example:8443", whose addresses are then all used, or "unix:/run/epovd/api.sock".
	Addresses []string

	TLS      TLS  // required unless Insecure
	Insecure bool // without TLS; only for loopback addresses and UNIX sockets

	Balance Balance // default RoundRobin
	Health  string  // service of the standard health service to watch, default SigningHealth

	Timeout  time.Duration // of a call, its repetitions included, whose context has no deadline; default DefaultTimeout
	Attempts int           // how often a call is made at most, default DefaultAttempts; 1: never again

	// MessageBytes bounds an answer, default DefaultMessageBytes; what the service takes is its own matter. See
	// [Client.Capabilities].
	MessageBytes int

	// Dialer makes connections, to an address as given in Addresses; nil: TCP and UNIX sockets.
	Dialer func(ctx context.Context, address string) (net.Conn, error)

	// Options are added to those of the package: interceptors for tracing, for instance.
	Options []grpc.DialOption
}

// Client is a connection to equal daemons. What the helpers do not cover, Sign, Verify, Keys, Info and Conn do; deadlines,
// repetitions and errors are the same there, but only the helpers make request ids.
type Client struct {
	Sign   epovpb.SignServiceClient
	Verify epovpb.VerifyServiceClient
	Keys   epovpb.KeyServiceClient
	Info   epovpb.InfoServiceClient

	conn     *grpc.ClientConn
	timeout  time.Duration
	attempts int
	receive  atomic.Int64 // octets of an answer
	budget   budget
}

// Dial prepares a client; connections are made by the first call, and kept. The error is about the configuration.
func Dial(c Config) (*Client, error) {
	creds, err := c.credentials()
	if err != nil {
		return nil, err
	}
	target, resolvers, err := c.target()
	if err != nil {
		return nil, err
	}
	service, err := c.serviceConfig()
	if err != nil {
		return nil, err
	}
	if c.Timeout < 0 || c.Attempts < 0 || c.MessageBytes < 0 {
		return nil, errors.New("client: a limit is out of range")
	}
	out := &Client{
		timeout: cmp.Or(c.Timeout, DefaultTimeout), attempts: cmp.Or(c.Attempts, DefaultAttempts),
	}
	out.receive.Store(int64(cmp.Or(c.MessageBytes, DefaultMessageBytes)))
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(service),
		grpc.WithDisableServiceConfig(), // of the DNS: whoever answers there must not decide
		grpc.WithDisableRetry(),         // of gRPC, which knows nothing of RetryInfo and request ids
		// Daemons are near: one that does not answer in time is away, and is looked for often.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithChainUnaryInterceptor(out.unary),
		grpc.WithChainStreamInterceptor(out.stream),
	}
	options = append(options, resolvers...)
	if c.Dialer != nil {
		options = append(options, grpc.WithContextDialer(c.Dialer))
	}
	out.conn, err = grpc.NewClient(target, append(options, c.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	out.Sign = epovpb.NewSignServiceClient(out.conn)
	out.Verify = epovpb.NewVerifyServiceClient(out.conn)
	out.Keys = epovpb.NewKeyServiceClient(out.conn)
	out.Info = epovpb.NewInfoServiceClient(out.conn)
	return out, nil
}

// Capabilities asks what the service offers and bounds, and makes room for answers as large as it takes messages.
func (c *Client) Capabilities(ctx context.Context) (*epovpb.GetCapabilitiesResponse, error) {
	answer, err := c.Info.GetCapabilities(ctx, &epovpb.GetCapabilitiesRequest{})
	if err != nil {
		return nil, err
	}
	const added = 1 << 20 // signature, certificates, encoding
	if need := int64(min(answer.GetLimits().GetMessageBytes(), 1<<30)) + added; need > c.receive.Load() {
		c.receive.Store(need)
	}
	return answer, nil
}

// Conn is the connection, for services that have no field of their own.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Close ends all connections; calls at work fail.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Config) credentials() (credentials.TransportCredentials, error) {
	if !c.Insecure {
		return c.TLS.credentials()
	}
	if c.TLS != (TLS{}) {
		return nil, errors.New("client: TLS and Insecure contradict each other")
	}
	for _, a := range c.Addresses {
		if c.Dialer == nil && !local(a) {
			return nil, fmt.Errorf("client: without TLS only loopback addresses and UNIX sockets are called, not %s", a)
		}
	}
	return insecure.NewCredentials(), nil
}

func local(address string) bool {
	if len(address) > 5 && address[:5] == "unix:" {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// target is where to connect to: several addresses are given to gRPC as they are, each to be verified by its own name, unless all
// have one.
func (c *Config) target() (string, []grpc.DialOption, error) {
	switch len(c.Addresses) {
	case 0:
		return "", nil, errors.New("client: no address")
	case 1:
		if c.Addresses[0] == "" {
			return "", nil, errors.New("client: an address is empty")
		}
		if c.Dialer == nil {
			return c.Addresses[0], nil, nil
		}
	}
	list := manual.NewBuilderWithScheme("epov")
	var state resolver.State
	for _, a := range c.Addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil || host == "" {
			return "", nil, fmt.Errorf("client: the address %q is not host:port", a)
		}
		state.Addresses = append(state.Addresses, resolver.Address{Addr: a, ServerName: cmp.Or(c.TLS.serverName(), host)})
	}
	list.InitialState(state)
	return list.Scheme() + ":///epovd", []grpc.DialOption{grpc.WithResolvers(list)}, nil
}

// serviceConfig is what gRPC wants to know of balancing and health, as JSON.
func (c *Config) serviceConfig() (string, error) {
	policy := "{}"
	switch cmp.Or(c.Balance, RoundRobin) {
	case RoundRobin, ByRequest:
	case Weighted:
		// A report comes with every answer. Weights count from two seconds on and are forgotten after a quarter of a
		// minute without a call: queues before tokens come and go faster than those before processors.
		policy = `{"blackoutPeriod":"2s","weightExpirationPeriod":"15s","weightUpdatePeriod":"0.5s"}`
	default:
		return "", fmt.Errorf("client: no way of balancing is called %q", c.Balance)
	}
	health := ""
	if h := cmp.Or(c.Health, SigningHealth); h != NoHealth {
		health = fmt.Sprintf(`,"healthCheckConfig":{"serviceName":%q}`, h)
	}
	return fmt.Sprintf(`{"loadBalancingConfig":[{%q:%s}]%s}`, cmp.Or(c.Balance, RoundRobin), policy, health), nil
}

// TLS says who calls and whom to believe. One of Files and FromConfig makes it.
type TLS struct {
	config *tls.Config
	files  *files
}
