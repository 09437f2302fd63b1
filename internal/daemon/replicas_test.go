package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/softhsm"
)

// A key on two tokens, each in a module of its own, of which one is taken away and brought back, crashes and hangs while
// callers sign: none of them notices. When both are away callers hear at once when to ask again; tokens that were away at the
// start serve when they come.
func TestReplicas(t *testing.T) {
	f := folder(t.TempDir())
	ca := testpki.NewCA(t, gost.GOST2012_256, "tc26-256-B")
	private, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		t.Fatal(err)
	}
	cert := ca.Issue(t, private.Public().(*gost.PublicKey), testpki.Template{CommonName: "replicated"})
	f.pem(t, "cert.pem", "CERTIFICATE", cert.Raw)
	var tokens [2]*softhsm.Faulty
	config := "listen: 127.0.0.1:0\ninsecure: true\ntokens:\n"
	for i := range tokens {
		soft := softhsm.NewFaulty(t)
		tokens[i] = soft
		state := filepath.Join(string(f), fmt.Sprint("state", i))
		token, err := hsm.Open(t.Context(), hsm.TokenConfig{
			Module: soft.Module, Label: soft.Label, PIN: hsm.PINValue(hsm.NewPIN([]byte(soft.PIN))), StateDir: state,
		}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"EXMP01/ov/1", "EXMP01/bare/1"} {
			if _, err := token.ImportKey(t.Context(), id, private); err != nil {
				t.Fatal(err)
			}
		}
		if err := token.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.write(t, fmt.Sprint("pin", i), []byte(soft.PIN))
		config += fmt.Sprintf("  - {name: t%d, module: %q, label: %q, pin: {file: pin%d}, state_dir: %q, call_seconds: 1,\n"+
			"     vendor: softhsm, sandbox: {write: [%q, %q]}}\n",
			i, soft.Module, soft.Label, i, state, filepath.Dir(soft.Module), filepath.Dir(soft.Conf))
	}
	config += `
keys:
  - {name: keys/EXMP01/ov, primary: 1, versions: [{version: 1, replicas: [{token: t0}, {token: t1}], certificate: cert.pem}]}
  - {name: keys/EXMP01/bare, primary: 1, versions: [{version: 1, token: t0}]}
roles:
  - {name: signer, priority: high, allow: [{keys: [keys/*], operations: [sign-xml, list]}]}
clients:
  - {name: local, anyone: true, share: 2, roles: [signer]}
`
	c, err := Load(f.write(t, "epovd.yaml", []byte(config)))
	if err != nil {
		t.Fatal(err)
	}
	for _, soft := range tokens {
		soft.Set("unplug")
	}
	log := &await.Log{}
	d, err := Start(t.Context(), c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, d)
	conn, err := grpc.NewClient(d.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	health, client := healthpb.NewHealthClient(conn), epovpb.NewSignServiceClient(conn)
	sign := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := client.SignXml(ctx, &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)})
		return err
	}

	waitFor(t, health, healthpb.HealthCheckResponse_NOT_SERVING)
	if err := sign(); status.Code(err) != codes.Unavailable {
		t.Errorf("both tokens are away: %v", err)
	}
	// A key of which nothing is known yet is listed all the same.
	list := func(bare epovpb.KeyState, algorithm string) {
		t.Helper()
		keys, err := epovpb.NewKeyServiceClient(conn).ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		if err != nil || len(keys.Keys) != 2 {
			t.Fatal(keys, err)
		}
		for _, k := range keys.Keys {
			known := strings.Contains(k.Name, "/ov/")
			if !k.Primary || known && k.Algorithm == "" || !known && (k.State != bare || k.Algorithm != algorithm || k.StateMessage == "") {
				t.Error(k)
			}
			if known && algorithm == "" && k.State != epovpb.KeyState_KEY_STATE_AWAY {
				t.Error(k)
			}
		}
	}
	list(epovpb.KeyState_KEY_STATE_AWAY, "")
	_, err = epovpb.NewKeyServiceClient(conn).GetKey(t.Context(), &epovpb.GetKeyRequest{Key: "keys/EXMP01/bare"})
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	for _, soft := range tokens {
		soft.Set()
	}
	waitFor(t, health, healthpb.HealthCheckResponse_SERVING)
	await.True(t, "both tokens", func() bool {
		h := d.tokens.Health()
		return h.Tokens[0].State == hsm.Ready && h.Tokens[1].State == hsm.Ready
	})
	list(epovpb.KeyState_KEY_STATE_UNUSABLE, gost.GOST2012_256.Name)

	var over atomic.Bool
	var signed atomic.Int32
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			for !over.Load() {
				if err := sign(); err != nil {
					t.Error(err)
					return
				}
				signed.Add(1)
			}
		})
	}
	for i, rule := range []string{"unplug", "call C_Sign at=5 abort", "call C_Sign at=5 hang", "call C_Sign return=0x30"} {
		before := signed.Load()
		tokens[i%2].Set(rule)
		time.Sleep(400 * time.Millisecond)
		tokens[i%2].Set()
		time.Sleep(800 * time.Millisecond)
		if signed.Load() == before {
			t.Errorf("%s: nothing was signed meanwhile", rule)
		}
	}
	over.Store(true)
	group.Wait()
	t.Logf("%d signed", signed.Load())

	// Wrong signatures take the key out of service, which is told once for each token, and callers are told what is the matter.
	for _, soft := range tokens {
		soft.Set("call C_Sign corrupt=flip")
	}
	for range 4 {
		if err := sign(); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "the key is out of service") {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "key taken out of service"); n != len(tokens) {
		t.Errorf("told %d times, by %d tokens", n, len(tokens))
	}
	if strings.Contains(log.String(), "internal fault") {
		t.Errorf("a refusal is called a fault of the service:\n%s", log)
	}
}
