package daemon

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/cms"
)

// rotating is a running daemon that knows one version of its key and follows a file of states.
type rotating struct {
	*plant
	d      *Daemon
	log    *await.Log
	client epovpb.SignServiceClient
	keys   epovpb.KeyServiceClient
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	return startRotating(t, newPlant(t), "primary: 2", "primary: 1", "      - {version: 2, token: main}\n", "")
}

// startRotating starts a daemon with the plant's configuration after some replacements.
func startRotating(t *testing.T, p *plant, replaced ...string) *rotating {
	t.Helper()
	key := testpki.NewTLSKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.pem(t, "server.key", "PRIVATE KEY", der)
	p.pem(t, "server.pem", "CERTIFICATE", p.tls.Issue(t, &key.PublicKey, testpki.Server("epovd.test")).Raw)
	text := strings.NewReplacer(append(replaced, "key_token: {token: main, id: tls}", "key: server.key",
		"\nclients:\n", "\nkey_states: states.yaml\nclients:\n")...).Replace(p.config)
	r := &rotating{plant: p, log: &await.Log{}}
	r.d, _ = p.running(t, text, slog.New(slog.NewTextHandler(r.log, nil)))
	conn := p.dial(t, r.d)
	r.client, r.keys = epovpb.NewSignServiceClient(conn), epovpb.NewKeyServiceClient(conn)
	return r
}

// reload has the daemon read its configuration again, which config with some replacements becomes.
func (r *rotating) reload(t *testing.T, config string, replaced ...string) []Outcome {
	t.Helper()
	text := strings.NewReplacer(replaced...).Replace(config)
	if text == config && len(replaced) > 0 {
		t.Fatalf("nothing is replaced by %q", replaced)
	}
	r.write(t, "epovd.yaml", []byte(text))
	return r.d.Reload(t.Context())
}

// change runs one change of the states, as the officer's tool does.
func (r *rotating) change(t *testing.T, f func(context.Context, *Rotation) error) {
	t.Helper()
	if err := r.tryChange(t, f); err != nil {
		t.Fatal(err)
	}
}

func (r *rotating) tryChange(t *testing.T, f func(context.Context, *Rotation) error) error {
	t.Helper()
	change, err := Rotate(filepath.Join(string(r.folder), "epovd.yaml"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer change.Close()
	return f(t.Context(), change)
}

func (r *rotating) sign(key string) (*epovpb.SignCmsResponse, error) {
	return r.client.SignCms(context.Background(), &epovpb.SignCmsRequest{Key: key, Profile: "pkcs7-detached",
		Source: &epovpb.SignCmsRequest_Content{Content: []byte("content")}})
}

// states of the API by what their messages say.
var apiStates = map[string]epovpb.KeyState{
	"": epovpb.KeyState_KEY_STATE_USABLE, "staged": epovpb.KeyState_KEY_STATE_STAGED, "retired": epovpb.KeyState_KEY_STATE_RETIRED,
}

// state waits until a version is listed with a message that has text in it.
func (r *rotating) state(t *testing.T, name, text string, primary bool) {
	t.Helper()
	await.NoError(t, func() error {
		list, err := r.keys.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range list.Keys {
			if k.Name == name && strings.Contains(k.StateMessage, text) && k.State == apiStates[text] && k.Primary == primary {
				return nil
			}
		}
		return fmt.Errorf("%s is not %q, primary %v: %v", name, text, primary, list)
	})
}

func version(n int) signer.KeyName { return signer.KeyName{System: "EXMP01", Key: "ov", Version: n} }

// A successor takes over while requests flow: each is answered by the version that it names, or by one of the two; all
// signatures verify under the certificate of the version that the answer names; none is refused.
func TestRotation(t *testing.T) {
	r := newRotating(t)
	const name = "keys/EXMP01/ov"
	first, second := version(1).String(), version(2).String()

	stop := make(chan struct{})
	var group sync.WaitGroup
	var mutex sync.Mutex
	answers := map[string][]*epovpb.SignCmsResponse{}
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				out, err := r.sign(name)
				if err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				mutex.Lock()
				answers[out.Key] = append(answers[out.Key], out)
				mutex.Unlock()
			}
		})
	}
	count := func(version string, n int) {
		t.Helper()
		await.True(t, "answers by "+version, func() bool {
			mutex.Lock()
			defer mutex.Unlock()
			return len(answers[version]) >= n || t.Failed()
		})
	}
	count(first, 20)
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Stage(ctx, version(2), Staging{}) })
	r.state(t, second, "staged", false)
	if _, err := r.sign(second); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "staged") {
		t.Errorf("a staged version signs: %v", err)
	}
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Activate(ctx, version(2)) })
	r.state(t, second, "", true)
	mutex.Lock()
	n := len(answers[second])
	mutex.Unlock()
	count(second, n+20)
	if out, err := r.sign(first); err != nil || out.Key != first {
		t.Errorf("the version before signs no more: %v", err)
	}
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Retire(ctx, version(1)) })
	r.state(t, first, "retired", false)
	if _, err := r.sign(first); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "retired") {
		t.Errorf("a retired version signs: %v", err)
	}
	// There and back again.
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Stage(ctx, version(1), Staging{}) })
	r.state(t, first, "staged", false)
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Activate(ctx, version(1)) })
	r.state(t, first, "", true)
	close(stop)
	group.Wait()

	certificates := map[string][]byte{}
	list, err := r.keys.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list.Keys {
		certificates[k.Name] = k.Certificate
	}
	for by, signed := range answers {
		for _, out := range signed {
			rep, err := cms.Verify(out.Message, cms.Policy{Detached: true, Content: []byte("content")})
			if rep == nil || len(rep.Signatures) != 1 || rep.Integrity().String() != "valid" {
				t.Fatalf("%s: %v", by, err)
			}
			if !bytes.Equal(rep.Signatures[0].Signer.Certificate, certificates[by]) {
				t.Fatalf("an answer of %s is signed by another version", by)
			}
		}
	}
	if len(answers) != 2 || strings.Contains(r.log.String(), "not taken over") {
		t.Errorf("%d versions answered:\n%s", len(answers), r.log)
	}
}

// What does not fit changes nothing: a damaged file, a version that is not on the token, a certificate of another key, a
// primary version that cannot sign.
func TestBadStatesAtWork(t *testing.T) {
	r := newRotating(t)
	good := func() {
		t.Helper()
		if out, err := r.sign("keys/EXMP01/ov"); err != nil || out.Key != version(1).String() {
			t.Errorf("%v %v", out, err)
		}
	}
	put := func(text string) {
		t.Helper()
		path := r.write(t, "states.new", []byte(text))
		if err := os.Rename(path, r.d.config.states); err != nil {
			t.Fatal(err)
		}
	}
	const head = "keys:\n  - name: keys/EXMP01/ov\n    primary: 2\n    versions:\n      - "
	for i, bad := range []struct{ text, want string }{
		{"\x00", "not YAML"},
		{"keys: 7", "must be a list"},
		{head + "{version: 2, state: active, replicas: [{token: main, id: EXMP01/ov/9}]}", "no private key has this id"},
		{head + "{version: 2, state: active, replicas: [{token: main, id: EXMP01/ov/2}], certificate: ov1.pem}", "is of another key"},
		{head + "{version: 2, state: staged, replicas: [{token: main, id: EXMP01/ov/2}]}", "version 2 is staged"},
	} {
		put(bad.text)
		r.log.Says(t, "key states are not taken over", i+1)
		r.log.Says(t, bad.want, 1)
		good()
	}
	// A version whose certificate has not begun waits, and is told of once.
	bare, err := r.d.tokens.Key("keys/EXMP01/bare/versions/1")
	if err != nil {
		t.Fatal(err)
	}
	future := r.ca.Issue(t, bare.Public(), testpki.Template{NotBefore: time.Now().AddDate(0, 1, 0), NotAfter: time.Now().AddDate(0, 2, 0)})
	r.pem(t, "future.pem", "CERTIFICATE", future.Raw)
	put(head + "{version: 2, state: active, replicas: [{token: main, id: EXMP01/bare/1}], certificate: future.pem}")
	r.log.Says(t, "would become the primary version and does not sign: its certificate is valid from", 1)
	good()
	put("keys: 8")
	r.log.Says(t, "must be a list", 2)
	// It is told again when asked, and the next good file is taken.
	before := strings.Count(r.log.String(), "not taken over")
	r.d.Reload(t.Context())
	r.log.Says(t, "not taken over", before+1)
	put(head + "{version: 2, state: active, replicas: [{token: main, id: EXMP01/ov/2}]}")
	r.state(t, version(2).String(), "", true)
	// What the bad files brought into service is not left there.
	if keys := r.d.tokens.Keys(); len(keys) != 3 {
		t.Errorf("%d keys are in service", len(keys))
	}
	// The file is taken away: the configuration alone holds.
	if err := os.Remove(r.d.config.states); err != nil {
		t.Fatal(err)
	}
	r.state(t, version(1).String(), "", true)
	await.True(t, "two keys in service", func() bool { return len(r.d.tokens.Keys()) == 2 })
}

// What the officer's tool refuses, it refuses before it writes.
func TestRotationRefusals(t *testing.T) {
	r := newRotating(t)
	past := func(f func(context.Context, *Rotation) error) func(context.Context, *Rotation) error {
		return func(ctx context.Context, c *Rotation) error {
			c.Now = time.Now().AddDate(-10, 0, 0)
			return f(ctx, c)
		}
	}
	stage := func(n int, s Staging) func(context.Context, *Rotation) error {
		return func(ctx context.Context, c *Rotation) error { return c.Stage(ctx, version(n), s) }
	}
	activate := func(ctx context.Context, c *Rotation) error { return c.Activate(ctx, version(2)) }
	for _, test := range []struct {
		name string
		f    func(context.Context, *Rotation) error
		want string
	}{
		{"no version", stage(0, Staging{}), "which version?"},
		{"another system", func(ctx context.Context, c *Rotation) error {
			return c.Stage(ctx, signer.KeyName{System: "X", Key: "ov", Version: 1}, Staging{})
		}, "is not configured"},
		{"active already", stage(1, Staging{}), "is active already"},
		{"not there", stage(9, Staging{}), "no private key has this id"},
		{"no certificate", stage(9, Staging{ID: "EXMP01/bare/1"}), "has no certificate"},
		{"no such token", stage(2, Staging{Tokens: []string{"spare"}}), `no token named "spare"`},
		{"certificate of another", stage(2, Staging{Certificate: filepath.Join(string(r.folder), "ov1.pem")}), "is of another key"},
		{"chain of another", stage(2, Staging{Chain: []string{filepath.Join(string(r.folder), "ov1.pem")}}), "the chain begins with"},
		{"not staged", activate, "stage it first"},
		{"unknown", func(ctx context.Context, c *Rotation) error { return c.Retire(ctx, version(2)) }, "there is no version"},
		{"the primary", func(ctx context.Context, c *Rotation) error { return c.Retire(ctx, version(1)) }, "activate another one first"},
	} {
		err := r.tryChange(t, test.f)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if _, err := os.Stat(r.d.config.states); err == nil {
			t.Fatalf("%s: something was written", test.name)
		}
	}
	// A certificate of the future can be staged, not activated.
	warned := ""
	r.change(t, past(func(ctx context.Context, c *Rotation) error {
		c.Warn = func(format string, _ ...any) { warned = format }
		return c.Stage(ctx, version(2), Staging{})
	}))
	if err := r.tryChange(t, past(activate)); err == nil || !strings.Contains(err.Error(), "begins at") ||
		!strings.Contains(warned, "begins at") {
		t.Errorf("%v, %q", err, warned)
	}
	if err := r.tryChange(t, func(ctx context.Context, c *Rotation) error {
		c.Now = time.Now().AddDate(50, 0, 0)
		return c.Activate(ctx, version(2))
	}); err == nil || !strings.Contains(err.Error(), "was valid until") {
		t.Error(err)
	}
	// Two changes at once: the second waits for nobody.
	held, err := Rotate(filepath.Join(string(r.folder), "epovd.yaml"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := Rotate(filepath.Join(string(r.folder), "epovd.yaml"), quiet); err == nil ||
		!strings.Contains(err.Error(), "somebody else") {
		t.Error(err)
	}
}

// The token is lost: a successor on another one takes over, though nothing more is heard of the old version.
func TestRotationToAnotherToken(t *testing.T) {
	p := newPlant(t)
	tokens := filepath.Join(filepath.Dir(p.soft.Conf), "tokens")
	lost, err := os.ReadDir(tokens)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.soft.Add(p.soft.Label + "-spare"); err != nil {
		t.Fatal(err)
	}
	spare, err := hsm.Open(t.Context(), hsm.TokenConfig{Module: p.soft.Module, Label: p.soft.Label, Serial: p.soft.Serial,
		PIN: hsm.PINValue(hsm.NewPIN([]byte(p.soft.PIN))), StateDir: filepath.Join(string(p.folder), "provisioning")}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	public, err := spare.GenerateKey(t.Context(), "EXMP01/ov/3", gost.GOST2012_256, gost.ParamSetByName("tc26-256-A"))
	if err != nil {
		t.Fatal(err)
	}
	certificate := p.ca.Issue(t, public, testpki.Template{CommonName: "on the spare"})
	if err := spare.ImportCertificate(t.Context(), "EXMP01/ov/3", certificate.Raw, false); err != nil {
		t.Fatal(err)
	}
	if err := spare.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := startRotating(t, p, "\nkeys:",
		fmt.Sprintf("\n  - {name: spare, module: %q, label: %q, pin: {file: pin}, state_dir: state2}\nkeys:",
			p.soft.Module, p.soft.Label))
	if out, err := r.sign("keys/EXMP01/ov"); err != nil || out.Key != version(2).String() {
		t.Fatal(out, err)
	}
	for _, folder := range lost {
		if err := os.RemoveAll(filepath.Join(tokens, folder.Name())); err != nil {
			t.Fatal(err)
		}
	}
	r.change(t, func(ctx context.Context, c *Rotation) error {
		return c.Stage(ctx, version(3), Staging{Tokens: []string{"spare"}})
	})
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Activate(ctx, version(3)) })
	r.state(t, version(3).String(), "", true)
	for range 10 {
		if out, err := r.sign("keys/EXMP01/ov"); err != nil || out.Key != version(3).String() {
			t.Error(out, err)
		}
	}
	// The lost one is retired without its token; the states hold no key that is elsewhere by then.
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Retire(ctx, version(2)) })
	r.state(t, version(2).String(), "retired", false)
}
