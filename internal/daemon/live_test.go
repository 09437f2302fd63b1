package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
)

const livePolicy = `
roles:
  - {name: all, allow: [{keys: [keys/EXMP01/*], operations: [sign-xml, sign-cms, verify, list]}], limits: {rate: %d}}
clients:
  - {name: gateway, san: ["spiffe://example.ru/gateway"], roles: [all]}
  - {name: second, san: [%q], roles: [all]}
`

// newLive is a running daemon whose policy has a file of its own.
func newLive(t *testing.T) *rotating {
	t.Helper()
	p := newPlant(t)
	before, after, _ := strings.Cut(p.config, "roles:\n")
	_, after, _ = strings.Cut(after, "\ntrust:")
	p.config = before + "policy: policy.yaml\nkey_states: states.yaml\ntrust:" + after
	p.write(t, "policy.yaml", fmt.Appendf(nil, livePolicy, 100000, "second.example.ru"))
	return startRotating(t, p)
}

// serverPair issues the daemon another certificate and writes it with its key.
func (r *rotating) serverPair(t *testing.T) []byte {
	t.Helper()
	key := testpki.NewTLSKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := r.tls.Issue(t, &key.PublicKey, testpki.Server("epovd.test")).Raw
	r.pem(t, "server.key", "PRIVATE KEY", der)
	r.pem(t, "server.pem", "CERTIFICATE", certificate)
	return certificate
}

// outcome finds a part's.
func outcome(t *testing.T, list []Outcome, part string) Outcome {
	t.Helper()
	for _, o := range list {
		if o.Part == part {
			return o
		}
	}
	t.Fatalf("%+v has no part %s", list, part)
	return Outcome{}
}

func outcomes(list []Outcome) string {
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, "%s: %s; ", o.Part, o.Result)
	}
	return b.String()
}

// presented is the certificate that the daemon shows to a new connection.
func (r *rotating) presented(t *testing.T) []byte {
	t.Helper()
	conn, err := tls.Dial("tcp", r.d.Addr().String(),
		&tls.Config{RootCAs: r.tls.Pool(), ServerName: "epovd.test", NextProtos: []string{"h2"},
			Certificates: []tls.Certificate{r.tls.NewClient(t, "spiffe://example.ru/gateway")}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// Everything is read again twenty times, and has changed each time, while calls flow on old and new connections: none fails.
func TestReloadUnderLoad(t *testing.T) {
	r := newLive(t)
	stop := make(chan struct{})
	var group sync.WaitGroup
	var signed atomic.Int64
	call := func(sign epovpb.SignServiceClient) error {
		_, err := sign.SignCms(context.Background(), &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached",
			Source: &epovpb.SignCmsRequest_Content{Content: []byte("content")}})
		return err
	}
	for i := range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				client, done := r.client, func() error { return nil }
				if i == 0 { // one comes anew each time
					conn := r.dial(t, r.d)
					client, done = epovpb.NewSignServiceClient(conn), conn.Close
				}
				if err := call(client); err != nil {
					t.Errorf("refused: %v", err)
				}
				done()
				signed.Add(1)
			}
		})
	}
	states := [2]string{
		"keys:\n  - name: keys/EXMP01/ov\n    primary: 1\n    versions:\n      - {version: 1, state: active}\n      - {version: 2, state: retired}\n",
		"keys:\n  - name: keys/EXMP01/ov\n    primary: 2\n    versions:\n      - {version: 1, state: staged}\n      - {version: 2, state: active}\n",
	}
	root, err := os.ReadFile(string(r.folder) + "/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	other := testpki.NewTLS(t)
	for i := range 20 {
		certificate := r.serverPair(t)
		r.write(t, "policy.yaml", fmt.Appendf(nil, livePolicy, 90000+i, "second.example.ru"))
		if err := os.Rename(r.write(t, "states.new", []byte(states[i%2])), string(r.folder)+"/states.yaml"); err != nil {
			t.Fatal(err)
		}
		r.write(t, "root.pem", bytes.Repeat(root, 1+i%2))
		r.pem(t, "clients.pem", "CERTIFICATE", r.tls.Certificate.Raw)
		if i%2 == 0 {
			r.write(t, "clients.pem", append(read(t, string(r.folder)+"/clients.pem"), pemOf(other.Certificate.Raw)...))
		}
		before := signed.Load()
		got := outcomes(r.d.Reload(t.Context()))
		if !strings.Contains(got, "configuration: unchanged") || strings.Contains(got, "refused") {
			t.Errorf("%s\n%s", got, r.log)
		}
		if shown := r.presented(t); !bytes.Equal(shown, certificate) {
			t.Error("a new connection is shown the old certificate")
		}
		await.True(t, "more signatures", func() bool { return signed.Load() >= before+8 })
	}
	close(stop)
	group.Wait()
	if n := signed.Load(); n < 160 {
		t.Errorf("%d calls", n)
	}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "not taken over") {
			t.Error(line)
		}
	}
	if got := outcomes(r.d.Reload(t.Context())); strings.Count(got, "unchanged") != 8 {
		t.Errorf("nothing has changed: %s", got)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Files are followed without being asked for; a bad one leaves the old in force, and is told of with its place.
func TestChangedFiles(t *testing.T) {
	r := newLive(t)
	dial := func(san string) epovpb.KeyServiceClient {
		conn, err := grpc.NewClient(r.d.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: r.tls.Pool(), ServerName: "epovd.test", Certificates: []tls.Certificate{r.tls.NewClient(t, san)},
		})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return epovpb.NewKeyServiceClient(conn)
	}
	list := func(c epovpb.KeyServiceClient) codes.Code {
		_, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		return status.Code(err)
	}
	becomes := func(c epovpb.KeyServiceClient, want codes.Code) {
		t.Helper()
		await.NoError(t, func() error {
			if got := list(c); got != want {
				return fmt.Errorf("%v, want %v:\n%s", got, want, r.log)
			}
			return nil
		})
	}
	second := dial("spiffe://example.ru/second")
	if got := list(second); got != codes.PermissionDenied {
		t.Fatal(got)
	}
	policy := func(text string) { r.write(t, "policy.yaml", []byte(text)) }
	policy(fmt.Sprintf(livePolicy, 100000, "spiffe://example.ru/second"))
	becomes(second, codes.OK)
	policy(fmt.Sprintf(livePolicy, 100000, "spiffe://example.ru/second") + "colour: red\n")
	r.log.Says(t, `msg="the policy is not taken over"`, 1)
	r.log.Says(t, "policy.yaml line=7", 1)
	if got := list(second); got != codes.OK {
		t.Errorf("a bad policy: %v", got)
	}
	out := r.d.Reload(t.Context())
	if p := outcome(t, out, "policy"); p.Result != Refused || len(p.Findings) != 1 || p.Findings[0].Line != 7 ||
		!strings.HasSuffix(p.Findings[0].File, "policy.yaml") || outcome(t, out, "tls").Result != Unchanged {
		t.Errorf("%+v", out)
	}
	if err := os.Chmod(string(r.folder)+"/policy.yaml", 0o666); err != nil {
		t.Fatal(err)
	}
	policy(fmt.Sprintf(livePolicy, 100000, "spiffe://example.ru/third"))
	r.log.Says(t, "lets others write it", 1)
	if got := list(second); got != codes.OK {
		t.Errorf("a policy that others can write: %v", got)
	}
	if err := os.Chmod(string(r.folder)+"/policy.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	policy(fmt.Sprintf(livePolicy, 100000, "spiffe://example.ru/fourth"))
	becomes(second, codes.PermissionDenied) // on the connection that it has
	if _, _, refused := r.d.Reloaded(); refused["policy"] < 3 || refused["tls"] != 0 {
		t.Errorf("%v", refused)
	}

	// What is known of reloads is told while one is under way, to metrics and to operators.
	r.d.reloader.mutex.Lock()
	seen := make(chan map[string]int64)
	go func() {
		(&operator{Daemon: r.d}).State()
		seen <- r.d.state().Reloads
	}()
	select {
	case refused := <-seen:
		if refused["policy"] < 3 || len(refused) != len(r.d.reloader.parts)+1 {
			t.Errorf("%v", refused)
		}
	case <-time.After(time.Minute):
		t.Fatal("the daemon's state waits for a reload")
	}
	r.d.reloader.mutex.Unlock()

	// A certificate without its key, then both.
	before := r.presented(t)
	key := read(t, string(r.folder)+"/server.key")
	next := r.serverPair(t)
	nextKey := read(t, string(r.folder)+"/server.key")
	r.write(t, "server.key", key)
	r.log.Says(t, "private key does not match public key", 1)
	if !bytes.Equal(r.presented(t), before) {
		t.Error("a certificate without its key is shown")
	}
	r.write(t, "server.key", nextKey)
	await.True(t, "the new certificate", func() bool { return bytes.Equal(r.presented(t), next) })
}

// The configuration's own file is read when somebody asks: keys come and go, what takes a restart is named, and what is wrong
// changes nothing of its part.
func TestReloadConfiguration(t *testing.T) {
	r := newLive(t)
	config := string(read(t, r.d.config.file))
	const bare = "  - {name: keys/EXMP01/bare, primary: 1, versions: [{version: 1, token: main}]}\n"
	// A new key on a known token, beside a setting that takes a restart.
	out := r.reload(t, config, bare,
		bare+"  - {name: keys/EXMP01/more, primary: 1, versions: [{version: 1, token: main, id: EXMP01/ov/2}]}\n",
		"watch_seconds: 1", "watch_seconds: 2, streams: 7")
	if got := outcomes(out); !strings.HasPrefix(got,
		"configuration: restart; keys: taken over; tls: unchanged; policy: unchanged; trust: unchanged; limits: taken over;") ||
		out[0].Message != "limits.streams: "+stays["limits.streams"] {
		t.Fatalf("%s %+v\n%s", got, out, r.log)
	}
	if signed, err := r.sign("keys/EXMP01/more"); err != nil || signed.Key != "keys/EXMP01/more/versions/1" {
		t.Error(signed, err)
	}
	// A key that the token does not have.
	out = r.reload(t, config, bare, bare+"  - {name: keys/EXMP01/none, primary: 1, versions: [{version: 1, token: main}]}\n")
	if k := outcome(t, out, "keys"); k.Result != Refused || len(k.Findings) != 1 || k.Findings[0].Line == 0 {
		t.Errorf("%+v", out)
	}
	if _, err := r.sign("keys/EXMP01/more"); err != nil {
		t.Error(err)
	}
	// A key that is taken out of the configuration.
	out = r.reload(t, config, bare, "")
	if out[0].Result != TakenOver || outcome(t, out, "keys").Result != TakenOver {
		t.Errorf("%+v", out)
	}
	for _, key := range []string{"keys/EXMP01/more", "keys/EXMP01/bare"} {
		if _, err := r.sign(key); status.Code(err) != codes.NotFound {
			t.Error(key, err)
		}
	}
	// What is not YAML, and what is no configuration, changes nothing.
	for _, bad := range []string{"listen: [", "listen: 127.0.0.1:0\ncolour: red\n", ""} {
		r.write(t, "epovd.yaml", []byte(bad))
		if out := r.d.Reload(t.Context()); out[0].Result != Refused || len(out[0].Findings) == 0 ||
			strings.Count(outcomes(out), "unchanged") != 7 {
			t.Errorf("%+v", out)
		}
	}
	if out := r.reload(t, config); !strings.HasPrefix(outcomes(out), "configuration: taken over; keys: taken over; tls: unchanged; ") {
		t.Errorf("%s", outcomes(out))
	}
	if _, err := r.sign("keys/EXMP01/ov"); err != nil {
		t.Error(err)
	}
	// The PIN is not needed any more.
	if err := os.Remove(string(r.folder) + "/pin"); err != nil {
		t.Fatal(err)
	}
	if out := r.reload(t, config); strings.Count(outcomes(out), "unchanged") != 8 {
		t.Errorf("%+v", out)
	}
}
