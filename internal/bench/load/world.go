package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/load"
	"github.com/epov-signer/epov/internal/nodes"
	"github.com/epov-signer/epov/softhsm"
)

const keyID = "EXMP01/ov/1"

// world is what daemons are started in.
type world struct {
	testing.TB
	bin  string
	site *nodes.Site
}

func newWorld(tb testing.TB, bin string) *world {
	return &world{TB: tb, bin: bin, site: nodes.NewSite(tb, filepath.Join(bin, "epovd"))}
}

// setting of a daemon.
type setting struct {
	sessions int
	delay    time.Duration // that a signature takes longer on the token
	silent   bool          // without an audit log
	extra    string        // lines of the configuration
}

// service is a daemon at work.
type service struct {
	*nodes.Node
	world   *world
	token   *softhsm.Token
	metrics string
}

// start starts a daemon on a token of its own, with an audit log, as it is in production.
func (w *world) start(s setting) *service {
	var token *softhsm.Token
	var slow *softhsm.Faulty
	if s.delay > 0 {
		slow = softhsm.NewFaulty(w)
		token = slow.Token
	} else {
		token = softhsm.New(w)
	}
	furnished := w.site.Furnish(w, token, keyID)
	if slow != nil {
		slow.Set(fmt.Sprintf("call C_Sign delay=%v", s.delay))
	}
	address := free(w)
	extra := fmt.Sprintf("metrics: {listen: %q}\n%s\n", address, s.extra)
	if !s.silent {
		extra += "audit: {directory: audit, name: load.example/audit}\n"
	}
	n := w.site.Node(w, furnished, nodes.Options{Token: fmt.Sprintf(", sessions: %d", s.sessions), Extra: extra})
	n.Start(w)
	return &service{Node: n, world: w, token: token, metrics: "http://" + address + "/metrics"}
}

func free(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// caller makes an operation over so many connections. end lets go of them.
func (s *service) caller(name string, octets, connections int, told func(*pb.Timings)) (op load.Operation, end func(), err error) {
	t := &load.Target{Key: s.Key, Size: octets, Told: told}
	undo := func() {
		for _, c := range t.Clients {
			_ = c.Close()
		}
	}
	for range connections {
		c, err := client.Dial(client.Config{Addresses: []string{s.Address}, TLS: s.world.site.TLS(), Health: client.NoHealth})
		if err != nil {
			undo()
			return nil, nil, err
		}
		t.Clients = append(t.Clients, c)
	}
	op, done, err := t.Prepare(context.Background(), name)
	if err == nil {
		err = op(context.Background()) // what is wrong at all is wrong at once
	}
	if err != nil {
		undo()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return op, func() { done(); undo() }, nil
}

// busy keeps callers at work for a time and says what came of it.
func (s *service) busy(op load.Operation, callers int, d time.Duration) (c cell, err error) {
	if _, err := load.Closed(context.Background(), op, callers, d/8); err != nil {
		return c, err
	}
	var n atomic.Int64
	counted := func(ctx context.Context) error {
		n.Add(1)
		return op(ctx)
	}
	daemon, module := s.Spent()
	own := spent()
	c.PerSecond, err = load.Closed(context.Background(), counted, callers, d)
	daemon2, module2 := s.Spent()
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(n.Load()) }
	c.Daemon, c.Module, c.Client = each(daemon2-daemon), each(module2-module), each(spent()-own)
	return c, err
}

// spent is the processor time of this process, which has the clients.
func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // not for its own process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bare is signatures in a second of a loop in C on a token, that does nothing else.
func (w *world) bare(t *softhsm.Token, sessions int, d time.Duration) (float64, error) {
	cmd := exec.Command(filepath.Join(w.bin, "tokenloop"), t.Module, t.Label, t.PIN, strconv.Itoa(sessions))
	cmd.Env, cmd.Stderr = append(os.Environ(), "SOFTHSM2_CONF="+t.Conf), os.Stderr
	cmd.Stdin = strings.NewReader(fmt.Sprintf("%d\n", d.Milliseconds()))
	out, err := cmd.Output()
	var perSpent, perSecond float64
	if _, scan := fmt.Sscan(string(out), &perSpent, &perSecond); !errors.Is(scan, io.EOF) {
		err = errors.Join(err, scan)
	}
	return perSecond, err
}

// busy is the load average of the last minute; 0 when it is not told.
func busy() (load float64) {
	text, _ := os.ReadFile("/proc/loadavg") // what is not told stays unknown
	_, _ = fmt.Sscan(string(text), &load)   // as above
	return load
}

// machine says where the figures are from, as far as it matters: never its name.
func machine() string {
	field := func(file, name string) string {
		text, _ := os.ReadFile(file) // what is not told stays unknown
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
				return strings.TrimSpace(value)
			}
		}
		return "unknown"
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	kernel := strings.TrimRight(regexp.MustCompile(`^[0-9.]*`).FindString(string(release)), ".") // what follows is a builder's
	return fmt.Sprintf("%s, %d processors, Linux %s, %s, %s/%s, SoftHSM 2.6.1 with this project's patches",
		field("/proc/cpuinfo", "model name"), runtime.NumCPU(), kernel, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
