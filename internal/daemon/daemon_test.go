package daemon

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/xmldsig"
	"github.com/epov-signer/epov/softhsm"
)

var quiet = slog.New(slog.DiscardHandler)

// plant is a SoftHSM token with keys and certificates, and a configuration for it.
type plant struct {
	folder
	soft   *softhsm.Token
	tls    *testpki.TLS
	ca     *testpki.CA
	config string
}

func newPlant(t *testing.T) *plant { t.Helper(); return newPlantOn(t, softhsm.New(t)) }

func newPlantOn(t *testing.T, soft *softhsm.Token) *plant {
	t.Helper()
	p := &plant{soft: soft, folder: folder(t.TempDir()), tls: testpki.NewTLS(t)}
	p.ca = testpki.NewCA(t, gost.GOST2012_256, "tc26-256-B")
	cfg := hsm.TokenConfig{
		Module: p.soft.Module, Label: p.soft.Label, PIN: hsm.PINValue(hsm.NewPIN([]byte(p.soft.PIN))),
		StateDir: filepath.Join(string(p.folder), "provisioning"),
	}
	ctx := t.Context()
	token, err := hsm.Open(ctx, cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"EXMP01/ov/1", "EXMP01/ov/2", "EXMP01/bare/1"} {
		public, err := token.GenerateKey(ctx, id, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
		if err != nil {
			t.Fatal(err)
		}
		cert := p.ca.Issue(t, public, testpki.Template{CommonName: id})
		switch id {
		case "EXMP01/ov/1": // in a file
			p.pem(t, "ov1.pem", "CERTIFICATE", cert.Raw)
		case "EXMP01/ov/2": // on the token
			if err := token.ImportCertificate(ctx, id, cert.Raw, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := token.Close(ctx); err != nil {
		t.Fatal(err)
	}
	tlsKey, err := hsm.GenerateTLSKey(ctx, cfg, "tls", "ecdsa-p256", quiet)
	if err != nil {
		t.Fatal(err)
	}
	p.pem(t, "server.pem", "CERTIFICATE", p.tls.Issue(t, tlsKey, testpki.Server("epovd.test")).Raw)
	p.pem(t, "clients.pem", "CERTIFICATE", p.tls.Certificate.Raw)
	p.pem(t, "root.pem", "CERTIFICATE", p.ca.Certificate.Raw)
	p.write(t, "pin", []byte(p.soft.PIN+"\n"))
	p.config = fmt.Sprintf(`
listen: 127.0.0.1:0
tls: {certificate: server.pem, key_token: {token: main, id: tls}, client_ca: clients.pem}
tokens:
  - {name: main, module: %q, label: %q, pin: {file: pin}, state_dir: state}
keys:
  - name: keys/EXMP01/ov
    primary: 2
    versions:
      - {version: 1, token: main, certificate: ov1.pem}
      - {version: 2, token: main}
  - {name: keys/EXMP01/bare, primary: 1, versions: [{version: 1, token: main}]}
roles:
  - name: all
    allow: [{keys: [keys/EXMP01/*], operations: [sign-xml, sign-cms, verify, list]}]
clients:
  - name: gateway
    san: ["spiffe://example.ru/gateway"]
    roles: [all]
trust: {anchors: [root.pem]}
limits: {watch_seconds: 1}
log: {level: debug, format: text}
`, p.soft.Module, p.soft.Label)
	return p
}

func (p *plant) load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load(p.write(t, "epovd.yaml", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *plant) dial(t *testing.T, d *Daemon) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(d.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: p.tls.Pool(), ServerName: "epovd.test", Certificates: []tls.Certificate{p.tls.NewClient(t, "spiffe://example.ru/gateway")},
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

const (
	ack = `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:AckRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<b:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true">8c1c0a10-f1ee-11f0-8a5e-0242ac120002</b:AckTargetMessage>` +
		`</t:AckRequest></S:Body></S:Envelope>`
	smev2 = `<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Header/><S:Body>` +
		`<q:Request xmlns:q="urn://example.ru/question/1.0">question</q:Request></S:Body></S:Envelope>`
)

// The whole path: a key on a token signs over gRPC with mutual TLS, whose own key is on the token too; the daemon and the
// library agree that the signatures are good; the daemon stops in order; the PIN is nowhere to be seen.
func TestEndToEnd(t *testing.T) {
	p := newPlant(t)
	socket := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	log := &await.Log{}
	c := p.load(t, p.config)
	d, err := Start(t.Context(), c, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, d)
	if got := heard(t, systemd); got != "READY=1" {
		t.Errorf("systemd heard %q", got)
	}

	conn := p.dial(t, d)
	health, sign, verify := healthpb.NewHealthClient(conn), epovpb.NewSignServiceClient(conn), epovpb.NewVerifyServiceClient(conn)
	waitFor(t, health, healthpb.HealthCheckResponse_SERVING)
	store := trust.New([]*gost.Certificate{p.ca.Certificate}, nil)
	for _, tc := range []struct{ profile, document, key, version string }{
		{"smev3", ack, "keys/EXMP01/ov", "keys/EXMP01/ov/versions/2"},
		{"smev2", smev2, "keys/EXMP01/ov/versions/1", "keys/EXMP01/ov/versions/1"},
		{"xades-bes", "<a>b</a>", "keys/EXMP01/ov", "keys/EXMP01/ov/versions/2"},
	} {
		out, err := sign.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: tc.key, Profile: tc.profile, Document: []byte(tc.document)})
		if err != nil {
			t.Fatal(tc.profile, err)
		}
		if out.Key != tc.version {
			t.Errorf("%s: signed by %s", tc.profile, out.Key)
		}
		verified, err := verify.VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: out.Document, Profile: tc.profile})
		if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_VALID {
			t.Errorf("%s: the daemon says %v, %v", tc.profile, verified, err)
		}
		r, err := xmldsig.Verify(out.Document, xmldsig.Policy{Profile: xmldsig.ProfileByName(tc.profile), Trust: store})
		if err != nil || r.Verdict() != report.Valid || r.Signatures[0].Signer.Fingerprint != out.CertificateFingerprint {
			t.Errorf("%s: the library says %v, %v", tc.profile, r, err)
		}
	}
	content := []byte("content")
	out, err := sign.SignCms(t.Context(), &epovpb.SignCmsRequest{
		Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", Source: &epovpb.SignCmsRequest_Content{Content: content},
	})
	if err != nil {
		t.Fatal(err)
	}
	verified, err := verify.VerifyCms(t.Context(), &epovpb.VerifyCmsRequest{Message: out.Message, Content: content})
	if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_VALID {
		t.Errorf("cms: the daemon says %v, %v", verified, err)
	}
	if r, err := cms.Verify(out.Message, cms.Policy{Detached: true, Content: content, Trust: store}); err != nil ||
		r.Verdict() != report.Valid {
		t.Errorf("cms: the library says %v, %v", r, err)
	}
	if _, err := sign.SignXml(t.Context(),
		&epovpb.SignXmlRequest{Key: "keys/EXMP01/bare", Profile: "smev3", Document: []byte(ack)}); err == nil {
		t.Error("a key without certificate signed XML")
	}

	// Many at once.
	var group sync.WaitGroup
	for range 24 {
		group.Go(func() {
			if _, err := sign.SignXml(t.Context(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()

	stop()
	if got := heard(t, systemd); got != "STOPPING=1" {
		t.Errorf("systemd heard %q", got)
	}
	if strings.Contains(log.String(), p.soft.PIN) {
		t.Error("the log holds the PIN")
	}
	for _, want := range []string{"outcome=signed", "caller=gateway", "outcome=key.unusable", "msg=stopping"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log has errors:\n%s", log)
	}
}

func heard(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	if err != nil {
		t.Error(err)
	}
	return string(buf[:n])
}

// waitFor waits until the daemon's health is so.
func waitFor(t *testing.T, health healthpb.HealthClient, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	await.NoError(t, func() error {
		r, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "epov.v1.SignService"})
		if err == nil && r.Status != want {
			return fmt.Errorf("health is %v, want %v", r.Status, want)
		}
		return err
	})
}

// When the token goes away, health says so without being asked twice, callers hear that a retry may help, and verification
// goes on.
func TestTokenAway(t *testing.T) {
	p := newPlant(t)
	d, _ := p.running(t, p.config, quiet)
	conn := p.dial(t, d)
	health := healthpb.NewHealthClient(conn)
	waitFor(t, health, healthpb.HealthCheckResponse_SERVING)
	if err := d.tokens.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, health, healthpb.HealthCheckResponse_NOT_SERVING)
	_, err := epovpb.NewSignServiceClient(conn).SignXml(t.Context(),
		&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)})
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	keys, err := epovpb.NewKeyServiceClient(conn).ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	if err != nil || len(keys.Keys) != 3 || keys.Keys[0].State != epovpb.KeyState_KEY_STATE_AWAY {
		t.Error(keys, err)
	}
	verified, err := epovpb.NewVerifyServiceClient(conn).VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: []byte(ack)})
	if err != nil || verified.Verdict != epovpb.Verdict_VERDICT_INVALID {
		t.Error(verified, err)
	}
}

// A token that vanishes from under its module is away, and the list of keys says so.
func TestKeysVanish(t *testing.T) {
	p := newPlant(t)
	log := &await.Log{}
	text := strings.Replace(p.config, "[keys/EXMP01/*]", "[keys/EXMP01/*, keys/EXMP02/ov]", 1)
	d, err := Start(t.Context(), p.load(t, text), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "role=all keys=keys/EXMP02/ov line="; strings.Count(log.String(), "covers no configured key") != 1 ||
		!strings.Contains(log.String(), want) {
		t.Errorf("the grant of no key is not told of:\n%s", log)
	}
	serve(t, d)
	conn := p.dial(t, d)
	waitFor(t, healthpb.NewHealthClient(conn), healthpb.HealthCheckResponse_SERVING)
	if err := os.RemoveAll(filepath.Join(filepath.Dir(p.soft.Conf), "tokens")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, healthpb.NewHealthClient(conn), healthpb.HealthCheckResponse_NOT_SERVING)
	keys, err := epovpb.NewKeyServiceClient(conn).ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	if err != nil || len(keys.Keys) != 3 || keys.Keys[0].State != epovpb.KeyState_KEY_STATE_AWAY {
		t.Error(keys, err)
	}
	if !strings.Contains(log.String(), "token is away") {
		t.Error("the log does not say so")
	}
}

// What does not fit the token is said at its place; a wrong PIN is told apart, and never repeated.
func TestStartRefusals(t *testing.T) {
	p := newPlant(t)
	_, otherCert := p.ca.NewSigner(t, gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	p.pem(t, "other.pem", "CERTIFICATE", otherCert.Raw)
	key := testpki.NewTLSKey(t)
	p.pem(t, "otherserver.pem", "CERTIFICATE", p.tls.Issue(t, &key.PublicKey, testpki.Server("epovd.test")).Raw)
	start := func(t *testing.T, text string) error {
		t.Helper()
		d, err := Start(t.Context(), p.load(t, text), quiet)
		if err == nil {
			_ = d.release()
			t.Fatal("it starts")
		}
		return err
	}
	for _, tc := range []struct{ name, old, new, want string }{
		{"other certificate", "certificate: ov1.pem", "certificate: other.pem",
			":10:9: keys[0].versions[0]: the certificate from the configuration is of another key"},
		{"no such key", "{version: 2, token: main}", "{version: 2, token: main, id: EXMP01/ov/7}", ":11:9: keys[0].versions[1]: "},
		{"chain of another issuer", "certificate: ov1.pem", "certificate: ov1.pem, chain: [other.pem]",
			":10:9: keys[0].versions[0]: the certificate from the configuration was issued by "},
		{"no such token", "label: ", "serial: \"0\", label: ", ""},
		{"other TLS key", "certificate: server.pem", "certificate: otherserver.pem",
			`:3:6: tls: the certificate is not of the key "tls" on token "main"`},
		{"no such TLS key", "id: tls", "id: none", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := start(t, strings.Replace(p.config, tc.old, tc.new, 1))
			if !strings.Contains(err.Error(), tc.want) || NeedsOperator(err) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	t.Run("wrong PIN", func(t *testing.T) {
		p.write(t, "pin", []byte("wrongpin1"))
		text := strings.Replace(p.config, "key_token: {token: main, id: tls}", "key: server.key", 1)
		der, err := x509.MarshalPKCS8PrivateKey(crypto.PrivateKey(key))
		if err != nil {
			t.Fatal(err)
		}
		p.pem(t, "server.key", "PRIVATE KEY", der)
		text = strings.Replace(text, "certificate: server.pem", "certificate: otherserver.pem", 1)
		if err := start(t, text); !NeedsOperator(err) || strings.Contains(err.Error(), "wrongpin1") {
			t.Error(err)
		}
		// The second start does not even try.
		if err := start(t, text); !NeedsOperator(err) {
			t.Error(err)
		}
	})
	if _, err := os.Stat(filepath.Join(string(p.folder), "state")); err != nil {
		t.Error(err)
	}
}

// Every kind of error that package hsm has is translated.
func TestTranslations(t *testing.T) {
	for _, kind := range hsm.Kinds() {
		tr, ok := translations[kind]
		if !ok || tr.message == "" || tr.code.Info().English == "" {
			t.Errorf("%s has no translation", kind)
		}
		e := translate(fmt.Errorf("wrapped: %w", &hsm.Error{Kind: kind, Op: "sign", Err: errors.New("CKR_DEVICE_ERROR")}))
		if e.Code != tr.code || strings.Contains(e.Message, "sign digest") || strings.Contains(e.Message, "CKR") {
			t.Errorf("%s is %v", kind, e)
		}
	}
	if len(translations) != len(hsm.Kinds()) {
		t.Error("there are translations of nothing")
	}
}
