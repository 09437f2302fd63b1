// Package revocation gathers CRLs and OCSP responses for package trust: from files and folders, from the distribution points
// and responders that certificates name, and from addresses in the configuration.
//
// Verification does not wait for the network. It is answered from memory, and what it asked for in vain is fetched in the
// background and renewed before it ends; what was fetched is kept on disk for the next start and for times without a
// network. Only [Config].Wait lets the first question about an issuer wait, for a bounded time.
//
// # What is fetched from where
//
// Addresses in certificates are followed only once the path of the certificate to a trust anchor is sound: a stranger's
// message makes nobody connect anywhere. HTTP and HTTPS only, without a proxy, at most three redirects, bounded time and
// size, no compression. Connections go to public addresses only, decided on the address that is really dialled, unless
// PrivateAddresses is set; to link-local addresses, where clouds keep their secrets, never. What comes back is believed only
// with the signature of the certificate's issuer.
package revocation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
)

// Config says where to look. The zero value of a field means its default; the zero Config knows nothing.
type Config struct {
	Files   []string // CRLs, DER or PEM; each must be readable when the library is opened
	Folders []string // with CRLs named *.crl, *.der or *.pem; what cannot be read there is logged and passed over

	Fetch     bool     // follow cRLDistributionPoints and freshestCRL of certificates
	OCSP      bool     // ask the responders that certificates name
	Addresses []string // of further CRLs, fetched whether or not a certificate names them
	Cache     string   // folder that keeps what was fetched; empty: only memory does

	PrivateAddresses bool          // fetch from loopback and private networks too
	Timeout          time.Duration // for one attempt, the body included; default a minute
	Every            time.Duration // at most so long between two fetches of a list; default 12 hours
	Wait             time.Duration // how long a question about a certificate waits for the first answer; default not at all

	Logger *slog.Logger     // nil: slog.Default()
	Now    func() time.Time // nil: time.Now
}

// Bounds and intervals.
const (
	defaultTimeout  = time.Minute
	defaultEvery    = 12 * time.Hour
	shortest        = 5 * time.Minute  // between two fetches that succeeded
	firstRetry      = 30 * time.Second // after a failure, doubling up to lastRetry
	lastRetry       = time.Hour
	rescan          = time.Minute         // between two looks at files and folders
	maxTasks        = 8192                // addresses and certificates that are watched
	idle            = 24 * time.Hour      // after which nobody is taken to ask for an OCSP response any more
	longIdle        = 90 * 24 * time.Hour // and for a CRL
	fetchers        = 4                   // at once
	maxAlternatives = 16                  // addresses of one list
)

// Library is what is known about revocation; it is a trust.Revocations. Safe for concurrent use.
type Library struct {
	config Config
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	wake   chan struct{} // there may be something to fetch
	fixed  []*task       // of the configuration

	mutex sync.RWMutex
	files map[string]file         // CRLs from files, by path
	tasks map[string]*task        // what is fetched, by key
	lists map[string][]trust.List // by the DER of the issuer's name: from files and tasks
	named map[string][]string     // further addresses of CRLs, by the DER of the issuer's certificate
}

// Open reads files and folders. It touches neither the cache nor the network; see OpenCache and Run.
func Open(c Config) (*Library, error) {
	c.Timeout, c.Every = cmp.Or(c.Timeout, defaultTimeout), cmp.Or(c.Every, defaultEvery)
	l := &Library{
		config: c, log: c.Logger, now: c.Now, wake: make(chan struct{}, 1),
		files: map[string]file{}, tasks: map[string]*task{}, lists: map[string][]trust.List{},
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.client = newClient(c.Timeout, c.PrivateAddresses)
	for _, name := range c.Files {
		if err := l.readFile(name); err != nil {
			return nil, err
		}
	}
	for _, name := range c.Folders {
		if err := l.readFolder(name); err != nil {
			return nil, err
		}
	}
	for _, a := range c.Addresses {
		if err := CheckAddress(a); err != nil {
			return nil, err
		}
		if l.tasks[a] == nil {
			l.tasks[a] = &task{key: a, addresses: []string{a}, fixed: true, tried: make(chan struct{})}
			l.fixed = append(l.fixed, l.tasks[a])
		}
	}
	l.index()
	return l, nil
}

// Lists implements trust.Revocations.
func (l *Library) Lists(c, issuer *gost.Certificate) []trust.List {
	l.vouch(issuer)
	lists := l.known(c)
	if !l.config.Fetch {
		return lists
	}
	first := l.want(l.alternatives(c, issuer), issuer)
	l.want(addressesOf(c.FreshestCRL), issuer)
	for _, list := range lists {
		l.want(addressesOf(list.FreshestCRL), issuer)
	}
	if len(lists) > 0 || first == nil || !l.await(first) {
		return lists
	}
	return l.known(c)
}

// SetAddresses names further addresses of CRLs, by the DER of the certificate of their issuer, such as those in a list of
// accredited authorities. They are tried after those in the certificate asked about.
func (l *Library) SetAddresses(byIssuer map[string][]string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.named = byIssuer
}

// alternatives are the addresses of the CRL that speaks of c.
func (l *Library) alternatives(c, issuer *gost.Certificate) []string {
	addresses := addressesOf(c.DistributionPoints)
	l.mutex.RLock()
	defer l.mutex.RUnlock()
	for _, a := range l.named[string(issuer.Raw)] {
		if CheckAddress(a) == nil && !slices.Contains(addresses, a) && len(addresses) < maxAlternatives {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

func (l *Library) known(c *gost.Certificate) []trust.List {
	l.mutex.RLock()
	defer l.mutex.RUnlock()
	return l.lists[string(c.RawIssuer)]
}

// Responses implements trust.Revocations.
func (l *Library) Responses(c, issuer *gost.Certificate) []trust.Response {
	if !l.config.OCSP {
		return nil
	}
	t := l.ask(c, issuer)
	if t == nil {
		return nil
	}
	if r := l.response(t); r != nil || !l.await(t) {
		return r
	}
	return l.response(t)
}

func (l *Library) response(t *task) []trust.Response {
	l.mutex.RLock()
	defer l.mutex.RUnlock()
	if t.response == nil {
		return nil
	}
	return []trust.Response{*t.response}
}

// await lets a question wait for a task that was never done. Run must be running.
func (l *Library) await(t *task) bool {
	if l.config.Wait <= 0 {
		return false
	}
	timer := time.NewTimer(l.config.Wait)
	defer timer.Stop()
	select {
	case <-t.tried:
		return true
	case <-timer.C:
		return false
	}
}

// Run fetches, renews and looks at the files until ctx ends. It is to be run once.
func (l *Library) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	free := make(chan struct{}, fetchers)
	scan := time.NewTicker(rescan)
	defer scan.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-scan.C:
			l.rescan()
		case <-l.wake:
		case <-timer.C:
		}
		due, next := l.due()
		for _, t := range due {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			group.Go(func() {
				defer func() { <-free }()
				l.do(ctx, t)
				l.nudge()
			})
		}
		timer.Reset(next)
	}
}

// FetchNow fetches what is due and returns when that is done: for programs that do not stay. The error joins what failed.
func (l *Library) FetchNow(ctx context.Context) error {
	due, _ := l.due()
	var errs []error
	for _, t := range due {
		l.do(ctx, t)
		l.mutex.RLock()
		if t.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.what(), t.err))
		}
		l.mutex.RUnlock()
	}
	return errors.Join(errs...)
}

func (l *Library) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// index rebuilds lists; the caller holds the mutex, or is Open. Of lists that one address gave only the last is there.
func (l *Library) index() {
	lists := map[string][]trust.List{}
	add := func(list trust.List) {
		name := string(list.Issuer)
		same := func(o trust.List) bool { return o.Fingerprint == list.Fingerprint }
		if !slices.ContainsFunc(lists[name], same) {
			lists[name] = append(lists[name], list)
		}
	}
	for _, path := range sorted(l.files) {
		add(l.files[path].list)
	}
	for _, key := range sorted(l.tasks) {
		if t := l.tasks[key]; t.list != nil {
			add(*t.list)
		}
	}
	l.lists = lists
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
