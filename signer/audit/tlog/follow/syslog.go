package follow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/epov-signer/epov/signer/audit"
)

// Syslog is where messages of RFC 5424 go.
//
// The protocol acknowledges nothing: what was under way when a connection broke or a datagram was lost is missing there, and
// the index in each message shows it.
type Syslog struct {
	// URL is "tls://host:port" (RFC 5425), "tcp://host:port" (framed by RFC 6587 section 3.4.1), "udp://host:port", or
	// "unix:///path" to a datagram or stream socket such as /dev/log.
	URL string
	// Of tls, PEM files that are read for each connection: who issued the server's certificate, empty: as the system says; and
	// the certificate with its key by which the server knows who sends, both or none.
	CA, Certificate, Key string
}

const syslogAddresses = "not tls://host:port, tcp://host:port, udp://host:port or unix:///path"

// Check says what is wrong with the settings.
func (s Syslog) Check() error {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New(syslogAddresses)
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
	case u.Scheme == "tls" || u.Scheme == "tcp" || u.Scheme == "udp":
		if u.Hostname() == "" || u.Port() == "" || u.Path != "" {
			return errors.New("not " + u.Scheme + "://host:port")
		}
	default:
		return errors.New(syslogAddresses)
	}
	if u.Scheme != "tls" && s.CA+s.Certificate+s.Key != "" {
		return errors.New("certificates are for tls://host:port")
	}
	if (s.Certificate == "") != (s.Key == "") {
		return errors.New("a certificate needs its key, and a key its certificate")
	}
	return nil
}

// Open connects.
func (s Syslog) Open(ctx context.Context) (Sink, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, errors.New(syslogAddresses)
	}
	host, err := os.Hostname()
	if err != nil || host == "" || len(host) > 255 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		host = "-"
	}
	networks, target := []string{u.Scheme}, u.Host
	switch u.Scheme {
	case "tls":
		conn, err := s.dialTLS(ctx, u)
		if err != nil {
			return nil, err
		}
		return stream(conn, host, rejection)
	case "unix":
		networks, target = []string{"unixgram", "unix"}, u.Path
	}
	var failed error
	for _, network := range networks {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, target)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case network == "tcp" || network == "unix":
			return stream(conn, host, 0)
		default:
			return &syslog{conn: conn, host: host}, nil
		}
	}
	return nil, failed
}

// dialTLS is RFC 5425 section 4.2: the server's certificate is always checked.
func (s Syslog) dialTLS(ctx context.Context, u *url.URL) (net.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if s.CA != "" {
		data, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s has no certificates", s.CA)
		}
	}
	if s.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", u.Host)
}

// rejection is how long a server has to refuse our certificate: with TLS 1.3 the handshake is over before it has looked at it,
// and what is sent meanwhile would be lost.
const rejection = 500 * time.Millisecond

// stream watches a connection on which nothing is expected to come, so that its end is known before more is sent.
func stream(conn net.Conn, host string, wait time.Duration) (Sink, error) {
	s := &syslog{conn: conn, host: host, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		_, s.why = io.Copy(io.Discard, conn)
		if s.why == nil {
			s.why = io.EOF
		}
	}()
	select {
	case <-s.ended:
		return nil, errors.Join(fmt.Errorf("the server has ended the connection: %w", s.why), conn.Close())
	case <-time.After(wait):
		return s, nil
	}
}

type syslog struct {
	conn  net.Conn
	host  string
	ended chan struct{} // of streams, which are framed by octet counting: closed when the connection has ended
	why   error         // then
}

func (s *syslog) Close() error { return s.conn.Close() }

func (s *syslog) Send(ctx context.Context, log string, first uint64, records [][]byte) error {
	if d, ok := ctx.Deadline(); ok {
		if err := s.conn.SetWriteDeadline(d); err != nil {
			return err
		}
	}
	select {
	case <-s.ended: // never of datagrams
		return fmt.Errorf("the server has ended the connection: %w", s.why)
	default:
	}
	framed := s.ended != nil
	var buf []byte
	for i, raw := range records {
		message := s.message(log, first+uint64(i), raw)
		if !framed {
			if _, err := s.conn.Write(message); err != nil {
				return err
			}
			continue
		}
		buf = strconv.AppendInt(buf, int64(len(message)), 10)
		buf = append(append(buf, ' '), message...)
	}
	if !framed {
		return nil
	}
	_, err := s.conn.Write(buf)
	return err
}

// Facility "log audit" and two severities, RFC 5424 section 6.2.1.
const (
	facility      = 13 << 3
	informational = 6
	warning       = 4
)

// message is RFC 5424 section 6. The structured data is under the enterprise number for documentation (RFC 5612): the project
// has none of its own.
func (s *syslog) message(log string, index uint64, raw []byte) []byte {
	priority, kind, at := facility|informational, "-", "-"
	if r, err := audit.Parse(raw); err == nil {
		if r.Kind == audit.Refusal {
			priority = facility | warning
		}
		kind, at = string(r.Kind), r.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	const bom = "\xef\xbb\xbf" // says that the text is UTF-8
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(log)
	return fmt.Appendf(nil, `<%d>1 %s %s epovd %d %s [audit@32473 log="%s" index="%d"] %s%s`,
		priority, at, s.host, os.Getpid(), kind, escaped, index, bom, raw)
}
