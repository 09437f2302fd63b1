package nodes

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/signer/audit/tlog"
	"github.com/epov-signer/epov/softhsm"
)

func TestMain(m *testing.M) {
	hsm.WorkerMain()
	os.Exit(m.Run())
}

// inside tells the process that the first one starts in a network of its own.
const inside = "EPOV_NODES_INSIDE"

// TestThreeNodesInNamespaces runs TestThreeNodes with a host for each node, and the client on another.
func TestThreeNodesInNamespaces(t *testing.T) {
	if os.Getenv(inside) != "" {
		t.Skip("this is it")
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, tool := range []string{"ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			oracle.Missing(t, tool)
		}
	}
	if out, err := exec.Command("unshare", "--net", "true").CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here, which takes root: %s", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--net", os.Args[0], "-test.run=^TestThreeNodes$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

const (
	tokenTime = 20 * time.Millisecond
	sessions  = 2
)

// trio is three nodes with a token each that takes its time.
type trio struct {
	site  *Site
	nodes []*Node
	where string // they are: on addresses of the loopback, or in network namespaces
	book  *book  // of the step that is under way
}

// TestThreeNodes has three nodes behind gRPC's balancing: on hosts of their own where the process is in a network of its own,
// else on three addresses of the loopback.
func TestThreeNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	epovd := filepath.Join(t.TempDir(), "epovd")
	if built := os.Getenv("EPOV_NODES_EPOVD"); built != "" {
		epovd = built
	} else if out, err := exec.Command("go", "build", "-o", epovd, "../../cmd/epovd").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w := &trio{site: NewSite(t, epovd), where: "loopback"}
	options := make([]Options, 3)
	var network *Network
	if os.Getenv(inside) != "" {
		network = NewNetwork(t, 3)
		w.where = "namespaces"
	}
	for i := range options {
		slow := softhsm.NewFaulty(t)
		token := w.site.Furnish(t, slow.Token, "EXMP01/ov/1")
		slow.Set(fmt.Sprintf("call C_Sign delay=%v", tokenTime))
		o := Options{Host: fmt.Sprintf("127.0.0.%d", i+1), Token: fmt.Sprintf(", sessions: %d", sessions),
			Extra: fmt.Sprintf("audit: {directory: audit, name: example.ru/node-%d}\nlimits: {stop_seconds: 10}", i+1)}
		if network != nil {
			o.Host, o.Wrap = network.Hosts[i], network.Wrap[i]
		}
		n := w.site.Node(t, token, o)
		n.Start(t)
		w.nodes = append(w.nodes, n)
	}
	w.step(t, "throughput scales", w.scales)
	w.step(t, "a retried id gives the same bytes", w.repeats)
	w.step(t, "a node dies", w.dies)
	w.step(t, "a rolling restart drops nothing", w.rolls)
	for _, n := range w.nodes {
		n.Stop()
	}
	t.Run("the audit logs are whole", w.logs)
}

func (w *trio) addresses() (list []string) {
	for _, n := range w.nodes {
		list = append(list, n.Address)
	}
	return list
}

func (w *trio) dial(t *testing.T, balance client.Balance, addresses ...string) *client.Client {
	t.Helper()
	c, err := client.Dial(client.Config{Addresses: addresses, TLS: w.site.TLS(), Balance: balance})
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func (w *trio) operation(c *client.Client) load.Operation {
	message := load.Message(1000)
	return func(ctx context.Context) error {
		begun := time.Now()
		signed, err := c.SignSMEV3(ctx, w.nodes[0].Key, message)
		w.book.note(begun, signed.GetDocument(), err)
		return err
	}
}

// scales holds the throughput of three against that of one. The tokens are what limits; on a machine that has little time for
// all of it the factor is lower than that of the benchmark service/three-nodes.
func (w *trio) scales(t *testing.T) {
	one, three := w.operation(w.dial(t, client.RoundRobin, w.nodes[0].Address)), w.operation(w.dial(t, client.RoundRobin, w.addresses()...))
	const callers = 4 * sessions
	var alone, together float64
	for range 3 {
		a, err := load.Closed(t.Context(), one, callers, time.Second)
		check(t, err)
		b, err := load.Closed(t.Context(), three, 3*callers, time.Second)
		check(t, err)
		alone, together = max(alone, a), max(together, b)
	}
	t.Logf("one node %.0f in a second, three %.0f: %.2f times", alone, together, together/alone)
	w.book.figure("signatures a second by one node", "%.0f", alone)
	w.book.figure("by three", "%.0f", together)
	if together < 1.8*alone {
		t.Errorf("three nodes sign %.0f in a second, one %.0f", together, alone)
	}
}

// acknowledged is a signature that a caller has.
type acknowledged struct {
	request *pb.SignXmlRequest
	answer  *pb.SignXmlResponse
}

// sign has n messages signed by callers at once; none may fail. between is called when half of them are signed.
func (w *trio) sign(t *testing.T, c *client.Client, n int, between func()) []acknowledged {
	t.Helper()
	out := make([]acknowledged, n)
	next, half := make(chan int), make(chan struct{})
	var group sync.WaitGroup
	for range 6 * sessions {
		group.Go(func() {
			for i := range next {
				req := &pb.SignXmlRequest{Key: w.nodes[0].Key, Profile: "smev3", Document: load.Message(1000)}
				begun := time.Now()
				answer, err := c.SignXML(t.Context(), req)
				w.book.note(begun, answer.GetDocument(), err)
				if err != nil {
					t.Errorf("message %d: %v", i, err)
					continue
				}
				out[i] = acknowledged{req, answer}
			}
		})
	}
	go func() {
		defer close(half)
		if between != nil {
			time.Sleep(time.Second)
			between()
		}
	}()
	for i := range n {
		next <- i
	}
	<-half
	close(next)
	group.Wait()
	return out
}

// repeats sends every request again, through another client.
func (w *trio) repeats(t *testing.T) {
	first := w.sign(t, w.dial(t, client.ByRequest, w.addresses()...), 60, nil)
	again := w.dial(t, client.ByRequest, w.addresses()...)
	by, same := map[string]int{}, 0
	for i, a := range first {
		if a.answer == nil {
			continue
		}
		answer, err := again.SignXML(t.Context(), a.request)
		if err != nil || !bytes.Equal(answer.GetDocument(), a.answer.GetDocument()) || !answer.GetAct().GetReplayed() {
			t.Errorf("message %d: another signature, %v", i, err)
		} else {
			same++
		}
		by[a.answer.GetCertificateFingerprint()]++
	}
	if len(by) != 3 {
		t.Errorf("signatures by node: %v", by)
	}
	w.book.figure("ids asked for again through another client", "%d", len(first))
	w.book.figure("of these answered with the same octets, not signed anew", "%d", same)
}

// dies kills a node while it signs. Every caller gets a signature; those that the others made are found again under their
// ids, and those of the dead one have their records, in a log that logs verifies.
func (w *trio) dies(t *testing.T) {
	c := w.dial(t, client.ByRequest, w.addresses()...)
	signed := w.sign(t, c, 600, w.nodes[1].Kill)
	if t.Failed() {
		return
	}
	w.book.serves("node killed", func() { w.nodes[1].Start(t) })
	dead := w.fingerprint(t, w.nodes[1])
	replayed, ofDead := 0, 0
	for i, a := range signed {
		if a.answer.GetCertificateFingerprint() == dead {
			ofDead++
			if a.answer.Act == nil || a.answer.Act.Record == nil {
				t.Errorf("message %d was signed without a record", i)
			}
			continue
		}
		again, err := c.SignXML(t.Context(), a.request)
		if err == nil && bytes.Equal(again.GetDocument(), a.answer.GetDocument()) {
			replayed++
		}
	}
	t.Logf("%d signed by the node that died, %d of the other %d found again", ofDead, replayed, len(signed)-ofDead)
	w.book.figure("signatures that the killed node had given out, each naming its record in the log", "%d", ofDead)
	w.book.figure("of the others, those found again under their ids with the same octets", "%d of %d", replayed, len(signed)-ofDead)
	// Ids that rank the dead node first were taken over by another one while it was away, and go back to it now.
	if ofDead == 0 || replayed < (len(signed)-ofDead)/2 {
		t.Error("too few")
	}
}

func (w *trio) fingerprint(t *testing.T, n *Node) string {
	t.Helper()
	answer, err := w.dial(t, client.RoundRobin, n.Address).Keys.GetKey(t.Context(), &pb.GetKeyRequest{Key: n.Key})
	check(t, err)
	return answer.GetKey().GetCertificateFingerprint()
}

// rolls restarts one node after the other while they sign.
func (w *trio) rolls(t *testing.T) {
	c := w.dial(t, client.RoundRobin, w.addresses()...)
	w.sign(t, c, 900, func() {
		for _, n := range w.nodes {
			n.Stop()
			w.book.serves("node stopped in order and started", func() { n.Start(t) })
			time.Sleep(500 * time.Millisecond) // its clients come back
		}
	})
}

// logs has every node's log verified.
func (w *trio) logs(t *testing.T) {
	for _, n := range w.nodes {
		if strings.Contains(n.Log(), "cut off") {
			t.Errorf("calls were cut off: %s", n.Log())
		}
		size, err := verifyLog(t.Context(), filepath.Join(n.Dir, "audit"))
		t.Logf("%s: %d records", n.Address, size)
		if err != nil || size == 0 {
			t.Errorf("%s: %d records, %v", n.Address, size, err)
		}
	}
}

// verifyLog checks all of a log and gives the number of its records.
func verifyLog(ctx context.Context, dir string) (uint64, error) {
	d, err := tlog.OpenDir(dir)
	if err != nil {
		return 0, err
	}
	key, err := d.Key()
	if err != nil {
		return 0, err
	}
	v, err := d.Verify(ctx, key)
	if err != nil {
		return 0, err
	}
	if len(v.Findings) > 0 {
		return v.Records(), fmt.Errorf("%v", v.Findings)
	}
	return v.Records(), nil
}
