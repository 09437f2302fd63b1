package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/epov-signer/epov/api/epovpb"
)

// node answers calls and counts them.
type node struct {
	epovpb.UnimplementedKeyServiceServer
	calls atomic.Int64
}

func (n *node) ListKeys(context.Context, *epovpb.ListKeysRequest) (*epovpb.ListKeysResponse, error) {
	n.calls.Add(1)
	return &epovpb.ListKeysResponse{}, nil
}

// With the service configurations, calls go to all nodes that serve, and to no other.
func TestServiceConfigurations(t *testing.T) {
	for _, file := range []string{"round_robin.json", "weighted_round_robin.json"} {
		t.Run(file, func(t *testing.T) {
			config, err := os.ReadFile(filepath.Join("balancing", file))
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(config) {
				t.Fatal("not JSON")
			}
			var nodes [3]*node
			var state resolver.State
			for i := range nodes {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				nodes[i] = &node{}
				server, served := grpc.NewServer(), health.NewServer()
				healthpb.RegisterHealthServer(server, served)
				epovpb.RegisterKeyServiceServer(server, nodes[i])
				served.SetServingStatus("epov.v1.SignService", healthpb.HealthCheckResponse_SERVING)
				if i == 2 {
					served.SetServingStatus("epov.v1.SignService", healthpb.HealthCheckResponse_NOT_SERVING)
				}
				go func() { _ = server.Serve(l) }()
				t.Cleanup(server.Stop)
				state.Addresses = append(state.Addresses, resolver.Address{Addr: l.Addr().String()})
			}
			names := manual.NewBuilderWithScheme("nodes")
			names.InitialState(state)
			conn, err := grpc.NewClient("nodes:///epov", grpc.WithResolvers(names), grpc.WithDefaultServiceConfig(string(config)),
				grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			client := epovpb.NewKeyServiceClient(conn)
			for begun := time.Now(); nodes[0].calls.Load() < 10 || nodes[1].calls.Load() < 10; {
				if _, err := client.ListKeys(t.Context(), &epovpb.ListKeysRequest{}, grpc.WaitForReady(true)); err != nil {
					t.Fatal(err)
				}
				if time.Since(begun) > 20*time.Second {
					t.Fatal("calls go to one node:", &nodes[0].calls, &nodes[1].calls)
				}
			}
			if n := nodes[2].calls.Load(); n > 0 {
				t.Errorf("%d calls went to a node that does not serve", n)
			}
		})
	}
}

// The proxies' own programs take their configurations, where they are installed; Envoy's is at least what its API names.
func TestProxies(t *testing.T) {
	data, err := os.ReadFile("balancing/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var envoy struct {
		StaticResources struct {
			Listeners []struct {
				FilterChains []struct {
					TransportSocket any `yaml:"transport_socket"`
					Filters         []struct {
						TypedConfig struct{ Cluster string } `yaml:"typed_config"`
					}
				} `yaml:"filter_chains"`
			}
			Clusters []struct {
				Name           string
				LoadAssignment struct {
					ClusterName string `yaml:"cluster_name"`
				} `yaml:"load_assignment"`
			}
		} `yaml:"static_resources"`
	}
	if err := yaml.Unmarshal(data, &envoy); err != nil {
		t.Fatal(err)
	}
	r := envoy.StaticResources
	if len(r.Listeners) != 1 || len(r.Clusters) != 1 ||
		r.Listeners[0].FilterChains[0].Filters[0].TypedConfig.Cluster != r.Clusters[0].Name ||
		r.Clusters[0].LoadAssignment.ClusterName != r.Clusters[0].Name || r.Listeners[0].FilterChains[0].TransportSocket != nil {
		t.Errorf("%+v", r)
	}
	dir := t.TempDir()
	nginx, err := os.ReadFile("balancing/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "nginx.conf")
	// Debian has the stream module apart; nodes must have addresses when nginx reads its configuration.
	text := fmt.Sprintf("include /etc/nginx/modules-enabled/*.conf;\npid %s/pid;\nerror_log %s/log;\n", dir, dir) +
		strings.NewReplacer("node-1.example.ru", "127.0.0.1", "node-2.example.ru", "127.0.0.2", "node-3.example.ru",
			"127.0.0.3").Replace(string(nginx))
	if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tool := range [][]string{{"haproxy", "-c", "-f", "balancing/haproxy.cfg"}, {"nginx", "-t", "-c", own}} {
		t.Run(tool[0], func(t *testing.T) {
			program, err := exec.LookPath(tool[0])
			if err != nil {
				t.Skipf("SKIPPED: %s is not installed", tool[0])
			}
			if out, err := exec.Command(program, tool[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
