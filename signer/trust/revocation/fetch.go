package revocation

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
)

const maxRedirects = 3

// newClient makes a client that reaches nothing but what it should.
func newClient(timeout time.Duration, private bool) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return allowed(to.Addr(), private)
	}}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: timeout,
			MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: 10 * time.Second,
			DisableCompression: true, // a small answer must not become a large one
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return CheckAddress(r.URL.String())
		},
	}
}

// special are networks that are neither private by name nor public (RFC 6890), among them those that carry IPv4 addresses
// within IPv6 ones.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

// allowed decides on the address that is about to be dialled, after all names were resolved.
func allowed(a netip.Addr, private bool) error {
	a = a.Unmap().WithZone("")
	if from, ok := embedded(a); ok && from.IsLinkLocalUnicast() {
		return fmt.Errorf("%v, which is %v, is never fetched from", a, from)
	}
	switch {
	case a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified():
		return fmt.Errorf("%v is never fetched from", a)
	case private:
		return nil
	case a.IsLoopback() || a.IsPrivate():
		return fmt.Errorf("%v is not a public address; private ones are not allowed by the configuration", a)
	}
	for _, p := range special {
		if p.Contains(a) {
			return fmt.Errorf("%v is not a public address; private ones are not allowed by the configuration", a)
		}
	}
	return nil
}

// embedded is the IPv4 address that a translator (RFC 6052 section 2.1) or a tunnel (RFC 3056 section 2) reaches by an IPv6 one.
func embedded(a netip.Addr) (netip.Addr, bool) {
	octets := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return netip.AddrFrom4([4]byte(octets[12:])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(octets[2:6])), true
	}
	return netip.Addr{}, false
}

// get fetches at most limit octets.
func (l *Library) get(ctx context.Context, address string, limit int) ([]byte, error) {
	return l.request(ctx, http.MethodGet, address, nil, limit)
}

func (l *Library) request(ctx context.Context, method, address string, body []byte, limit int) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "epov")
	if body != nil {
		r.Header.Set("Content-Type", "application/ocsp-request")
	}
	answer, err := l.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: the server answers %s", address, answer.Status)
	}
	if answer.ContentLength > int64(limit) {
		return nil, fmt.Errorf("%s: %d octets exceed the limit of %d", address, answer.ContentLength, limit)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", address, err)
	case len(data) > limit:
		return nil, fmt.Errorf("%s: more than %d octets", address, limit)
	}
	return data, nil
}

// fetchResponse asks the responders in turn. An answer that carries a nonce must carry ours; many responders leave it out. It
// takes the place of the one before only if its signer may give it and it is not older, for who sits on the way can replay.
func (l *Library) fetchResponse(ctx context.Context, t *task) (*trust.Response, error) {
	l.mutex.RLock()
	issuer, old := t.issuer, t.response
	l.mutex.RUnlock()
	nonce := []byte(rand.Text())
	question, err := gost.NewOCSPRequest(t.subject, issuer, nonce)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range t.addresses {
		data, err := l.request(ctx, http.MethodPost, a, question, gost.MaxOCSPResponse)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r, err := gost.ParseOCSPResponse(data)
		switch {
		case err != nil:
		case r.Nonce != nil && !bytes.Equal(r.Nonce, nonce):
			err = errors.New("the nonce of the answer is not that of the question")
		case !r.Answers[0].Is(t.subject, issuer):
			err = errors.New("the answer is about another certificate")
		case old != nil && r.Answers[0].ThisUpdate.Before(old.Answers[0].ThisUpdate):
			err = errors.New("the answer is older than the one that is known")
		default:
			err = trust.CheckResponder(r, issuer)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", strings.TrimSpace(a), err))
			continue
		}
		return &trust.Response{OCSPResponse: r, Source: a}, nil
	}
	return nil, errors.Join(errs...)
}

// Get fetches at most limit octets from an address that a person has named, under the bounds of a Library, private addresses
// included.
func Get(ctx context.Context, address string, limit int) ([]byte, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	l := &Library{client: newClient(5*time.Minute, true)}
	return l.get(ctx, address, limit)
}
