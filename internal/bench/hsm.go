package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/processes"
	"github.com/epov-signer/epov/softhsm"
)

const hsmKey = "EXMP01/ov/1"

// hsmGroup prints its lines itself: most are no comparison of two operations.
func hsmGroup(peers string, rounds int) error {
	tb := &oracle.Program{}
	defer tb.End()
	if len(only) > 0 {
		if wants("hsm/crossing") {
			compareCrossing(rounds)
		}
		if wants("hsm/crypto11-throughput", "hsm/crypto11-slow", "hsm/crypto11-overload", "hsm/crypto11-after-loss") {
			comparePools(tb, rounds)
		}
		return nil
	}
	compareCrossing(rounds)
	compareWorker(rounds)
	compareOverhead(tb, rounds)
	compareThroughput(tb, peers, rounds)
	comparePools(tb, rounds)
	measureOverload(tb, peers, rounds)
	measureRecoveries(tb)
	return nil
}

// plant is a scheduler on one token.
type plant struct {
	*hsm.Scheduler
	key    *hsm.Key
	public *gost.PublicKey
	digest []byte
}

// startPlant starts one; a token other than noop's gets a key first, unless it has one.
func startPlant(tb *oracle.Program, t *softhsm.Token, id string, cfg hsm.TokenConfig, trace *hsm.Trace) *plant {
	ctx := context.Background()
	cfg.Name, cfg.Module, cfg.Label, cfg.Serial = "token", t.Module, t.Label, t.Serial
	cfg.PIN, cfg.StateDir = hsm.PINValue(hsm.NewPIN([]byte(t.PIN))), filepath.Join(tb.TempDir(), "state")
	cfg.Sandbox.Write = []string{filepath.Dir(t.Module), filepath.Dir(t.Conf)}
	s, err := hsm.Start(ctx, hsm.SchedulerConfig{
		Tokens: []hsm.TokenConfig{cfg}, Keys: []hsm.KeyConfig{{Name: "k", Replicas: []hsm.KeyRef{{Token: "token", ID: id}}}},
		Canary: -1, Trace: trace,
	}, slog.New(slog.DiscardHandler))
	must(err)
	p := &plant{Scheduler: s, digest: make([]byte, 32)}
	p.key, err = s.Key("k")
	must(err)
	p.public = p.key.Public()
	rand.Read(p.digest)
	return p
}

// generate puts a key on a token.
func generate(tb *oracle.Program, t *softhsm.Token) {
	ctx := context.Background()
	token, err := hsm.Open(ctx, hsm.TokenConfig{
		Module: t.Module, Serial: t.Serial, PIN: hsm.PINValue(hsm.NewPIN([]byte(t.PIN))), StateDir: filepath.Join(tb.TempDir(), "state"),
	}, slog.New(slog.DiscardHandler))
	must(err)
	_, err = token.GenerateKey(ctx, hsmKey, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	must(err)
	must(token.Close(ctx))
}

func (p *plant) sign(ctx context.Context) (gost.Verified, error) {
	return p.Submit(ctx, p.key, p.digest, hsm.Flow{Client: "bench", Weight: 1})
}

// submit is sign for those who do not want the signature.
func (p *plant) submit(ctx context.Context) error {
	_, err := p.sign(ctx)
	return err
}

func (p *plant) close() { must(p.Scheduler.Close(context.Background())) }

// compareOverhead tells what Submit costs besides the module's own time, beside nothing but the way into the module and back
// that others take. The module is one that takes next to no time. The cost of verification is measured in turns and taken off.
func compareOverhead(tb *oracle.Program, rounds int) {
	soft := softhsm.NewNoop(tb)
	inside := startPlant(tb, soft, softhsm.NoopKey, hsm.TokenConfig{Isolation: hsm.InProcess}, nil)
	defer inside.close()
	outside := startPlant(tb, softhsm.NewNoop(tb), softhsm.NoopKey, hsm.TokenConfig{Isolation: hsm.Separate}, nil)
	defer outside.close()
	sign := func(p *plant) func() {
		return func() {
			_, err := p.sign(context.Background())
			must(err)
		}
	}
	signature, err := inside.sign(context.Background())
	must(err)
	prepared := gost.Prepare(inside.public)
	verify := func() { must(prepared.Verify(inside.digest, signature.Signature())) }
	peer := miekgLoop(softhsm.NewNoop(tb))

	var ours, single, theirs, separate []float64
	const calls = 3200
	cost := func(callers int, op func()) float64 {
		start := spentWithChildren()
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				for range calls / callers {
					op()
				}
			})
		}
		group.Wait()
		return float64(spentWithChildren()-start) / calls
	}
	const many = 16
	for range 7 * rounds { // short turns, so that both sides of a difference meet the same neighbours
		v, w := cost(1, verify), cost(many, verify)
		in := cost(many, sign(inside))
		ours, single = append(ours, in-w), append(single, cost(1, sign(inside))-v)
		theirs = append(theirs, cost(1, peer))
		separate = append(separate, (cost(many, sign(outside))-in)/1e3)
	}
	a, b := median(ours), median(theirs)
	fmt.Printf("ratio hsm/submit-noop %.2f (ours %s, peer %s, which neither queues nor lets a caller go; a caller alone %s)\n",
		b/a, perOperation(a), perOperation(b), perOperation(median(single)))
	fmt.Printf("ratio hsm/submit-worker-us %.1f (processor time of both processes, over that in process)\n", median(separate))
}

// miekgLoop is C_SignInit and C_Sign through miekg/pkcs11.
func miekgLoop(t *softhsm.Token) func() {
	ctx := pkcs11.New(t.Module)
	must(ctx.Initialize())
	slots, err := ctx.GetSlotList(true)
	must(err)
	session, err := ctx.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION)
	must(err)
	must(ctx.Login(session, pkcs11.CKU_USER, t.PIN))
	must(ctx.FindObjectsInit(session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}))
	found, _, err := ctx.FindObjects(session, 1)
	must(err)
	must(ctx.FindObjectsFinal(session))
	mechanism, digest := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GOSTR3410, nil)}, make([]byte, 32)
	return func() {
		must(ctx.SignInit(session, mechanism, found[0]))
		_, err := ctx.Sign(session, digest)
		must(err)
	}
}

// spentWithChildren is the processor time of this process and its children that live.
func spentWithChildren() time.Duration {
	sum := spent()
	for _, pid := range processes.Children(os.Getpid()) {
		sum += processes.Time(pid)
	}
	return sum
}

// compareThroughput has as many sessions sign as fast as they can, through Submit with its verification and in a bare loop in
// C, in turns. What counts is signatures in a second; those in a second of processor time stand beside them. The figure is that
// of SoftHSM as others have it; with our patches a signature takes so little that its verification shows.
func compareThroughput(tb *oracle.Program, peers string, rounds int) {
	sessions := 2 * runtime.GOMAXPROCS(0)
	for _, v := range []struct {
		name  string
		token *softhsm.Token
	}{{"hsm/submit-softhsm", softhsm.NewStock(tb)}, {"hsm/submit-softhsm-patched", softhsm.New(tb)}} {
		must(os.Setenv("SOFTHSM2_CONF", v.token.Conf))
		generate(tb, v.token)
		peer, err := startLoop(filepath.Join(peers, "tokenloop"), v.token, sessions)
		must(err)
		p := startPlant(tb, v.token, hsmKey, hsm.TokenConfig{Isolation: hsm.InProcess, Sessions: sessions}, nil)
		var ours, theirs, oursWall, theirsWall []float64
		for range 2 * rounds {
			a, b := p.throughput(2*sessions, 2*slice), peer.throughput(2*slice)
			ours, oursWall = append(ours, a.perSpent), append(oursWall, a.perSecond)
			theirs, theirsWall = append(theirs, b.perSpent), append(theirsWall, b.perSecond)
		}
		p.close()
		peer.end()
		a, b := median(ours), median(theirs)
		c, d := median(oursWall), median(theirsWall)
		fmt.Printf("ratio %s %.2f (ours %.0f/s, peer %.0f/s; %d sessions)\n", v.name, c/d, c, d, sessions)
		fmt.Printf("ratio %s-cpu %.2f (ours %.0f, peer %.0f signatures in a second of processor time)\n", v.name, a/b, a, b)
	}
}

// pace is signatures in a second: of processor time, and on the clock, of which neighbours take their share.
type pace struct{ perSpent, perSecond float64 }

func (p *plant) throughput(callers int, d time.Duration) pace { return busy(p.submit, callers, d) }

// busy keeps callers at work for a time.
func busy(sign signing, callers int, d time.Duration) pace {
	var n atomic.Int64
	var group sync.WaitGroup
	begun, before := time.Now(), spent()
	for range callers {
		group.Go(func() {
			for time.Since(begun) < d {
				must(sign(context.Background()))
				n.Add(1)
			}
		})
	}
	group.Wait()
	return pace{float64(n.Load()) / (spent() - before).Seconds(), float64(n.Load()) / time.Since(begun).Seconds()}
}

// loop is peer/tokenloop.c at work.
type loop struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startLoop(program string, t *softhsm.Token, threads int) (*loop, error) {
	cmd := exec.Command(program, t.Module, t.Label, t.PIN, strconv.Itoa(threads))
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+t.Conf)
	in, err := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	return &loop{cmd, in, bufio.NewReader(out)}, errors.Join(err, err2, cmd.Start())
}

func (l *loop) throughput(d time.Duration) (p pace) {
	_, err := fmt.Fprintln(l.in, d.Milliseconds())
	must(err)
	line, err := l.out.ReadString('\n')
	must(err)
	_, err = fmt.Sscan(line, &p.perSpent, &p.perSecond)
	must(err)
	return p
}

func (l *loop) end() {
	must(l.in.Close())
	must(l.cmd.Wait())
}

// percentile of durations; 0 when there are none.
func percentile(v []time.Duration, p float64) time.Duration {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(int(p*float64(len(v))), len(v)-1)]
}
