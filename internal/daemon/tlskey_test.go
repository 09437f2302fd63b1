package daemon

import (
	"log/slog"
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

// New connections are served after all sessions of the token died that holds the TLS key, and the signing keys in the same
// process too.
func TestHandshakeAfterSessionsDied(t *testing.T) {
	faulty := softhsm.NewFaulty(t)
	p := newPlantOn(t, faulty.Token)
	log := &await.Log{}
	text := strings.Replace(p.config, "state_dir: state}", "state_dir: state, isolation: none}", 1)
	d, _ := p.running(t, text, slog.New(slog.NewTextHandler(log, nil)))
	waitFor(t, healthpb.NewHealthClient(p.dial(t, d)), healthpb.HealthCheckResponse_SERVING)
	for range 2 {
		faulty.KillSessions()
		conn := p.dial(t, d) // at the first call, with a handshake of its own
		if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, healthpb.NewHealthClient(conn), healthpb.HealthCheckResponse_SERVING)
		_, err := epovpb.NewSignServiceClient(conn).SignXml(t.Context(), &epovpb.SignXmlRequest{
			Key: "keys/EXMP01/ov", Profile: "xades-bes", Document: []byte("<a>b</a>"),
		})
		if err != nil {
			t.Error(err)
		}
	}
	if text := log.String(); strings.Count(text, "TLS key is lost") != 2 || strings.Count(text, "TLS key is back") != 2 {
		t.Errorf("the log says:\n%s", text)
	}
}
