package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

// Every setting is covered by one part, or takes a restart for a reason.
func TestPartsCoverTheConfiguration(t *testing.T) {
	f, example := furnish(t)
	c, err := Load(f.write(t, "epovd.yaml", []byte(example)))
	if err != nil {
		t.Fatal(err)
	}
	covered := map[string]string{}
	for name := range stays {
		covered[name] = "restart"
	}
	for _, p := range (&Daemon{config: c}).newParts() {
		for _, name := range p.settings {
			if by := covered[name]; by != "" {
				t.Errorf("%s is covered by %s and %s", name, by, p.name)
			}
			covered[name] = p.name
		}
	}
	for name := range settings(c.root) {
		section, _, _ := strings.Cut(name, ".")
		if covered[name] == "" && covered[section] == "" {
			t.Errorf("%s is covered by nothing", name)
		}
		delete(covered, name)
	}
	doc := &document{}
	known := (value{doc: doc, node: c.root.node}).sections()
	for name := range covered {
		section, within, _ := strings.Cut(name, ".")
		if known(section); within == "" && !strings.Contains(example, "\n"+section+":") && !strings.Contains(example, "\n# "+section+":") &&
			section != "insecure" && section != "roles" && section != "clients" && section != "reflection" {
			t.Errorf("%s is no setting", name)
		}
	}
}

// Limits, trust, time-stamps, the log and the metrics' certificate are taken over together, or, when one of them is wrong, not at all.
func TestReloadEverything(t *testing.T) {
	p := newPlant(t)
	other := testpki.NewTLS(t)
	scraping := func(name string, a *testpki.TLS) {
		key := testpki.NewTLSKey(t)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		p.pem(t, name+".key", "PRIVATE KEY", der)
		p.pem(t, name+".pem", "CERTIFICATE", a.Issue(t, &key.PublicKey, testpki.Server("epovd.test")).Raw)
	}
	scraping("scrape", p.tls)
	p.pem(t, "scrapers.pem", "CERTIFICATE", p.tls.Certificate.Raw)
	p.config += "metrics: {listen: 127.0.0.1:0, tls: {certificate: scrape.pem, key: scrape.key, client_ca: scrapers.pem}}\n"
	r := startRotating(t, p)
	config := string(read(t, r.d.config.file))
	scraper := func(a *testpki.TLS, as string) *http.Client {
		roots := p.tls.Pool()
		roots.AddCert(other.Certificate)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "epovd.test",
			Certificates: []tls.Certificate{a.NewClient(t, as)}}}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	scrape := func(c *http.Client) int {
		answer, err := c.Get("https://" + r.d.observing.listener.Addr().String() + "/metrics")
		if err != nil {
			return 0
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode
	}
	before := scraper(p.tls, "spiffe://example.ru/prometheus")
	if got := scrape(before); got != 200 {
		t.Fatal(got)
	}
	sign := func(size int) codes.Code {
		_, err := r.client.SignCms(t.Context(), &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached",
			Source: &epovpb.SignCmsRequest_Content{Content: make([]byte, size)}})
		return status.Code(err)
	}
	stamped := func() bool {
		out, err := epovpb.NewInfoServiceClient(r.dial(t, r.d)).GetCapabilities(t.Context(), &epovpb.GetCapabilitiesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(fmt.Sprint(out.Profiles), "cades-t")
	}
	verified := func() string {
		signed, err := r.sign("keys/EXMP01/ov")
		if err != nil {
			t.Fatal(err)
		}
		out, err := epovpb.NewVerifyServiceClient(r.dial(t, r.d)).VerifyCms(t.Context(),
			&epovpb.VerifyCmsRequest{Message: signed.Message, Content: []byte("content")})
		if err != nil {
			t.Fatal(err)
		}
		return out.Verdict.String()
	}
	if sign(4096) != codes.OK || stamped() || verified() != "VERDICT_VALID" {
		t.Fatal("not as it begins")
	}

	scraping("scrape", other)
	p.pem(t, "scrapers.pem", "CERTIFICATE", other.Certificate.Raw)
	changed := []string{
		"limits: {watch_seconds: 1}", "limits: {watch_seconds: 2, message_bytes: 2048, stop_seconds: 3, connections: 9}",
		"trust: {anchors: [root.pem]}",
		"trust: {anchors: [root.pem], policies: [KA1], revocation: {mode: required, cache: crls}}\ntimestamps: {urls: [\"http://127.0.0.1:1/\"]}",
		"log: {level: debug, format: text}", "log: {level: error, format: json}",
	}
	// One part is wrong: nothing of the others is in force.
	bad := append([]string{"operations: [sign-xml,", "operations: [sign-all,"}, changed...)
	out := r.reload(t, config, bad...)
	for _, part := range []string{"configuration", "trust", "limits", "metrics", "log"} {
		if o := outcome(t, out, part); o.Result != Refused || part != "configuration" && o.Message != heldBack {
			t.Errorf("%+v", o)
		}
	}
	if o := outcome(t, out, "policy"); o.Result != Refused || len(o.Findings) != 1 || outcome(t, out, "tls").Result != Unchanged {
		t.Errorf("%+v", out)
	}
	if sign(4096) != codes.OK || stamped() || verified() != "VERDICT_VALID" || scrape(before) != 200 {
		t.Error("a part is in force though another is wrong")
	}

	out = r.reload(t, config, changed...)
	for _, part := range []string{"configuration", "trust", "limits", "metrics", "log"} {
		if o := outcome(t, out, part); o.Result != TakenOver {
			t.Errorf("%+v", o)
		}
	}
	if sign(4096) == codes.OK || sign(1024) != codes.OK || !stamped() || verified() == "VERDICT_VALID" {
		t.Error("not everything is in force")
	}
	if got := scrape(before); got != 403 {
		t.Errorf("a connection of an authority that is not accepted any more: %d", got)
	}
	if scrape(scraper(p.tls, "spiffe://example.ru/prometheus")) != 0 || scrape(scraper(other, "spiffe://example.ru/prometheus")) != 200 {
		t.Error("the metrics' listener does not go by its new certificates")
	}
	if n := r.d.listener.most.Load(); n != 9 {
		t.Errorf("%d connections", n)
	}
	if out := r.reload(t, config, changed...); strings.Count(outcomes(out), "unchanged") != 8 {
		t.Errorf("%+v", out)
	}
	out = r.reload(t, config) // and back
	if strings.Contains(outcomes(out), "refused") || sign(4096) != codes.OK || stamped() || verified() != "VERDICT_VALID" {
		t.Errorf("%+v", out)
	}

	// What is of the process is named, with the reason, and beside it the rest is taken over.
	for change, names := range map[[2]string]string{
		{"listen: 127.0.0.1:0\n", "listen: 127.0.0.1:9\n"}:                                 "configuration: listen: ",
		{"log:", "reflection: true\nlog:"}:                                                 "configuration: reflection: ",
		{"log:", "sandbox: {off: true}\nlog:"}:                                             "configuration: sandbox: ",
		{"log:", "traces: {endpoint: 127.0.0.1:4317}\nlog:"}:                               "configuration: traces: ",
		{"log:", "audit: {directory: a, name: b}\nlog:"}:                                   "configuration: audit: ",
		{"log:", "admin: {listen: /tmp/s}\nlog:"}:                                          "configuration: admin.listen: ",
		{"watch_seconds: 1", "connection_age_seconds: 77"}:                                 "configuration: limits.connection_age_seconds: ",
		{"metrics: {listen: 127.0.0.1:0,", "metrics: {listen: 127.0.0.1:7,"}:               "configuration: metrics.listen: ",
		{", tls: {certificate: scrape.pem, key: scrape.key, client_ca: scrapers.pem}", ""}: "metrics: metrics.tls: ",
		{"key: server.key", "key_token: {token: main, id: tls}"}:                           "tls: tls.key_token: ",
	} {
		out := r.reload(t, config, change[0], change[1], "level: debug", "level: info")
		part, message, _ := strings.Cut(names, ": ")
		if o := outcome(t, out, part); o.Result != Restart || !strings.HasPrefix(o.Message, message) {
			t.Errorf("%s: %+v", change[1], out)
		}
		if o := outcome(t, out, "log"); o.Result != TakenOver {
			t.Errorf("%s: %+v", change[1], o)
		}
		r.reload(t, config)
	}
}

// The log changes its level and its format, in loggers that were made of it before too.
func TestLogIsExchanged(t *testing.T) {
	f, example := furnish(t)
	c, err := Load(f.write(t, "epovd.yaml", []byte(example)))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	log := c.Logger(file)
	with := log.With("token", "main").WithGroup("g")
	with.Info("one", "n", 1)
	c.logger.set(logConfig{level: slog.LevelDebug, text: true})
	with.Debug("two", "n", 2, "pin", "1234")
	c.logger.set(logConfig{level: slog.LevelError})
	log.Info("three")
	with.Error("four")
	got := string(read(t, file.Name()))
	for _, want := range []string{`"msg":"one","token":"main","g":{"n":1}}`,
		"level=DEBUG msg=two token=main g.n=2 g.pin=[redacted]", `"msg":"four"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %s:\n%s", want, got)
		}
	}
	if strings.Contains(got, "three") || strings.Contains(got, "1234") {
		t.Error(got)
	}
}
