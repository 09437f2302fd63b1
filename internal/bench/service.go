package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/nodes"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// The daemon as users run it, over mutual TLS on loopback, client and server on the same processors.
const (
	serviceSize    = 10 << 10 // of a message
	serviceCallers = 16       // of loops that keep it busy
	turn           = 400 * time.Millisecond
)

// serviceGroup measures epovd, which stands beside the peers.
func serviceGroup(peers string, rounds int) error {
	tb := &oracle.Program{}
	defer tb.End()
	b := &serviceBench{TB: tb, peers: peers, rounds: rounds, site: nodes.NewSite(tb, filepath.Join(peers, "epovd"))}
	if len(only) > 0 {
		if wants(softhsmFigure, softhsmFigure+"-cpu", softhsmFigure+"-digest") {
			b.compareToken()
		}
		return nil
	}
	noop := b.site.Furnish(tb, softhsm.NewNoop(tb), softhsm.NoopKey)
	node := b.site.Node(tb, noop, nodes.Options{})
	b.measureRest(node)
	b.compareEcho(node)
	b.measureVerify(node)
	b.findKnee(node)
	node.Stop()
	b.compareToken()
	b.compareAudit()
	b.compareNodes()
	return b.report()
}

type serviceBench struct {
	testing.TB
	peers  string
	rounds int
	site   *nodes.Site
	charts []drawing
}

// client connects to a node.
func (b *serviceBench) client(addresses ...string) *client.Client {
	c, err := client.Dial(client.Config{Addresses: addresses, TLS: b.site.TLS(), Health: client.NoHealth})
	must(err)
	return c
}

// operation makes one of package load on a node.
func (b *serviceBench) operation(n *nodes.Node, name string, clients int) (load.Operation, func()) {
	t := &load.Target{Key: n.Key, Size: serviceSize}
	for range clients {
		t.Clients = append(t.Clients, b.client(n.Address))
	}
	op, end, err := t.Prepare(context.Background(), name)
	must(err)
	return op, func() {
		end()
		for _, c := range t.Clients {
			_ = c.Close()
		}
	}
}

// closed keeps callers at work for a turn, after a short run, and gives calls in a second and the processor time of a server for one.
func closed(op load.Operation, callers int, spent func() time.Duration) (perSecond, cost float64) {
	var n atomic.Int64
	counted := func(ctx context.Context) error {
		n.Add(1)
		return op(ctx)
	}
	ctx := context.Background()
	_, err := load.Closed(ctx, op, callers, turn/8)
	must(err)
	before := spent()
	perSecond, err = load.Closed(ctx, counted, callers, turn)
	must(err)
	return perSecond, float64(spent()-before) / float64(n.Load())
}

// compareEcho sets the server's processor time for SignXml beside that of an echo of a message of the same size. The token
// takes no time, and the process of its module is left out.
func (b *serviceBench) compareEcho(n *nodes.Node) {
	peer := startEcho(b, b.site)
	daemon := func() time.Duration { d, _ := n.Spent(); return d }
	unary, endUnary := b.operation(n, load.SignXML, 1)
	batch, endBatch := b.operation(n, load.Batch, 1)
	c := b.client(peer.address)
	payload := load.Message(serviceSize)
	echoed, least := unaryEcho(c.Conn(), "Unary", payload), unaryEcho(c.Conn(), "Least", payload)
	inStream := func(method string) float64 {
		_, err := streamEcho(context.Background(), c.Conn(), method, payload, serviceCallers, turn/8)
		must(err)
		before := peer.spent()
		n, err := streamEcho(context.Background(), c.Conn(), method, payload, serviceCallers, turn)
		must(err)
		return float64(peer.spent()-before) / float64(n)
	}
	var ours, theirs, floor, stream, theirStream, floorStream []float64
	for range b.rounds {
		_, cost := closed(unary, serviceCallers, daemon)
		ours = append(ours, cost)
		_, cost = closed(echoed, serviceCallers, peer.spent)
		theirs = append(theirs, cost)
		_, cost = closed(batch, serviceCallers, daemon)
		stream = append(stream, cost)
		theirStream = append(theirStream, inStream("Stream"))
		_, cost = closed(least, serviceCallers, peer.spent)
		floor, floorStream = append(floor, cost), append(floorStream, inStream("StreamLeast"))
	}
	endUnary()
	endBatch()
	must(c.Close())
	for _, l := range []struct {
		name         string
		ours, theirs []float64
	}{{"unary", ours, slices.Clone(theirs)}, {"stream", stream, slices.Clone(theirStream)}, {"floor", floor, theirs},
		{"stream-floor", floorStream, theirStream}} {
		share(2, "service/signxml-"+l.name, l.ours, l.theirs, func(ours, theirs float64) string {
			return fmt.Sprintf("the server's processor time for one: %s, an echo's %s; lower is better",
				perOperation(ours), perOperation(theirs))
		})
	}
}

// share prints how much of b a is, with the quartiles of the rounds.
func share(digits int, name string, a, b []float64, detail func(a, b float64) string) {
	low, high := quartiles(b, a) // before the medians, which lose the order of the rounds
	x, y := median(a), median(b)
	fmt.Printf("ratio %s %.*f [%.*f-%.*f] (%s)\n", name, digits, x/y, digits, low, digits, high, detail(x, y))
}

// published is what Jinn-Server's authors say a server of theirs verifies in a second.
const published = 700

func (b *serviceBench) measureVerify(n *nodes.Node) {
	op, end := b.operation(n, load.VerifyXML, 2)
	defer end()
	var rates []float64
	for range b.rounds {
		rate, _ := closed(op, serviceCallers, func() time.Duration { return 0 })
		rates = append(rates, rate)
	}
	fmt.Printf("ratio service/verifyxml %.1f (%.0f messages of 10 KB in a second, published %d; client on the same processors)\n",
		median(rates)/published, median(rates), published)
}

const softhsmFigure = "service/softhsm"

// compareToken has messages signed with SoftHSM as fast as the service does, in turns with a bare loop in C that signs as
// fast as the token does. Only one of them runs at a time, on all processors.
func (b *serviceBench) compareToken() {
	soft := softhsm.New(b)
	token := b.site.Furnish(b, soft, "EXMP01/ov/1")
	sessions := tokenSessions()
	n := b.site.Node(b, token, nodes.Options{Token: fmt.Sprintf(", sessions: %d", sessions)})
	n.Start(b)
	defer n.Stop()
	messages, endMessages := b.operation(n, load.Batch, 2)
	defer endMessages()
	digests, endDigests := b.operation(n, load.BatchDigest, 2)
	defer endDigests()
	must(os.Setenv("SOFTHSM2_CONF", soft.Conf))
	peer, err := startLoop(filepath.Join(b.peers, "tokenloop"), soft, sessions)
	must(err)
	defer peer.end()
	floor, endFloor := b.tokenEcho(soft, load.Message(serviceSize))
	defer endFloor()
	all := func() time.Duration { // whatever a message costs on whichever side
		daemon, module := n.Spent()
		return daemon + module + spent()
	}
	var ours, small, theirs, cost, theirCost, least []float64
	for range b.rounds {
		rate, spent := closed(messages, 2*serviceCallers, all)
		ours, cost = append(ours, rate), append(cost, spent)
		bare := peer.throughput(turn)
		theirs, theirCost = append(theirs, bare.perSecond), append(theirCost, 1e9/bare.perSpent)
		rate, _ = closed(digests, 4*serviceCallers, all)
		small, least = append(small, rate), append(least, floor())
	}
	bare := slices.Clone(theirs) // in the order of the rounds
	again := slices.Clone(theirs)
	share(2, softhsmFigure, ours, theirs, func(ours, theirs float64) string {
		return fmt.Sprintf("%.0f messages of 10 KB in a second, the token alone %.0f signatures", ours, theirs)
	})
	share(3, softhsmFigure+"-cpu", theirCost, cost, func(theirs, ours float64) string {
		return fmt.Sprintf("processor time of the token's loop for a signature, %s, over that of daemon, module and client for a message, %s",
			perOperation(theirs), perOperation(ours))
	})
	share(2, softhsmFigure+"-digest", small, bare, func(ours, theirs float64) string {
		return fmt.Sprintf("%.0f digests in a second, the token alone %.0f signatures", ours, theirs)
	})
	share(2, "service/softhsm-floor", least, again, func(ours, theirs float64) string {
		return fmt.Sprintf("%.0f messages of 10 KB in a second, echoed after a call of the token each, the token alone %.0f signatures",
			ours, theirs)
	})
}

// measureRest starts the daemon some times, each until it has signed once, and leaves it running; then it is left alone for a
// few seconds, and its memory is looked at.
func (b *serviceBench) measureRest(n *nodes.Node) {
	var starts []float64
	for i := range b.rounds {
		if i > 0 {
			n.Stop()
		}
		begun := time.Now()
		n.Start(b)
		op, end := b.operation(n, load.SignXML, 1)
		must(op(context.Background()))
		starts = append(starts, time.Since(begun).Seconds())
		end()
	}
	time.Sleep(5 * time.Second)
	fmt.Printf("ratio service/start-s %.2f (from starting the process to the first signature's answer)\n", median(starts))
	fmt.Printf("ratio service/rest-mib %.1f (proportional set sizes of the daemon and its module's process, after a signature and some seconds)\n",
		float64(n.Memory())/(1<<20))
}
