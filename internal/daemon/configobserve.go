package daemon

import (
	"crypto/tls"
	"net"

	"github.com/epov-signer/epov/api"
)

// metricsConfig is where metrics are served.
type metricsConfig struct {
	listen string      // host:port; empty: nowhere
	tls    *tls.Config // nil: none, on loopback
	place  value       // of tls
}

// readMetrics reads where metrics are served: on a loopback address, or over mutual TLS with a CA of its own, because whoever may
// read metrics need not be a client.
func (c *Config) readMetrics(v value) {
	c.metrics = metricsConfig{}
	if !v.present() {
		return
	}
	at := v.mapping("listen", "tls")
	listen := at("listen")
	m := &c.metrics
	if m.listen = listen.required(v); m.listen == "" {
		return
	}
	host, _, err := net.SplitHostPort(m.listen)
	if err != nil || len(ports(m.listen)) == 0 {
		listen.fail("must be host:port, such as 127.0.0.1:9464")
		return
	}
	c.sandbox.listens(m.listen)
	if !at("tls").present() {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			listen.fail("without tls only a loopback address may be listened on, such as 127.0.0.1")
		}
		return
	}
	section := at("tls")
	m.place = section
	within := section.mapping("certificate", "key", "client_ca")
	certificate, key := within("certificate"), within("key")
	chain := c.pem(certificate, section)
	if !key.present() {
		missing(key, section)
	}
	cas := c.pem(within("client_ca"), section)
	if chain == nil || cas == nil || !key.present() {
		return
	}
	pool, _ := clientCAs(within("client_ca"), cas)
	m.tls = api.MutualTLS(c.serverCertificate(certificate, key, chain), pool)
	m.tls.NextProtos = []string{"http/1.1"}
}

// tracesConfig is where traces go.
type tracesConfig struct {
	endpoint string // host:port; empty: nowhere
	tls      *tls.Config
	ratio    float64
}

// readTraces reads where traces go: to a collector on a loopback address, or over TLS.
func (c *Config) readTraces(v value) {
	if !v.present() {
		return
	}
	at := v.mapping("endpoint", "percent", "tls")
	endpoint := at("endpoint")
	t := &c.traces
	if t.endpoint = endpoint.required(v); t.endpoint == "" {
		return
	}
	host, _, err := net.SplitHostPort(t.endpoint)
	if err != nil || len(ports(t.endpoint)) == 0 || host == "" {
		endpoint.fail("must be host:port of an OTLP collector, such as 127.0.0.1:4317")
		return
	}
	c.sandbox.connects(t.endpoint)
	t.ratio = float64(at("percent").number(1, 100)) / 100 // left out: those whose callers ask for it
	if !at("tls").present() {
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			endpoint.fail("without tls traces go to a loopback address only, such as 127.0.0.1:4317")
		}
		return
	}
	section := at("tls")
	within := section.mapping("ca", "certificate", "key")
	t.tls = &tls.Config{MinVersion: tls.VersionTLS13}
	if data := c.pem(within("ca"), section); data != nil {
		t.tls.RootCAs, _ = clientCAs(within("ca"), data)
	}
	certificate, key := within("certificate"), within("key")
	switch {
	case certificate.present() != key.present():
		section.fail("certificate and key go together")
	case certificate.present():
		if chain := c.pem(certificate, section); chain != nil {
			t.tls.Certificates = []tls.Certificate{c.serverCertificate(certificate, key, chain)}
		}
	}
}
