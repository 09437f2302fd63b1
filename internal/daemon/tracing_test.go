package daemon

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/epov-signer/epov/api/epovpb"
)

// receiver is an OTLP collector that keeps what it gets.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	addr  string
	mutex sync.Mutex
	spans []*otlp.Span
	text  strings.Builder
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, s := &receiver{addr: l.Addr().String()}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, r)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return r
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.text.WriteString(req.String())
	for _, of := range req.ResourceSpans {
		for _, in := range of.ScopeSpans {
			r.spans = append(r.spans, in.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// A call that its caller traces is drawn down to the token, under the caller's span; one that nobody traces is not. A collector
// that is away costs nobody anything.
func TestTraces(t *testing.T) {
	p, r := newPlant(t), newReceiver(t)
	d, stop := p.running(t, p.config+fmt.Sprintf("traces: {endpoint: %q}\naudit: {directory: audit, name: epov.test/log}\n", r.addr), quiet)
	sign := epovpb.NewSignServiceClient(p.dial(t, d))
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	traced := metadata.AppendToOutgoingContext(t.Context(), "traceparent", "00-"+id+"-"+parent+"-01")
	request := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)}
	for _, ctx := range []context.Context{t.Context(), traced} {
		if _, err := sign.SignXml(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sign.SignXml(traced,
		&epovpb.SignXmlRequest{Key: "keys/EXMP01/bare", Profile: "smev3", Document: []byte(ack)}); err == nil {
		t.Error("a key without certificate signs")
	}
	stop() // which exports what waits
	r.mutex.Lock()
	defer r.mutex.Unlock()
	byID := map[string]*otlp.Span{}
	var good, bad *otlp.Span
	for _, s := range r.spans {
		if hex.EncodeToString(s.TraceId) != id {
			t.Errorf("%s is in trace %x", s.Name, s.TraceId)
		}
		byID[string(s.SpanId)] = s
		if s.Name == "epov.v1.SignService/SignXml" {
			if hex.EncodeToString(s.ParentSpanId) != parent {
				t.Errorf("the call is under %x", s.ParentSpanId)
			}
			if s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
				bad = s
			} else {
				good = s
			}
		}
	}
	if good == nil || bad == nil {
		t.Fatalf("good %v, bad %v", good, bad)
	}
	steps := map[string]bool{}
	for _, s := range r.spans {
		under := byID[string(s.ParentSpanId)]
		if under != nil && (s.StartTimeUnixNano < under.StartTimeUnixNano || s.EndTimeUnixNano > under.EndTimeUnixNano ||
			s.EndTimeUnixNano < s.StartTimeUnixNano) {
			t.Errorf("%s lies outside of %s", s.Name, under.Name)
		}
		if under != nil && under.Name == "signature" && string(under.ParentSpanId) == string(good.SpanId) {
			steps[s.Name] = true
		}
	}
	for _, name := range []string{"prepare", "queue", "token", "verify", "complete", "audit"} {
		if !steps[name] {
			t.Errorf("the signature lacks %s: %v", name, steps)
		}
	}
	if len(r.spans) != 10 { // two calls, two signatures, six steps
		t.Errorf("%d spans", len(r.spans))
	}
	for _, want := range []string{"keys/EXMP01/ov/versions/2", "gateway", "key.unusable", `"main"`, `"epovd"`} {
		if !strings.Contains(r.text.String(), want) {
			t.Errorf("nowhere is %s", want)
		}
	}

	d, stop = p.running(t, p.config+"traces: {endpoint: '127.0.0.1:1', percent: 100}\n", quiet)
	sign = epovpb.NewSignServiceClient(p.dial(t, d))
	begun := time.Now()
	for range 50 {
		if _, err := sign.SignXml(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("%v without a collector", took)
	}
	stop()
}

func TestTracesConfig(t *testing.T) {
	f, text := furnish(t)
	for section, want := range map[string]string{
		"traces: {endpoint: 127.0.0.1:4317, percent: 5}": "",
		"traces: {}": "traces.endpoint: is missing",
		"traces: {endpoint: 'otel.example.ru:4317'}":                                             "to a loopback address only",
		"traces: {endpoint: 'http://127.0.0.1:4317'}":                                            "must be host:port",
		"traces: {endpoint: 'otel.example.ru:4317', tls: {ca: clients-ca.pem}}":                  "",
		"traces: {endpoint: 'otel.example.ru:4317', tls: {ca: clients-ca.pem, key: server.key}}": "certificate and key go together",
		"traces: {endpoint: 127.0.0.1:4317, percent: 101}":                                       "traces.percent",
	} {
		_, err := Load(f.write(t, "epovd.yaml", []byte(text+"\n"+section+"\n")))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", section, err)
		}
	}
}
