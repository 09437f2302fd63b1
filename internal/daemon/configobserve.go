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
}

// readMetrics reads where metrics are served: on a loopback address, or over mutual TLS with a CA of its own, because whoever may
// read metrics need not be a client.
func (c *Config) readMetrics(v value) {
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
