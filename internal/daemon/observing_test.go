package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

// running starts a daemon and serves; the function stops it.
func (p *plant) running(t *testing.T, config string, log *slog.Logger) (*Daemon, func()) {
	t.Helper()
	d, err := Start(t.Context(), p.load(t, config), log)
	if err != nil {
		t.Fatal(err)
	}
	return d, serve(t, d)
}

// serve has a daemon serve until the function that it returns is called, or the test ends.
func serve(t *testing.T, d *Daemon) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the daemon does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

// scrape reads the metrics, as text.
func scrape(t *testing.T, d *Daemon, config *tls.Config) (string, error) {
	t.Helper()
	scheme := "http"
	if config != nil {
		scheme = "https"
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get(scheme + "://" + d.observing.listener.Addr().String() + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// metric is the value of a series in a scrape, NaN-free; false when it is not there.
func metric(text, series string) (float64, bool) {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	return v, err == nil
}

// Signatures, refusals, tokens, keys and certificates are seen in a scrape, and no scrape asks the token.
func TestMetrics(t *testing.T) {
	p := newPlant(t)
	d, _ := p.running(t, strings.Replace(p.config, "watch_seconds: 1", "watch_seconds: 600", 1)+"metrics: {listen: 127.0.0.1:0}\n", quiet)
	sign := epovpb.NewSignServiceClient(p.dial(t, d))
	for range 3 {
		if _, err := sign.SignXml(t.Context(),
			&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sign.SignXml(t.Context(),
		&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "none of ours", Document: []byte(ack)}); err == nil {
		t.Error("an unknown profile signs")
	}
	before := d.tokens.Health().Tokens[0].Signed
	text, err := scrape(t, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	const pair = `{key="keys/EXMP01/ov/versions/2",token="main"}`
	for series, want := range map[string]float64{
		`epov_requests_total{code="OK",method="/epov.v1.SignService/SignXml"}`:                  3,
		`epov_requests_total{code="InvalidArgument",method="/epov.v1.SignService/SignXml"}`:     1,
		`epov_signatures_total{code="ok",operation="sign-xml",profile="smev3"}`:                 3,
		`epov_signatures_total{code="request.invalid",operation="sign-xml",profile="other"}`:    1,
		`epov_signing_token_seconds_count` + pair:                                               3,
		`epov_signing_queue_seconds_count` + pair:                                               3,
		`epov_signing_verify_seconds_count` + pair:                                              3,
		`epov_signings_total{key="keys/EXMP01/ov/versions/2",outcome="ok",token="main"}`:        3,
		`epov_token_state{state="ready",token="main"}`:                                          1,
		`epov_token_pin_state{state="ok",token="main"}`:                                         1,
		`epov_token_logins_total{result="ok",token="main"}`:                                     1,
		`epov_key_usable{key="keys/EXMP01/ov/versions/1"}`:                                      1,
		`epov_key_state{key="keys/EXMP01/ov/versions/1",state="active"}`:                        1,
		`epov_canary_results_total{key="keys/EXMP01/bare/versions/1",result="ok",token="main"}`: 1,
		`epov_serving`:                           1,
		`epov_connections`:                       1,
		`epov_reloads_refused_total{part="tls"}`: 0, `epov_client_calls_total{client="gateway",role="all"}`: 4,
		`epov_crl_lists`: 0,
	} {
		if got, ok := metric(text, series); !ok || got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for _, series := range []string{
		`epov_token_headroom_ratio{token="main"}`, `epov_token_service_seconds{token="main"}`,
		`epov_certificate_remaining_days{kind="key",name="keys/EXMP01/ov/versions/2"}`,
		`epov_certificate_remaining_days{kind="client-ca",name="CN=TLS CA"}`,
		`epov_key_signed_time_seconds` + pair, `go_goroutines`, `process_open_fds`,
	} {
		if v, ok := metric(text, series); !ok || v <= 0 {
			t.Errorf("%s is %v", series, v)
		}
	}
	for range 20 {
		if _, err := scrape(t, d, nil); err != nil {
			t.Fatal(err)
		}
	}
	if after := d.tokens.Health().Tokens[0].Signed; after != before {
		t.Errorf("%d signatures, %d before the scrapes", after, before)
	}
}

// Away from loopback metrics are for those with a certificate of the CA that is named for them, not for clients.
func TestMetricsOverTLS(t *testing.T) {
	p := newPlant(t)
	monitoring := testpki.NewTLS(t)
	key := testpki.NewTLSKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.pem(t, "metrics.key", "PRIVATE KEY", der)
	p.pem(t, "metrics.pem", "CERTIFICATE", p.tls.Issue(t, &key.PublicKey, testpki.Server("epovd.test")).Raw)
	p.pem(t, "monitoring.pem", "CERTIFICATE", monitoring.Certificate.Raw)
	d, _ := p.running(t, p.config+
		"metrics: {listen: 0.0.0.0:0, tls: {certificate: metrics.pem, key: metrics.key, client_ca: monitoring.pem}}\n", quiet)
	with := func(certificates ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: p.tls.Pool(), ServerName: "epovd.test", Certificates: certificates}
	}
	if text, err := scrape(t, d, with(monitoring.NewClient(t, "spiffe://example.ru/prometheus"))); err != nil ||
		!strings.Contains(text, "epov_serving") {
		t.Errorf("with its certificate: %v", err)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate": with(), "a client's": with(p.tls.NewClient(t, "spiffe://example.ru/gateway")),
	} {
		if _, err := scrape(t, d, config); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
}

func TestMetricsConfig(t *testing.T) {
	f, text := furnish(t)
	for section, want := range map[string]string{
		"metrics: {listen: 127.0.0.1:9464}": "",
		"metrics: {listen: '[::1]:9464'}":   "",
		"metrics: {}":                       "metrics.listen: is missing",
		"metrics: {listen: nowhere}":        "must be host:port",
		"metrics: {listen: 0.0.0.0:9464}":   "only a loopback address",
		"metrics: {listen: '0.0.0.0:9464'}": "only a loopback address",
		"metrics: {listen: '0.0.0.0:9464', tls: {certificate: server.pem, client_ca: clients-ca.pem}}":                  "metrics.tls.key: is missing",
		"metrics: {listen: '0.0.0.0:9464', tls: {certificate: server.pem, key: server.key, client_ca: clients-ca.pem}}": "",
	} {
		_, err := Load(f.write(t, "epovd.yaml", []byte(text+"\n"+section+"\n")))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", section, err)
		}
	}
}
