package tsp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Config says whom to ask and how.
type Config struct {
	URLs    []string              // of authorities, http or https, in the order of preference; at most 8
	Policy  asn1.ObjectIdentifier // that tokens must be issued under; nil: any
	Digest  string                // of the imprint: "streebog256" (default), "streebog512", "sha256", "sha384" or "sha512"
	Timeout time.Duration         // for one attempt, default 10 s
	Rounds  int                   // how often each authority is asked, default 2
	Trust   *trust.Store          // who may have issued an authority's certificate; nil: not checked here
	Now     func() time.Time      // nil: time.Now
}

const (
	defaultDigest  = "streebog256"
	defaultTimeout = 10 * time.Second
	defaultRounds  = 2
	maxURLs        = 8
	maxRounds      = 10
	pause          = 200 * time.Millisecond // before the second round, twice that before the third, and so on
)

// Client asks for time-stamps. Safe for concurrent use.
type Client struct {
	config Config
	http   *http.Client
}

// NewClient checks the configuration.
func NewClient(c Config) (*Client, error) {
	c.Digest, c.Timeout, c.Rounds = cmp.Or(c.Digest, defaultDigest), cmp.Or(c.Timeout, defaultTimeout), cmp.Or(c.Rounds, defaultRounds)
	switch {
	case len(c.URLs) == 0:
		return nil, errors.New("tsp: no authority is named")
	case len(c.URLs) > maxURLs:
		return nil, fmt.Errorf("tsp: %d authorities, the limit is %d", len(c.URLs), maxURLs)
	case c.Timeout < 0 || c.Rounds < 0 || c.Rounds > maxRounds:
		return nil, errors.New("tsp: timeout or number of rounds out of range")
	}
	if _, _, ok := cms.Imprint(c.Digest, nil); !ok {
		return nil, fmt.Errorf("tsp: no digest %q", c.Digest)
	}
	for _, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("tsp: not an http or https URL: %q", redacted(text))
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: c.Timeout,
	}
	return &Client{config: c, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// TimeStamp gets a token over the octets. Authorities are asked one after another, each as often as the configuration says
// unless it has refused for good. A token is returned only when it is what was asked for and its signature verifies, with
// trust when the configuration has a store. The error is a *report.Error, TimeStampUnavailable, that tells what each
// authority said last; or that of the context.
func (c *Client) TimeStamp(ctx context.Context, octets []byte) ([]byte, error) {
	said := make([]error, len(c.config.URLs))
	refused := make([]bool, len(c.config.URLs))
	for round := range c.config.Rounds {
		if round > 0 {
			if err := sleep(ctx, time.Duration(round)*pause); err != nil {
				return nil, err
			}
		}
		asked := false
		for i, address := range c.config.URLs {
			if refused[i] {
				continue
			}
			asked = true
			token, err := c.ask(ctx, address, octets)
			if err == nil {
				return token, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			said[i] = err
			var r *refusal
			refused[i] = errors.As(err, &r)
		}
		if !asked {
			break
		}
	}
	var b strings.Builder
	for i, err := range said {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %s", host(c.config.URLs[i]), printable(err.Error()))
	}
	return nil, report.Errorf(report.TimeStampUnavailable, report.Place{}, "no time-stamp: %s", b.String())
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// refusal is an answer that asking again will not change.
type refusal struct{ response *Response }

func (r *refusal) Error() string {
	s := r.response.Status.String()
	if r.response.Failure != NoFailure {
		s += ", " + r.response.Failure.String()
	}
	if r.response.Text != "" {
		s += ": " + r.response.Text
	}
	return s
}

// ask makes one attempt.
func (c *Client) ask(ctx context.Context, address string, octets []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	digest, imprint, _ := cms.Imprint(c.config.Digest, octets)
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, err
	}
	request := &Request{Digest: digest, Imprint: imprint, Policy: c.config.Policy, Nonce: nonce, Certificates: true}
	query, err := request.Marshal()
	if err != nil {
		return nil, err
	}
	reply, err := c.post(ctx, address, query)
	if err != nil {
		return nil, err
	}
	response, err := ParseResponse(reply)
	if err != nil {
		return nil, err
	}
	if response.Status != Granted && response.Status != GrantedWithMods {
		switch response.Failure {
		case TimeNotAvailable, SystemFailure, NoFailure:
			return nil, errors.New((&refusal{response}).Error())
		}
		return nil, &refusal{response}
	}
	return response.Token, c.check(request, response.Token, octets)
}

// post is bounded in time by ctx and in size; redirections are answers like any other that is not 200.
func (c *Client) post(ctx context.Context, address string, query []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", mediaQuery)
	request.Header.Set("Accept", mediaReply)
	response, err := c.http.Do(request)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // without the address, which may hold a password
		}
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("HTTP status %d", response.StatusCode)
	case len(body) > maxResponse:
		return nil, fmt.Errorf("the answer is longer than %d octets", maxResponse)
	}
	return body, nil
}

// check holds the token against the request (RFC 3161 section 2.4.2).
func (c *Client) check(request *Request, token, octets []byte) error {
	ts, err := cms.ParseTimeStamp(token)
	if err != nil {
		return err
	}
	switch {
	case ts.Nonce == nil || ts.Nonce.Cmp(request.Nonce) != 0:
		return errors.New("the token is the answer to another request: its nonce differs")
	case !ts.Digest.Equal(request.Digest) || !bytes.Equal(ts.Imprint, request.Imprint):
		return errors.New("the token has another imprint than the request")
	case request.Policy != nil && !ts.Policy.Equal(request.Policy):
		return fmt.Errorf("the token is issued under the policy %s, not %s", ts.Policy, request.Policy)
	}
	_, checks := ts.Verify(octets, cms.Policy{Trust: c.config.Trust, Time: c.config.Now()})
	for _, check := range checks {
		if check.Status == report.Failed ||
			check.Status == report.NotChecked && (c.config.Trust != nil || check.Code != report.TimeStampTrust) {
			return fmt.Errorf("%s: %s", check.Code, check.Message)
		}
	}
	return nil
}

// host names an authority in a message.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "?"
	}
	return u.Host
}

// redacted is a URL without its password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "…"
	}
	return u.Redacted()
}
