package revocation

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
)

// task is a CRL or OCSP response that is fetched again and again. Fields below the line change under the library's mutex.
type task struct {
	key       string
	addresses []string          // tried in turn
	issuer    *gost.Certificate // who must have signed the list or certified the responder; nil: an address of the configuration
	subject   *gost.Certificate // asked about by OCSP; nil: a CRL
	fixed     bool              // from the configuration: renewed though nobody asks

	tried    chan struct{} // closed after the first attempt
	done     bool          // it is
	working  bool
	asked    time.Time // last
	next     time.Time // not before
	failures int
	err      error // of the last attempt
	list     *trust.List
	response *trust.Response
	signer   *gost.Certificate // of an address of the configuration: who signed the list, once a question about it has told
}

// CheckAddress refuses addresses that are never fetched: other schemes than HTTP and HTTPS, credentials, no host.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no address", address)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q is not an address of HTTP or HTTPS", address)
	case u.Host == "" || u.User != nil || len(address) > 2048:
		return fmt.Errorf("%q is not an address without credentials", address)
	}
	return nil
}

// addressesOf lists what can be fetched of distribution points, in their order. Points for some reasons only and points of
// other CRL issuers are left out.
func addressesOf(points []gost.DistributionPoint) []string {
	var out []string
	for _, p := range points {
		if p.Partial {
			continue
		}
		for _, a := range p.URIs() {
			if CheckAddress(a) == nil && len(out) < maxAlternatives {
				out = append(out, a)
			}
		}
	}
	return out
}

// want notes that a list is wanted; nil when there is no address for it.
func (l *Library) want(addresses []string, issuer *gost.Certificate) *task {
	if len(addresses) == 0 {
		return nil
	}
	return l.note(&task{key: listKey(addresses, issuer), addresses: addresses, issuer: issuer})
}

// listKey is the key of the task of a list. The issuer is part of it, by name and key: else a CA that names the addresses of
// another would have the other's lists refused.
func listKey(addresses []string, issuer *gost.Certificate) string {
	key := strings.Join(addresses, " ")
	if issuer != nil {
		key += " " + digest(append([]byte(issuer.RawSubject), issuer.RawSubjectPublicKeyInfo...))
	}
	return key
}

// what names the task for people.
func (t *task) what() string {
	if t.subject != nil {
		return t.key
	}
	return strings.Join(t.addresses, " ")
}

// ask notes that an OCSP response about c is wanted; nil when no responder is named.
func (l *Library) ask(c, issuer *gost.Certificate) *task {
	var addresses []string
	for _, a := range c.OCSPServers {
		if CheckAddress(a) == nil && len(addresses) < 4 {
			addresses = append(addresses, a)
		}
	}
	if len(addresses) == 0 {
		return nil
	}
	fingerprint := c.Fingerprint()
	return l.note(&task{key: "ocsp:" + hex.EncodeToString(fingerprint[:]), addresses: addresses, issuer: issuer, subject: c})
}

// note returns the task of that key, which may be one that is known already; nil when there are too many.
func (l *Library) note(t *task) *task {
	now := l.now()
	l.mutex.RLock()
	known := l.tasks[t.key]
	recent := known != nil && now.Sub(known.asked) < time.Minute
	l.mutex.RUnlock()
	if recent {
		return known
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if known = l.tasks[t.key]; known == nil {
		if len(l.tasks) >= maxTasks {
			l.forget(now)
		}
		if len(l.tasks) >= maxTasks {
			return nil
		}
		known = t
		l.tasks[t.key] = t
		t.tried = make(chan struct{})
		l.nudge()
	}
	known.asked = now
	return known
}

// vouch notes who has signed lists from addresses of the configuration, which nothing else tells: from then on no stranger's
// list takes their place.
func (l *Library) vouch(issuer *gost.Certificate) {
	for _, t := range l.fixed {
		l.mutex.RLock()
		list, open := t.list, t.signer == nil
		l.mutex.RUnlock()
		if open && list != nil && list.Issuer.Equal(issuer.Subject) && list.CheckSignatureFrom(issuer) == nil {
			l.mutex.Lock()
			if t.list == list {
				t.signer = issuer
			}
			l.mutex.Unlock()
		}
	}
}

// unasked reports whether nobody has asked for the task in a long while.
func (t *task) unasked(now time.Time) bool {
	limit := longIdle
	if t.subject != nil {
		limit = idle
	}
	return !t.fixed && now.Sub(t.asked) > limit
}

// forget drops what nobody asks for.
func (l *Library) forget(now time.Time) {
	for key, t := range l.tasks {
		if t.unasked(now) && !t.working {
			delete(l.tasks, key)
		}
	}
	l.index()
}

// due takes the tasks whose time has come, and says how long to wait for the next.
func (l *Library) due() ([]*task, time.Duration) {
	now := l.now()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var out []*task
	wait := time.Hour
	for _, key := range sorted(l.tasks) {
		t := l.tasks[key]
		if t.working || t.unasked(now) {
			continue
		}
		if d := t.next.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		t.working = true
		out = append(out, t)
	}
	return out, wait
}

// do makes one attempt at a task.
func (l *Library) do(ctx context.Context, t *task) {
	var err error
	var list *trust.List
	var response *trust.Response
	if t.subject != nil {
		response, err = l.fetchResponse(ctx, t)
	} else {
		list, err = l.fetchList(ctx, t)
	}
	now := l.now()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	t.working, t.err = false, err
	switch {
	case err != nil:
		t.next = now.Add(backoff(t.failures))
		t.failures++
		if ctx.Err() == nil {
			l.log.Warn("revocation was not fetched", "what", t.what(), "failures", t.failures, "error", err)
		}
	case list != nil:
		if t.list != nil && list.Fingerprint != t.list.Fingerprint && t.signer != nil && list.CheckSignatureFrom(t.signer) != nil {
			t.signer = nil
		}
		t.failures, t.list, t.next = 0, list, now.Add(l.renewal(now, list.ThisUpdate, list.NextUpdate))
		l.index()
		l.log.Info("a CRL was fetched", "source", list.Source, "entries", list.Len(), "this_update", list.ThisUpdate,
			"next_update", list.NextUpdate)
	case response != nil:
		a := &response.Answers[0]
		t.failures, t.response, t.next = 0, response, now.Add(l.renewal(now, a.ThisUpdate, a.NextUpdate))
	}
	if !t.done {
		t.done = true
		close(t.tried)
	}
}

// renewal is how long to wait before the next fetch: until some 80 or 90 % of the time up to nextUpdate are over, at another
// moment on each machine; in between only when that is long.
func (l *Library) renewal(now, thisUpdate, nextUpdate time.Time) time.Duration {
	wait := l.config.Every
	if !nextUpdate.IsZero() {
		whole := nextUpdate.Sub(thisUpdate)
		wait = min(wait, nextUpdate.Add(-time.Duration((0.1+0.1*rand.Float64())*float64(whole))).Sub(now))
	} else {
		wait -= time.Duration(0.1 * rand.Float64() * float64(wait))
	}
	return max(wait, shortest)
}

// backoff is how long to wait after a number of failures in a row, and another one.
func backoff(failures int) time.Duration {
	d := min(firstRetry<<min(failures, 10), lastRetry)
	return d - time.Duration(0.2*rand.Float64()*float64(d))
}

// fetchList tries the addresses in turn. A list takes the place of the one before only if it is of the same issuer, signed
// by it, not older, and of the same kind and scope: one that speaks of other certificates, or of changes only, would have what
// is known of revocations forgotten.
func (l *Library) fetchList(ctx context.Context, t *task) (*trust.List, error) {
	l.mutex.RLock()
	issuer, old := t.issuer, t.list
	if t.signer != nil && old != nil && l.now().Before(old.NextUpdate) {
		issuer = t.signer // until the list ends: then its CA may have another key
	}
	l.mutex.RUnlock()
	var errs []error
	for _, a := range t.addresses {
		data, err := l.get(ctx, a, gost.MaxRevocationList)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list, err := gost.ParseRevocationList(data)
		if err == nil {
			err = acceptable(list, issuer, old, l.now())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
			continue
		}
		if old != nil && old.Fingerprint == list.Fingerprint {
			list = old.RevocationList // one copy is enough
		} else if err := l.save(t, a, t.issuer, data); err != nil {
			l.log.Error("a CRL cannot be kept on disk", "source", a, "error", err)
		}
		return &trust.List{RevocationList: list, Source: a}, nil
	}
	return nil, errors.Join(errs...)
}

func acceptable(list *gost.RevocationList, issuer *gost.Certificate, old *trust.List, now time.Time) error {
	if issuer != nil {
		if !list.Issuer.Equal(issuer.Subject) {
			return fmt.Errorf("the CRL is of another issuer, %s", list.Issuer)
		}
		if err := list.CheckSignatureFrom(issuer); err != nil {
			return err
		}
	}
	switch {
	case old == nil || !old.Issuer.Equal(list.Issuer):
	case list.ThisUpdate.Before(old.ThisUpdate):
		return fmt.Errorf("the CRL is older than the one that is known: thisUpdate %s", list.ThisUpdate.UTC().Format(time.RFC3339))
	case (list.BaseNumber == nil) != (old.BaseNumber == nil):
		return errors.New("one CRL is complete and the other a delta, the one that is known and the one that is there now")
	case !list.Scope.Equal(old.Scope) && now.Before(old.NextUpdate):
		return errors.New("the CRL has another scope than the one that is known, which has not ended")
	}
	return nil
}
