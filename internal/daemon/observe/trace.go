package observe

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/signer"
)

// TracerConfig says where traces go.
type TracerConfig struct {
	Endpoint string      // host:port of an OTLP collector, gRPC
	TLS      *tls.Config // nil: none
	Ratio    float64     // of calls whose caller does not say, from 0 to 1
	Version  string
	Logger   *slog.Logger
}

// Bounds of what waits for the collector; what does not fit is dropped.
const (
	spansWaiting = 4096
	spansAtOnce  = 512
	exportTime   = 10 * time.Second
)

// Tracer draws spans: one for each call, one for each signature in it, and below that its steps. Those of a signature are drawn
// when it has come to its end, from the same moments that the metrics have: until then they cost nothing.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	parents  propagation.TraceContext
}

// NewTracer makes a tracer. It does not wait for the collector.
func NewTracer(ctx context.Context, c TracerConfig) (*Tracer, error) {
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(c.Endpoint), otlptracegrpc.WithTimeout(exportTime)}
	if c.TLS != nil {
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(c.TLS)))
	} else {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, err
	}
	var told atomic.Int64
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		now := time.Now().Unix()
		if last := told.Load(); now-last >= 60 && told.CompareAndSwap(last, now) {
			c.Logger.Warn("traces are not exported", "error", err)
		}
	}))
	t := &Tracer{provider: sdk.NewTracerProvider(
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(spansWaiting), sdk.WithMaxExportBatchSize(spansAtOnce),
			sdk.WithExportTimeout(exportTime)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Ratio))),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "epovd"), attribute.String("service.version", c.Version))),
	)}
	t.tracer = t.provider.Tracer("github.com/epov-signer/epov")
	return t, nil
}

// Close exports what waits, as long as ctx lasts.
func (t *Tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Join has the functions draw spans beside what they do already.
func (t *Tracer) Join(s *signer.Trace, a *api.Trace) {
	began, ended, signed := a.Began, a.Ended, s.Signed
	a.Began = func(ctx context.Context, method string) context.Context { return t.began(began(ctx, method), method) }
	a.Ended = func(ctx context.Context, c api.Call) {
		ended(ctx, c)
		t.ended(ctx, c)
	}
	s.Signed = func(ctx context.Context, s signer.Signing) {
		signed(ctx, s)
		t.signed(ctx, s)
	}
}

// carrier is a call's metadata as the W3C's propagator reads it.
type carrier metadata.MD

func (c carrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (carrier) Set(string, string) {}

func (carrier) Keys() []string { return nil }

func (t *Tracer) began(ctx context.Context, method string) context.Context {
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = t.parents.Extract(ctx, carrier(md))
	}
	ctx, _ = t.tracer.Start(ctx, method[1:], trace.WithSpanKind(trace.SpanKindServer))
	return ctx
}

func (t *Tracer) ended(ctx context.Context, c api.Call) {
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.response.status_code", c.Code.String()))
		if c.Code != grpccodes.OK {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}

// signed draws a signature and its steps.
func (t *Tracer) signed(ctx context.Context, s signer.Signing) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	ctx, span := t.tracer.Start(ctx, "signature", trace.WithTimestamp(s.Begun), trace.WithAttributes(
		attribute.String("epov.caller", s.Caller), attribute.String("epov.operation", string(s.Operation)),
		attribute.String("epov.key", s.Key),
		attribute.String("epov.profile", s.Profile), attribute.String("epov.token", s.Timings.Token),
		attribute.Bool("epov.retried", s.Timings.Retried),
	))
	if s.Code != "" {
		span.SetAttributes(attribute.String("epov.code", string(s.Code)))
		span.SetStatus(codes.Error, "")
	}
	step := func(name string, from, to time.Time) {
		if !from.IsZero() && !to.IsZero() {
			_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(from))
			span.End(trace.WithTimestamp(to))
		}
	}
	step("prepare", s.Begun, s.Prepared)
	if !s.Prepared.IsZero() && !s.Signed.IsZero() {
		waited := s.Prepared.Add(s.Timings.Queue)
		worked := waited.Add(s.Timings.Sign)
		step("queue", s.Prepared, waited)
		if s.Timings.Sign > 0 {
			step("token", waited, worked)
		}
		if s.Timings.Verify > 0 {
			step("verify", worked, worked.Add(s.Timings.Verify))
		}
	}
	step("complete", s.Signed, s.Completed)
	step("audit", s.Completed, s.Ended)
	span.End(trace.WithTimestamp(s.Ended))
}
