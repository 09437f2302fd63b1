package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/load"
)

// stageNames are where a signature's time goes, in order: the caller's side and the way (rpc), the daemon before and after what
// it does for a signature (call), and its steps. What no step has is with call.
var stageNames = []string{"rpc", "call", "prepare", "queue", "token", "verify", "complete", "audit"}

// spans collects the daemon's own traces.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mutex sync.Mutex
	list  []span
}

type span struct {
	trace  string // what belongs to one call
	failed bool   // of "server": the call
	name   string // "server" is the whole call
	begun  time.Time
	took   time.Duration
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, one := range scope.GetSpans() {
				name := one.GetName()
				if one.GetKind() == otlp.Span_SPAN_KIND_SERVER {
					if !strings.Contains(name, ".SignService/") {
						continue
					}
					name = "server"
				}
				begun, ended := int64(one.GetStartTimeUnixNano()), int64(one.GetEndTimeUnixNano())
				s.list = append(s.list, span{
					trace: string(one.GetTraceId()), failed: one.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR, name: name,
					begun: time.Unix(0, begun), took: time.Duration(ended - begun),
				})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// means are those of the spans that began in a time, by name, in microseconds, and how many calls they are of: good ones, whose
// latency is what is told. The spans of a call may come apart, or some of them not at all, so each name has its own count.
func (s *spans) means(from, to time.Time) (map[string]float64, int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	sum, count := map[string]time.Duration{}, map[string]int64{}
	good := map[string]bool{}
	for _, one := range s.list {
		if one.name == "server" && !one.failed {
			good[one.trace] = true
		}
	}
	for _, one := range s.list {
		if !good[one.trace] {
			continue
		}
		if one.begun.After(from) && one.begun.Before(to) {
			sum[one.name] += one.took
			count[one.name]++
		}
	}
	means := map[string]float64{}
	for name := range sum {
		means[name] = float64(sum[name].Nanoseconds()) / 1e3 / float64(count[name])
	}
	return means, count["server"]
}

// arrival is how long spans may take to arrive; the daemon exports them in batches.
const arrival = 6 * time.Second

// stages asks for each kind of signature by one caller at a time, and for one kind at shares of the knee.
func stages(w *world, p plan, r *results) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server, traced := grpc.NewServer(), &spans{}
	collector.RegisterTraceServiceServer(server, traced)
	go func() { _ = server.Serve(l) }() // ends with Stop
	defer server.Stop()
	s := w.start(setting{sessions: usualSessions(), extra: fmt.Sprintf("traces: {endpoint: %q, percent: 100}", l.Addr())})
	defer s.Stop()
	alone := func(op load.Operation) func(context.Context) (int64, time.Duration, error) {
		return func(ctx context.Context) (int64, time.Duration, error) {
			h := &load.Histogram{}
			_, err := load.Closed(ctx, func(ctx context.Context) error {
				begun := time.Now()
				err := op(ctx)
				h.Record(time.Since(begun))
				return err
			}, 1, p.stage)
			return h.Count(), h.Mean(), err
		}
	}
	for _, name := range signing {
		if err := s.stage(r, name, "one caller", alone); err != nil {
			return err
		}
	}
	for _, share := range shares[:2] {
		asked := func(op load.Operation) func(context.Context) (int64, time.Duration, error) {
			return func(ctx context.Context) (int64, time.Duration, error) {
				one := load.Run(ctx, op, asking(share*r.Knee.Knee, p.stage), nil)
				return one.Latency.Count(), one.Latency.Mean(), nil
			}
		}
		if err := s.stage(r, load.SignXML, fmt.Sprintf("%.0f %% of the knee", share*100), asked); err != nil {
			return err
		}
	}
	time.Sleep(arrival)
	for i := range r.Stages {
		if err := r.Stages[i].complete(traced); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) stage(r *results, name, setting string,
	how func(load.Operation) func(context.Context) (int64, time.Duration, error)) error {
	var queue, token, verify, told atomic.Int64
	op, end, err := s.caller(name, usualSize, 1, func(t *pb.Timings) {
		queue.Add(int64(t.GetQueue().AsDuration()))
		token.Add(int64(t.GetToken().AsDuration()))
		verify.Add(int64(t.GetVerify().AsDuration()))
		told.Add(1)
	})
	if err != nil {
		return err
	}
	defer end()
	ask := how(op)
	for _, n := range []*atomic.Int64{&queue, &token, &verify, &told} {
		n.Store(0)
	}
	begun := time.Now()
	daemon, module := s.Spent()
	own := spent()
	calls, mean, err := ask(context.Background())
	if err != nil {
		return err
	}
	daemon2, module2 := s.Spent()
	own2 := spent()
	if calls == 0 || told.Load() == 0 {
		return errors.New("nothing was signed")
	}
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	each := func(d time.Duration) float64 { return us(d) / float64(calls) }
	answered := func(sum *atomic.Int64) float64 { return float64(sum.Load()) / 1e3 / float64(told.Load()) }
	r.Stages = append(r.Stages, stage{
		Operation: name, Setting: setting, Calls: calls, Total: us(mean), begun: begun, ended: time.Now(),
		Parts:  map[string]float64{"queue": answered(&queue), "token": answered(&token), "verify": answered(&verify)},
		Daemon: each(daemon2 - daemon), Module: each(module2 - module), Client: each(own2 - own),
	})
	return nil
}

// complete adds what traces say.
func (g *stage) complete(traced *spans) error {
	means, n := traced.means(g.begun, g.ended)
	if n == 0 {
		return errors.New("the daemon's traces do not arrive")
	}
	g.Traced = n
	steps := g.Parts["queue"] + g.Parts["token"] + g.Parts["verify"]
	for _, part := range []string{"prepare", "complete", "audit"} {
		g.Parts[part] = means[part]
		steps += means[part]
	}
	g.Parts["call"] = max(0, means["server"]-steps)
	g.Parts["rpc"] = max(0, g.Total-steps-g.Parts["call"])
	fmt.Printf("%-11s %-18s %5.0f us:", g.Operation, g.Setting, g.Total)
	for _, part := range stageNames {
		fmt.Printf(" %s %.0f", part, g.Parts[part])
	}
	fmt.Println()
	return nil
}
