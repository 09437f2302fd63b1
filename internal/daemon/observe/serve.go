package observe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the listener for metrics.
const (
	scrapes     = 4 // at once
	scrapers    = 16
	scrapeTime  = 10 * time.Second
	scrapeTotal = 15 * time.Second
)

// Gatherer gives all metrics.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler serves the metrics at /metrics, in the text format or, for scrapers that ask for it and for native histograms, in
// Protocol Buffers. Nothing else is there.
func (m *Metrics) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), ErrorHandling: promhttp.HTTPErrorOnError,
		MaxRequestsInFlight: scrapes, Timeout: scrapeTime, EnableOpenMetrics: true,
	}))
	return mux
}

// Serve serves the metrics on a listener until ctx ends, over mutual TLS if there is a configuration for it: the one of the moment. A
// connection that was made by an earlier one is asked at its next request whether its client would be let in now.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, config func() *tls.Config, log *slog.Logger) error {
	l = &few{Listener: l, free: make(chan struct{}, scrapers)}
	handler := m.Handler(log)
	if config != nil {
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return config(), nil },
		})
		handler = vouched(config, handler)
	}
	server := &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: scrapeTotal, IdleTimeout: 3 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// vouched serves those for whom one of the authorities of now vouches.
func vouched(config func() *tls.Config, to http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		between := x509.NewCertPool()
		for _, c := range r.TLS.PeerCertificates[1:] { // whoever has none was turned away
			between.AddCert(c)
		}
		_, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{
			Roots: config().ClientCAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			w.Header().Set("Connection", "close")
			http.Error(w, "the client certificate is not accepted any more", http.StatusForbidden)
			return
		}
		to.ServeHTTP(w, r)
	})
}

// few is a listener with a bounded number of connections; further ones are closed at once.
type few struct {
	net.Listener
	free chan struct{}
}

func (f *few) Accept() (net.Conn, error) {
	for {
		conn, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case f.free <- struct{}{}:
			return &counted{conn, sync.OnceFunc(func() { <-f.free })}, nil
		default:
			_ = conn.Close()
		}
	}
}

type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
