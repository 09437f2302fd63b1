package main

import (
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// TestSpans counts the good calls of a time, and of those what their steps took.
func TestSpans(t *testing.T) {
	from := time.Unix(1000, 0)
	one := func(trace, name string, kind otlp.Span_SpanKind, at, took time.Duration, code otlp.Status_StatusCode) *otlp.Span {
		begun := uint64(from.Add(at).UnixNano())
		return &otlp.Span{TraceId: []byte(trace), Name: name, Kind: kind, StartTimeUnixNano: begun, EndTimeUnixNano: begun + uint64(took),
			Status: &otlp.Status{Code: code}}
	}
	const sign, us, ms = "epov.v1.SignService/SignXml", time.Microsecond, time.Millisecond
	server, inner := otlp.Span_SPAN_KIND_SERVER, otlp.Span_SPAN_KIND_INTERNAL
	s := &spans{}
	if _, err := s.Export(t.Context(),
		&collector.ExportTraceServiceRequest{ResourceSpans: []*otlp.ResourceSpans{{ScopeSpans: []*otlp.ScopeSpans{{Spans: []*otlp.Span{
			one("a", sign, server, ms, 300*us, 0), one("a", "prepare", inner, ms, 100*us, 0),
			one("b", sign, server, 2*ms, 500*us, 0), one("b", "prepare", inner, 2*ms, 200*us, 0),
			one("refused", sign, server, 3*ms, 900*ms, otlp.Status_STATUS_CODE_ERROR), one("refused", "prepare", inner, 3*ms, 900*ms, 0),
			one("later", sign, server, 9*ms, 900*ms, 0), one("later", "prepare", inner, 9*ms, 900*ms, 0),
			one("other", "epov.v1.VerifyService/VerifyXml", server, ms, 900*ms, 0),
		}}}}}}); err != nil {
		t.Fatal(err)
	}
	means, n := s.means(from, from.Add(5*ms))
	if n != 2 || means["server"] != 400 || means["prepare"] != 150 {
		t.Errorf("%d calls, %v", n, means)
	}
	g := stage{Total: 600, begun: from, ended: from.Add(5 * ms), Parts: map[string]float64{"queue": 10, "token": 40, "verify": 20}}
	if err := g.complete(s); err != nil || g.Parts["call"] != 180 || g.Parts["rpc"] != 200 || g.Traced != 2 {
		t.Errorf("%+v, %v", g, err)
	}
	empty := stage{begun: from.Add(-time.Hour), ended: from.Add(-time.Minute)}
	if empty.complete(s) == nil {
		t.Error("a stage without traces")
	}
}
