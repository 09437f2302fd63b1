package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/softhsm"
)

type config struct {
	phase     string
	isolation hsm.Isolation
	n         int
	seed      uint64
	rest      bool // leave a module that was upset alone for a while, so that its bound on starts is not what is measured
	verbose   bool
}

const (
	callTime = 300 * time.Millisecond
	patience = time.Minute             // for a token to come back
	rest     = 2600 * time.Millisecond // a process is made with a spare, and eight may be in ten seconds
)

// target is one token.
type target struct {
	*softhsm.Faulty
	name   string
	cfg    hsm.TokenConfig
	locked bool         // waits for an operator from now on
	pid    atomic.Int64 // of the module's process
	good   atomic.Int64 // when it last gave a good signature, in Unix nanoseconds
	dead   time.Time    // when the module was upset last
	upset  atomic.Int64 // how often it has left hsm.Ready
	lines  []string     // that always hold
}

// set says what is wrong with the token from now on.
func (t *target) set(lines ...string) {
	t.Set(append(t.lines[:len(t.lines):len(t.lines)], lines...)...)
}

// signer is a key that both tokens have, and what is known of it without them.
type signer struct {
	name   string
	id     string
	public *gost.PublicKey
}

type exercise struct {
	config
	tb      testing.TB
	s       *hsm.Scheduler
	targets [2]*target
	keys    []signer
	log     *journal
	book    *book
	pace    *pacer
}

// run is one phase.
func run(tb testing.TB, c config) *report {
	x := &exercise{config: c, tb: tb, log: &journal{aloud: c.verbose}, book: newBook(c)}
	for i := range x.targets {
		x.targets[i] = x.newTarget([]string{"one", "two"}[i])
	}
	x.makeKeys()
	x.start()
	x.stop() // what the runtime and libraries keep for good they keep from now on
	before, begun := inventory(), time.Now()
	x.start()
	x.exercise()
	closing := time.Now()
	x.stop()
	r := &x.book.report
	r.took, r.closing, r.leaks = closing.Sub(begun), time.Since(closing), before.leaks()
	x.book.sample.check(tb, x.book)
	for _, t := range x.targets {
		r.tries = append(r.tries, spent{t.name, t.WrongPINs(), t.Calls("C_Login"), t.locked})
	}
	return x.book.finish()
}

func (x *exercise) newTarget(name string) *target {
	t := &target{Faulty: softhsm.NewFaulty(x.tb), name: name, lines: []string{"pin-tries 10"}}
	t.cfg = hsm.TokenConfig{
		Name: name, Module: t.Module, Serial: t.Serial, PIN: hsm.PINValue(hsm.NewPIN([]byte(t.PIN))),
		StateDir: filepath.Join(x.tb.TempDir(), "state"), Isolation: x.isolation, CallTime: callTime, Sessions: 4,
		Sandbox: hsm.Sandbox{Write: []string{filepath.Dir(t.Module), filepath.Dir(t.Conf)}},
	}
	t.set()
	return t
}

// makeKeys puts the same keys on both tokens.
func (x *exercise) makeKeys() {
	small, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	must(err)
	large, err := gost.GenerateKey(rand.Reader, gost.GOST2012_512, gost.ParamSetByName("tc26-512-A"))
	must(err)
	x.keys = []signer{
		{"small", "EXMP01/ov/1", small.Public().(*gost.PublicKey)}, {"large", "EXMP01/ov/2", large.Public().(*gost.PublicKey)},
	}
	for _, t := range x.targets {
		token, err := hsm.Open(context.Background(), t.cfg, slog.New(slog.DiscardHandler))
		must(err)
		for i, private := range []*gost.PrivateKey{small, large} {
			_, err := token.ImportKey(context.Background(), x.keys[i].id, private)
			must(err)
		}
		must(token.Close(context.Background()))
	}
}

// keyConfigs are the keys on both tokens, and one on each by itself, which tells whether that token serves.
func (x *exercise) keyConfigs() (list []hsm.KeyConfig) {
	one, two := x.targets[0].name, x.targets[1].name
	for _, k := range x.keys {
		list = append(list, hsm.KeyConfig{Name: k.name, Replicas: []hsm.KeyRef{{Token: one, ID: k.id}, {Token: two, ID: k.id}}})
	}
	for _, t := range x.targets {
		list = append(list, hsm.KeyConfig{Name: t.name, Replicas: []hsm.KeyRef{{Token: t.name, ID: x.keys[0].id}}})
	}
	return list
}

func (x *exercise) start() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := hsm.SchedulerConfig{Keys: x.keyConfigs(), RestartPause: 200 * time.Millisecond, Trace: &hsm.Trace{
		Signed: func(s hsm.Signing) {
			if t := x.target(s.Token); s.Err == nil && t != nil {
				t.good.Store(time.Now().UnixNano())
			}
		},
		State: func(token string, s hsm.State, _ error) {
			if t := x.target(token); t != nil && s != hsm.Ready {
				t.upset.Add(1)
			}
		},
	}}
	for _, t := range x.targets {
		cfg.Tokens = append(cfg.Tokens, t.cfg)
	}
	x.log.seen = x.noteProcess
	var err error
	x.s, err = hsm.Start(ctx, cfg, slog.New(slog.NewTextHandler(x.log, nil)))
	must(err)
}

func (x *exercise) target(name string) *target {
	for _, t := range x.targets {
		if t.name == name {
			return t
		}
	}
	return nil
}

func (x *exercise) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := x.s.Close(ctx); err != nil {
		x.book.stray("close: " + err.Error())
	}
}

// exercise asks for signatures and upsets the tokens until all have been asked for.
func (x *exercise) exercise() {
	x.pace = newPacer(x.n)
	clients := x.startClients()
	plan := newPlan(x.config)
	for i, e := range plan.events {
		x.pace.release(x.n*(i+1)/len(plan.events), e.calm+e.hold)
		x.pass(e)
	}
	x.pace.rest()
	x.await(clients)
}

// pass lets one event happen and waits until the token has got over it.
func (x *exercise) pass(e event) {
	time.Sleep(e.calm)
	if e.last {
		x.lockOut(x.targets[e.strikes[0].target])
		return
	}
	var hit []*target
	for _, s := range e.strikes {
		if t := x.targets[s.target]; !t.locked {
			hit = append(hit, t)
		} else {
			hit = append(hit, nil)
		}
	}
	record := x.book.begin(e, hit)
	var group sync.WaitGroup
	for i, s := range e.strikes {
		if t := hit[i]; t != nil {
			group.Go(func() { x.strike(t, s, e.hold) })
		}
	}
	group.Wait()
	x.book.end(record)
}

func (x *exercise) strike(t *target, s strike, hold time.Duration) {
	f := &faults[s.fault]
	if f.class == module {
		if x.rest {
			time.Sleep(time.Until(t.dead.Add(rest)))
		}
		defer func() { t.dead = time.Now() }()
	}
	upset := t.upset.Load()
	if x.verbose {
		fmt.Printf("%s: %s %q\n", t.name, f.name, s.lines)
	}
	t.set(s.lines...)
	if f.act != nil {
		f.act(x, t)
	}
	if f.brief {
		x.struck(t, upset)
	} else {
		time.Sleep(hold)
	}
	t.set()
	lifted := time.Now()
	took, err := x.recovered(t, lifted)
	if err != nil {
		x.book.stray(fmt.Sprintf("token %s did not come back after %q %q: %v", t.name, f.name, s.lines, err))
	}
	x.book.recovery(s, took)
	x.operate(t)
}

// struck waits until a fault has struck, and sees to it that there is something to strike.
func (x *exercise) struck(t *target, upset int64) {
	var over atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		for !over.Load() {
			_ = x.probe(t, 20*time.Millisecond)
			time.Sleep(time.Millisecond)
		}
	})
	for end := time.Now().Add(4 * callTime); t.upset.Load() == upset && time.Now().Before(end); {
		time.Sleep(200 * time.Microsecond)
	}
	t.set()
	over.Store(true)
	group.Wait()
}

// recovered waits for the next good signature of the token.
func (x *exercise) recovered(t *target, since time.Time) (time.Duration, error) {
	var err error
	for time.Since(since) < patience {
		if err = x.probe(t, 2*time.Second); err == nil || t.good.Load() > since.UnixNano() {
			return time.Unix(0, t.good.Load()).Sub(since), nil
		}
		if hsm.KindOf(err) == hsm.WrongSignature {
			x.operate(t)
		}
		time.Sleep(500 * time.Microsecond)
	}
	return time.Since(since), err
}

// probe asks one token for a signature.
func (x *exercise) probe(t *target, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	key, err := x.s.Key(t.name)
	if err != nil {
		return err
	}
	digest := make([]byte, x.keys[0].public.Algorithm.Digest.Size)
	_, _ = rand.Read(digest)
	signature, err := x.s.Submit(ctx, key, digest, hsm.Flow{Client: "operator", Weight: 16})
	if err == nil {
		x.book.verify(x.keys[0].public, digest, signature.Signature())
	}
	return err
}

// operate does what an operator does about keys that were taken out of service for a wrong signature: has them proved anew.
func (x *exercise) operate(t *target) {
	for _, cfg := range x.keyConfigs() {
		k, err := x.s.Key(cfg.Name)
		must(err)
		out := false
		for _, h := range x.s.Health().Keys {
			for _, r := range h.Replicas {
				out = out || h.Name == k.Name() && r.Err != nil && hsm.KindOf(r.Err) == hsm.WrongSignature
			}
		}
		for end := time.Now().Add(patience); out; {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := x.s.ReplaceKey(ctx, cfg)
			cancel()
			if err == nil {
				x.book.replaced()
				break
			}
			if time.Now().After(end) {
				x.book.stray(fmt.Sprintf("key %s of token %s is not taken into service again: %v", cfg.Name, t.name, err))
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// lockOut leaves the service with a PIN that is no longer right, as if somebody had changed it on the token. In this process,
// where the module is initialised already, the token says that it is locked.
func (x *exercise) lockOut(t *target) {
	x.book.lock(t)
	if x.isolation == hsm.Separate {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := hsm.ChangePIN(ctx, t.cfg, hsm.NewPIN([]byte(rand.Text()[:12])))
		must(err)
	} else {
		t.lines = append(t.lines, "flags 0x40000")
		t.set("call C_SignInit times=1 return=0x190") // a new start is the end of any login
	}
	t.KillSessions()
	next := signalWorker(killed) // SoftHSM keeps what belongs to the PIN for as long as it is initialised
	next(x, t)
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if hsm.KindOf(x.probe(t, time.Second)) == hsm.PINRefused {
			break
		}
		if time.Now().After(end) {
			x.book.stray("token " + t.name + " does not wait for an operator, though its PIN is refused")
			return
		}
	}
	next(x, t) // which knows of it as well
}

// Signals for the module's process.
const (
	killed  = syscall.SIGKILL
	stopped = syscall.SIGSTOP
)

func signalWorker(signal syscall.Signal) func(*exercise, *target) {
	return func(_ *exercise, t *target) {
		if pid := t.pid.Load(); pid > 0 { // else it is this one
			_ = syscall.Kill(int(pid), signal) // it may have gone by itself
		}
	}
}

var processLine = regexp.MustCompile(`msg="module runs in a process of its own" module=(\S+) pid=(\d+)`)

// noteProcess finds in the log which process a module runs in.
func (x *exercise) noteProcess(line []byte) {
	found := processLine.FindSubmatch(line)
	if found == nil {
		return
	}
	for _, t := range x.targets {
		if pid, err := strconv.ParseInt(string(found[2]), 10, 64); err == nil && t.Module == string(found[1]) {
			t.pid.Store(pid)
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
