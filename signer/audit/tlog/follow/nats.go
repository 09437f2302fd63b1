package follow

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// NATS is a stream of NATS JetStream, which must be there: the service only publishes.
type NATS struct {
	URL         string // "nats://host:port" or "tls://host:port", without a password
	Subject     string // that the stream takes
	Credentials string // file with a user's JWT and key; empty: none
	CA          string // file with who issued the server's certificate; empty: as the system says
}

// Check says what is wrong with the settings.
func (n NATS) Check() error {
	u, err := url.Parse(n.URL)
	switch {
	case err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.Port() == "":
		return errors.New("not nats://host:port or tls://host:port")
	case u.User != nil:
		return errors.New("a user does not belong into the address; see credentials")
	case n.Subject == "" || strings.ContainsAny(n.Subject, " \t\r\n*>"):
		return errors.New("the subject must be one without wildcards")
	}
	return nil
}

// Open connects. Each record is a message with the record in its canonical form, and Nats-Msg-Id log#index: the stream drops
// one that it has already, within its time for duplicates.
func (n NATS) Open(ctx context.Context) (Sink, error) {
	options := []nats.Option{nats.Name("epovd audit"), nats.NoReconnect(), nats.Timeout(sendTime / 3)}
	if n.Credentials != "" {
		options = append(options, nats.UserCredentials(n.Credentials))
	}
	if n.CA != "" {
		options = append(options, nats.RootCAs(n.CA))
	}
	conn, err := nats.Connect(n.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	stream, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("NATS: %w", err)
	}
	return &publisher{conn, stream, n.Subject}, nil
}

type publisher struct {
	conn    *nats.Conn
	stream  jetstream.JetStream
	subject string
}

func (p *publisher) Close() error {
	p.conn.Close()
	return nil
}

// Send returns when the stream has acknowledged every record.
func (p *publisher) Send(ctx context.Context, log string, first uint64, records [][]byte) error {
	acknowledged := make([]jetstream.PubAckFuture, len(records))
	for i, raw := range records {
		id := log + "#" + strconv.FormatUint(first+uint64(i), 10)
		f, err := p.stream.PublishAsync(p.subject, raw, jetstream.WithMsgID(id))
		if err != nil {
			return fmt.Errorf("NATS: %w", err)
		}
		acknowledged[i] = f
	}
	for _, f := range acknowledged {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return fmt.Errorf("NATS: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("NATS: no acknowledgement: %w", ctx.Err())
		}
	}
	return nil
}
