package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/nodes"
)

// drawing is a file of the report.
type drawing struct {
	name string
	data []byte
}

// findKnee looks for the rate that the service bears, and how it behaves below and above it.
func (b *serviceBench) findKnee(n *nodes.Node) {
	op, end := b.operation(n, load.SignXML, 4)
	defer end()
	const bound = 100 * time.Millisecond
	ctx := context.Background()
	most, _ := closed(op, serviceCallers, func() time.Duration { return 0 })
	config := load.Config{Rate: most / 4, Duration: 1500 * time.Millisecond, Timeout: 2 * time.Second, Name: load.ErrorName}
	knee, steps, err := load.Knee(ctx, op, load.Search{Config: config, P99: bound}, nil, nil)
	must(err)
	r := &load.Report{Title: "epovd, a token that takes no time", Operation: load.SignXML, Octets: serviceSize, Begun: time.Now()}
	r.AddSearch(knee, bound, steps)
	for _, share := range []float64{0.5, 0.8, 1.2} {
		c := config
		c.Rate, c.Duration = max(share*knee, 1), 3*time.Second
		run := load.Run(ctx, op, c, nil)
		r.Add(fmt.Sprintf("%.0f %% of the knee", share*100), run)
		fmt.Printf("load %s: %.0f %% of the knee (%.0f/s): good %.0f/s, p50 %v, p99 %v, p99.9 %v, errors %v\n",
			load.SignXML, share*100, c.Rate, run.Goodput(),
			run.Latency.Quantile(0.5), run.Latency.Quantile(0.99), run.Latency.Quantile(0.999), run.Errors)
	}
	b.charts = append(b.charts, drawing{"service.html", r.HTML()}, drawing{"service-latency.svg", r.Latencies()},
		drawing{"service-knee.svg", r.Rates()}, drawing{"service-goodput.svg", r.Goodputs()})
}

// report writes the drawings beside the compiled peers' folder.
func (b *serviceBench) report() error {
	dir := filepath.Join(b.peers, "..", "service-report")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range b.charts {
		if err := os.WriteFile(filepath.Join(dir, d.name), d.data, 0o644); err != nil {
			return err
		}
	}
	fmt.Println("report:", filepath.Join(dir, "service.html"))
	return nil
}
