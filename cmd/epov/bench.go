package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

type benchCmd struct {
	connection
	Key         string        `placeholder:"NAME" help:"Key to sign with."`
	Operation   string        `default:"sign-xml" enum:"sign-xml,sign-smev2,sign-xades,sign-cms,digest,verify-xml,verify-smev2,verify-xades,verify-cms,batch,batch-digest" help:"sign-xml (SMEV 3), sign-smev2, sign-xades, sign-cms, digest; verify-xml, -smev2, -xades or -cms of what those gave; sign-xml and digest over one stream to a connection: batch, batch-digest."`
	Size        int           `default:"10240" help:"Bytes of a message, about."`
	Rate        float64       `default:"50" help:"Calls in a second; with --knee, where to begin."`
	Duration    time.Duration `default:"10s" help:"How long to ask; with --knee, each step. At most 10m."`
	Connections int           `default:"4" help:"Connections to the daemon."`
	Deadline    time.Duration `default:"5s" help:"How long each call may take."`
	Knee        bool          `help:"Look for the highest rate that is borne, then measure at 50, 80 and 120 % of it."`
	Bound       time.Duration `name:"p99" default:"100ms" help:"With --knee: the p99 latency that is borne."`
	JSON        string        `name:"json" placeholder:"FILE" help:"Write the figures as JSON; - is standard output."`
	HTML        string        `name:"html" placeholder:"FILE" help:"Write a page with charts, and the charts as SVG beside it."`
}

// Help is shown by --help.
func (*benchCmd) Help() string {
	return `Calls are made at moments that do not depend on the answers, and latency is measured from the moment a call was due, so a
daemon that falls behind cannot hide it. Every call makes a real signature with the key: use one that is for tests.
A rate is borne when 99 % of the calls are answered well with a p99 of at most --p99.`
}

func (c *benchCmd) Run(ctx context.Context, con *console) error {
	switch {
	case c.Rate <= 0 || c.Rate > 1e6:
		return usagef("--rate must be above 0 and at most 1000000")
	case c.Duration < 100*time.Millisecond || c.Duration > 10*time.Minute:
		return usagef("--duration must be from 100ms to 10m")
	case c.Connections < 1 || c.Connections > 1000:
		return usagef("--connections must be from 1 to 1000")
	case c.Size < 1 || c.Size > 64<<20:
		return usagef("--size must be from 1 to 67108864")
	case c.Deadline <= 0 || c.Bound <= 0:
		return usagef("--deadline and --p99 must be positive")
	}
	cfg, err := c.settle()
	if err != nil {
		return err
	}
	t := &load.Target{Size: c.Size}
	if t.Key, err = cfg.signingKey(c.Key); err != nil {
		return err
	}
	for range c.Connections {
		service, err := cfg.dial()
		if err != nil {
			return err
		}
		defer service.Close()
		t.Clients = append(t.Clients, service)
	}
	first, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	op, end, err := t.Prepare(ctx, c.Operation)
	if err != nil {
		return err
	}
	defer end()
	if err := op(first); err != nil { // what is wrong at all is wrong at once
		return err
	}
	r := &load.Report{Title: "epovd at " + cfg.Address, Operation: c.Operation, Octets: c.Size, Begun: time.Now()}
	if c.Operation == load.Digest || c.Operation == load.BatchDigest {
		r.Octets = 0
	}
	if err := c.measure(ctx, con, op, r); err != nil {
		return err
	}
	return c.write(con, r)
}

func (c *benchCmd) measure(ctx context.Context, con *console, op load.Operation, r *load.Report) error {
	config := load.Config{Rate: c.Rate, Duration: c.Duration, Timeout: c.Deadline, Name: load.ErrorName}
	progress := func(now load.Result) {
		fmt.Fprintf(con.err, "\r%6.1f s  %8.0f/s asked  %8.0f/s good  p99 %-12v", now.Seconds, now.Offered(),
			now.Goodput(), now.Latency.Quantile(0.99))
	}
	shares := []float64{1}
	if c.Knee {
		knee, steps, err := load.Knee(ctx, op, load.Search{Config: config, P99: c.Bound}, progress, func(s load.Result) {
			fmt.Fprintf(con.err, "\r%-70s\r%8.0f/s: good %.0f/s, p99 %v\n", "", s.Rate, s.Goodput(), s.Latency.Quantile(0.99))
		})
		if err != nil {
			return err
		}
		if knee == 0 {
			return errors.New("no rate is borne; a lower --rate, a longer --p99?")
		}
		r.AddSearch(knee, c.Bound, steps)
		fmt.Fprintf(con.out, "knee: %.0f/s borne with a p99 of at most %v\n", knee, c.Bound)
		config.Rate, shares = knee, []float64{0.5, 0.8, 1.2}
	}
	rate := config.Rate
	for _, share := range shares {
		name := ""
		if c.Knee {
			name = fmt.Sprintf("%.0f %% of the knee", 100*share)
		}
		config.Rate = share * rate
		run := load.Run(ctx, op, config, progress)
		fmt.Fprintf(con.err, "\r%-70s\r", "")
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.Add(name, run)
		c.tell(con, cmp.Or(name, fmt.Sprintf("%.0f/s", config.Rate)), run)
	}
	return nil
}

// tell prints one run: its figures, and how its latencies are spread.
func (c *benchCmd) tell(con *console, name string, r load.Result) {
	h := r.Latency
	fmt.Fprintf(con.out, "\n%s: %.0f/s asked, %.0f/s good, %d of %d\n", name, r.Offered(), r.Goodput(), r.Good, r.Asked)
	for _, e := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(con.out, "  %d times %s\n", r.Errors[e], printable(e))
	}
	fmt.Fprintf(con.out, "  p50 %v  p90 %v  p99 %v  p99.9 %v  longest %v\n", h.Quantile(0.5), h.Quantile(0.9),
		h.Quantile(0.99), h.Quantile(0.999), h.Max())
	most := int64(1)
	for _, b := range h.Bars() {
		most = max(most, b.Count)
	}
	for _, b := range h.Bars() {
		fmt.Fprintf(con.out, "  below %-12v %9d %s\n", b.Below, b.Count, strings.Repeat("▇", int(40*b.Count/most)))
	}
}

func (c *benchCmd) write(con *console, r *load.Report) error {
	if c.JSON != "" {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		out := c.JSON
		if out == "-" {
			out = ""
		}
		if err := con.write(out, append(data, '\n'), false); err != nil {
			return err
		}
	}
	if c.HTML == "" {
		return nil
	}
	if err := con.write(c.HTML, r.HTML(), false); err != nil {
		return err
	}
	base := strings.TrimSuffix(c.HTML, filepath.Ext(c.HTML))
	for name, svg := range map[string][]byte{"latency": r.Latencies(), "rates": r.Rates(), "goodput": r.Goodputs()} {
		if svg == nil {
			continue
		}
		if err := os.WriteFile(base+"-"+name+".svg", svg, 0o644); err != nil {
			return err
		}
	}
	return nil
}
