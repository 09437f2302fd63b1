package follow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/epov-signer/epov/signer/audit"
)

// Syslog is where messages of RFC 5424 go: "tcp://host:port" (framed by RFC 6587 section 3.4.1), "udp://host:port",
// "unix:///path" to a datagram or stream socket such as /dev/log.
//
// The protocol acknowledges nothing: what was under way when a connection broke or a datagram was lost is missing there, and
// the index in each message shows it.
func Syslog(address string) (func(ctx context.Context) (Sink, error), error) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("not tcp://host:port, udp://host:port or unix:///path")
	}
	var networks []string
	target := u.Host
	switch {
	case u.Scheme == "tcp" || u.Scheme == "udp":
		networks = []string{u.Scheme}
		if _, _, err := net.SplitHostPort(u.Host); err != nil || u.Path != "" {
			return nil, errors.New("not " + u.Scheme + "://host:port")
		}
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		networks, target = []string{"unixgram", "unix"}, u.Path
	default:
		return nil, errors.New("not tcp://host:port, udp://host:port or unix:///path")
	}
	host, err := os.Hostname()
	if err != nil || host == "" || len(host) > 255 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		host = "-"
	}
	return func(ctx context.Context) (Sink, error) {
		var failed error
		for _, network := range networks {
			c, err := (&net.Dialer{}).DialContext(ctx, network, target)
			if err == nil {
				return &syslog{conn: c, host: host, framed: network == "tcp" || network == "unix"}, nil
			}
			failed = errors.Join(failed, err)
		}
		return nil, failed
	}, nil
}

type syslog struct {
	conn   net.Conn
	host   string
	framed bool // octet counting, for streams
}

func (s *syslog) Close() error { return s.conn.Close() }

func (s *syslog) Send(ctx context.Context, log string, first uint64, records [][]byte) error {
	if d, ok := ctx.Deadline(); ok {
		if err := s.conn.SetWriteDeadline(d); err != nil {
			return err
		}
	}
	var buf []byte
	for i, raw := range records {
		message := s.message(log, first+uint64(i), raw)
		if !s.framed {
			if _, err := s.conn.Write(message); err != nil {
				return err
			}
			continue
		}
		buf = strconv.AppendInt(buf, int64(len(message)), 10)
		buf = append(append(buf, ' '), message...)
	}
	if !s.framed {
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
