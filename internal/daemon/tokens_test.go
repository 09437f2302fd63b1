package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/processes"
	"github.com/epov-signer/epov/internal/sandbox"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/softhsm"
)

// moving is a daemon whose key is on two tokens, of which its configuration names one or both.
type moving struct {
	folder
	tokens [2]string // their lines
	d      *Daemon
	log    *await.Log
	sign   epovpb.SignServiceClient
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{folder: folder(t.TempDir()), log: &await.Log{}}
	private, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		t.Fatal(err)
	}
	cert := testpki.NewCA(t, gost.GOST2012_256, "tc26-256-B").Issue(t, private.Public().(*gost.PublicKey),
		testpki.Template{CommonName: "moving"})
	m.pem(t, "cert.pem", "CERTIFICATE", cert.Raw)
	for i := range m.tokens {
		soft := softhsm.NewFaulty(t)
		state := filepath.Join(string(m.folder), fmt.Sprint("state", i))
		token, err := hsm.Open(t.Context(), hsm.TokenConfig{
			Module: soft.Module, Label: soft.Label, PIN: hsm.PINValue(hsm.NewPIN([]byte(soft.PIN))), StateDir: state,
		}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.ImportKey(t.Context(), "EXMP01/ov/1", private); err != nil {
			t.Fatal(err)
		}
		if _, err := token.GenerateKey(t.Context(), "EXMP01/own/1", gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A")); err != nil {
			t.Fatal(err)
		}
		if err := token.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.write(t, fmt.Sprint("pin", i), []byte(soft.PIN))
		m.tokens[i] = fmt.Sprintf("  - {name: t%d, module: %q, label: %q, pin: {file: pin%d}, state_dir: %q, vendor: softhsm, sandbox: {write: [%q, %q]}}\n",
			i, soft.Module, soft.Label, i, state, filepath.Dir(soft.Module), filepath.Dir(soft.Conf))
	}
	return m
}

// put writes a configuration with these lines of tokens, and the key where it says.
func (m *moving) put(t *testing.T, tokens, replicas string, more ...string) string {
	t.Helper()
	return m.write(t, "epovd.yaml", fmt.Appendf(nil, `listen: 127.0.0.1:0
insecure: true
tokens:
%skeys:
  - {name: keys/EXMP01/ov, primary: 1, versions: [{version: 1, %s, certificate: cert.pem}]}
roles: [{name: signer, allow: [{keys: [keys/*], operations: [sign-xml, sign-digest, list]}]}]
clients: [{name: local, anyone: true, roles: [signer]}]
%s`, tokens, replicas, strings.Join(more, "")))
}

func (m *moving) start(t *testing.T) {
	t.Helper()
	c, err := Load(filepath.Join(string(m.folder), "epovd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.confined = sandbox.Report{}
	m.startWith(t, c)
}

func (m *moving) startWith(t *testing.T, c *Config) {
	t.Helper()
	var err error
	if m.d, err = Start(t.Context(), c, slog.New(slog.NewTextHandler(m.log, nil))); err != nil {
		t.Fatal(err)
	}
	serve(t, m.d)
	conn, err := grpc.NewClient(m.d.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m.sign = epovpb.NewSignServiceClient(conn)
}

func (m *moving) call() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := m.sign.SignXml(ctx, &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)})
	return err
}

// A second token joins a first under load, takes the key over, and the first goes; there and back, with other settings and other
// limits on the way. No call fails for it, and of a token that has gone neither session nor process is left.
func TestTokensExchangedUnderLoad(t *testing.T) {
	m := newMoving(t)
	zero, one := m.tokens[0], m.tokens[1]
	m.put(t, zero, "token: t0")
	m.start(t)
	if err := m.call(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // for the module's spare process
	alive := len(processes.Children(os.Getpid()))
	stop := make(chan struct{})
	var group sync.WaitGroup
	var signed atomic.Int64
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := m.call(); err != nil {
					t.Errorf("refused: %v", err)
				}
				signed.Add(1)
			}
		})
	}
	other := strings.Replace(one, "vendor: softhsm", "vendor: softhsm, sessions: 2, queue: 64", 1)
	for round, step := range []struct{ tokens, replicas string }{
		{zero + one, "replicas: [{token: t0}, {token: t1}]"},
		{one, "token: t1"},
		{other, "token: t1"},
		{zero + other, "token: t0"},
		{zero, "token: t0"},
		{one, "token: t1"},
		{zero, "token: t0"},
	} {
		m.put(t, step.tokens, step.replicas, fmt.Sprintf("limits: {calls: %d, watch_seconds: %d}\n", 100+round, 1+round))
		before := signed.Load()
		out := m.d.Reload(t.Context())
		if outcome(t, out, "keys").Result != TakenOver || outcome(t, out, "limits").Result != TakenOver {
			t.Fatalf("round %d: %+v\n%s", round, out, m.log)
		}
		if got, want := len(m.d.tokens.Health().Tokens), strings.Count(step.tokens, "- {name"); got != want {
			t.Errorf("round %d: %d tokens, want %d", round, got, want)
		}
		await.True(t, "more signatures", func() bool { return signed.Load() >= before+20 })
	}
	close(stop)
	group.Wait()
	await.Children(t, alive)
	await.True(t, "the end of five tokens", func() bool { // which the log tells of after their processes have ended
		return strings.Count(m.log.String(), "the token was let go of") >= 5
	})
	if strings.Contains(m.log.String(), "out of order") {
		t.Error(m.log)
	}
	if out := m.d.Reload(t.Context()); strings.Count(outcomes(out), "unchanged") != 8 {
		t.Errorf("nothing has changed: %+v", out)
	}
}

// What cannot be done while the process runs is named, and what does not come off changes nothing; the key signs on.
func TestTokensThatDoNotCome(t *testing.T) {
	m := newMoving(t)
	zero, one := m.tokens[0], m.tokens[1]
	m.put(t, zero, "token: t0")
	m.start(t)
	outside := t.TempDir()
	for _, test := range []struct {
		name, tokens, replicas string
		result                 Result
		says                   string
	}{
		{"it is away", zero + strings.Replace(one, `label: "`, `label: "none`, 1), "token: t0", Refused, "no token has label"},
		{"no such module", zero + strings.Replace(one, `module: "`, `module: "/none`, 1), "token: t0", Refused, "no such file"},
		{"no PIN", zero + strings.Replace(one, "pin1", "pin2", 1), "token: t0", Refused, "no such file"},
		{"another key", one, "token: t1, id: EXMP01/own/1", Refused, "another key"},
		{"no such key", one, "token: t1, id: EXMP01/none/1", Refused, "no private key has this id"},
		{"nobody has it", one, "token: t0", Refused, `no token named "t0"`},
		{"within the process", zero + strings.Replace(one, "vendor: softhsm,", "isolation: none,", 1), "token: t0",
			Restart, "token t1: a module within"},
		{"by a descriptor", zero + strings.Replace(one, "{file: pin1}", "{descriptor: 9}", 1), "token: t0", Restart,
			"token t1: its PIN comes by a descriptor"},
		{"outside", zero + strings.Replace(one, filepath.Join(string(m.folder), "state1"), filepath.Join(outside, "state"), 1), "token: t0",
			Restart, "confined at its start"},
	} {
		if test.name == "outside" {
			m.d.config.confined = sandbox.Report{{Name: sandbox.Landlock, InForce: true}}
		}
		m.put(t, test.tokens, test.replicas, "log: {level: warn}\n")
		out := m.d.Reload(t.Context())
		var got Outcome
		for _, o := range out {
			if o.Result == test.result && o.Message != heldBack {
				got = o
			}
		}
		text := got.Message
		for _, f := range got.Findings {
			text += f.Message
		}
		if got.Part != "keys" && got.Part != "configuration" || !strings.Contains(text, test.says) {
			t.Errorf("%s: %+v", test.name, out)
		}
		if logged := outcome(t, out, "log"); test.result == Refused && logged.Result == TakenOver ||
			test.result == Restart && logged.Result == Refused {
			t.Errorf("%s: the log is %+v", test.name, logged)
		}
		if err := m.call(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if n := len(m.d.tokens.Health().Tokens); n != 1 {
			t.Errorf("%s: %d tokens", test.name, n)
		}
	}
}
