package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/nodes"
	"github.com/epov-signer/epov/softhsm"
)

// compareAudit sets two daemons side by side that differ in nothing but the audit log, each record of which is durable before
// its signature is released: by the calls that they bear, and by latency at a rate well below that.
func (b *serviceBench) compareAudit() {
	var plain, audited load.Operation
	for _, v := range []struct {
		op    *load.Operation
		extra string
	}{{&plain, ""}, {&audited, "audit: {directory: audit, name: bench.example/audit}"}} {
		n := b.site.Node(b, b.site.Furnish(b, softhsm.NewNoop(b), softhsm.NoopKey), nodes.Options{Extra: v.extra})
		n.Start(b)
		defer n.Stop()
		op, end := b.operation(n, load.SignXML, 2)
		defer end()
		*v.op = op
	}
	const callers = 64 // a group of records takes longer to become durable than a signature takes
	none := func() time.Duration { return 0 }
	var with, without, added []float64
	for range b.rounds {
		rate, _ := closed(plain, callers, none)
		without = append(without, rate)
		rate, _ = closed(audited, callers, none)
		with = append(with, rate)
	}
	most := median(slices.Clone(without))
	share(3, "service/audit-throughput", with, without, func(with, without float64) string {
		return fmt.Sprintf("%.0f calls in a second with the audit log, %.0f without", with, without)
	})
	config := load.Config{Rate: most / 3, Duration: turn}
	for i := range b.rounds {
		config.Seed = uint64(i)
		p, a := load.Run(context.Background(), plain, config, nil), load.Run(context.Background(), audited, config, nil)
		added = append(added, float64(a.Latency.Quantile(0.5)-p.Latency.Quantile(0.5))/1e6)
	}
	fmt.Printf("ratio service/audit-latency-ms %.2f (at the median, %.0f calls in a second)\n", median(added), config.Rate)
}

// Tokens as slow as hardware, so that they and not the processors bound what a node does.
const (
	slowToken    = 20 * time.Millisecond
	slowSessions = 2
)

// compareNodes has one node and three nodes behind gRPC's balancing sign in turns.
func (b *serviceBench) compareNodes() {
	var addresses []string
	var key string
	for i := range 3 {
		slow := softhsm.NewFaulty(b)
		token := b.site.Furnish(b, slow.Token, "EXMP01/ov/1")
		slow.Set(fmt.Sprintf("call C_Sign delay=%v", slowToken))
		n := b.site.Node(b, token, nodes.Options{Host: fmt.Sprintf("127.0.0.%d", i+1), Token: fmt.Sprintf(", sessions: %d", slowSessions)})
		n.Start(b)
		defer n.Stop()
		addresses, key = append(addresses, n.Address), n.Key
	}
	operation := func(addresses []string) (load.Operation, func()) {
		c := b.client(addresses...)
		t := &load.Target{Clients: []*client.Client{c}, Key: key, Size: 2 << 10}
		op, _, err := t.Prepare(context.Background(), load.SignXML)
		must(err)
		return op, func() { must(c.Close()) }
	}
	one, endOne := operation(addresses[:1])
	defer endOne()
	three, endThree := operation(addresses)
	defer endThree()
	none := func() time.Duration { return 0 }
	const callers = 4 * slowSessions // of each node, so that none waits for work
	var alone, together []float64
	for range b.rounds {
		rate, _ := closed(one, callers, none)
		alone = append(alone, rate)
		rate, _ = closed(three, 3*callers, none)
		together = append(together, rate)
	}
	share(2, "service/three-nodes", together, alone, func(three, one float64) string {
		return fmt.Sprintf("%.0f signatures in a second, one node %.0f; tokens of %v, %d sessions each", three,
			one, slowToken, slowSessions)
	})
}
