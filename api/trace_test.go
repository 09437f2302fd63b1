package api

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
)

// Every call is told of once, with the context that it was given; what is turned away is told of with its reason.
func TestTrace(t *testing.T) {
	w := newWorld(t, Limits{})
	var mutex sync.Mutex
	ended, refused := map[string]codes.Code{}, map[Refusal]int{}
	type mark struct{}
	w.server.trace = Trace{
		Began: func(ctx context.Context, method string) context.Context {
			return context.WithValue(ctx, mark{}, method)
		},
		Ended: func(ctx context.Context, c Call) {
			mutex.Lock()
			defer mutex.Unlock()
			if ctx.Value(mark{}) != c.Method || c.Took <= 0 {
				t.Errorf("%+v ended in a context of %v", c, ctx.Value(mark{}))
			}
			ended[c.Method] = c.Code
		},
		Refused: func(r Refusal) {
			mutex.Lock()
			defer mutex.Unlock()
			refused[r]++
		},
	}
	var inside any
	w.ring[0].hook = func(ctx context.Context) error { inside = ctx.Value(mark{}); return nil }
	c := w.dial(t, "admin.example.ru")
	sign := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}
	if _, err := c.SignXml(t.Context(), sign); err != nil {
		t.Fatal(err)
	}
	if inside != "/epov.v1.SignService/SignXml" {
		t.Errorf("the key was asked in a context of %v", inside)
	}
	c.GetKey(t.Context(), &epovpb.GetKeyRequest{Key: "keys/EXMP01/none"})
	watching, cancel := context.WithCancel(t.Context())
	watch, err := healthpb.NewHealthClient(c.conn).Watch(watching, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Error(err)
	}
	cancel()
	c.conn.Invoke(t.Context(), "/epov.v1.SignService/Nothing", sign, new(epovpb.SignXmlResponse))
	w.dial(t, "stranger.example.ru").SignXml(t.Context(), sign)
	strangers := testpki.NewTLS(t)
	config := &world{tls: strangers, addr: w.addr}
	config.dial(t, "admin.example.ru").SignXml(t.Context(), sign)

	want := map[string]codes.Code{
		"/epov.v1.SignService/SignXml": codes.OK, // the stranger's has not begun
		"/epov.v1.KeyService/GetKey":   codes.NotFound,
		"/grpc.health.v1.Health/Watch": codes.Canceled,
	}
	await.True(t, "all calls told of", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return len(ended) == len(want) && refused[RefusedHandshake] > 0
	})
	for range w.server.calls.most.Load() {
		w.server.calls.take(1)
	}
	c.SignXml(t.Context(), sign)
	w.server.calls.leave(w.server.calls.most.Load())
	mutex.Lock()
	defer mutex.Unlock()
	for method, code := range want {
		if got, ok := ended[method]; !ok || got != code {
			t.Errorf("%s: %v", method, got)
		}
	}
	if len(refused) != 3 || refused[RefusedCaller] != 1 || refused[RefusedOverload] != 1 {
		t.Errorf("refused %v", refused)
	}
}
