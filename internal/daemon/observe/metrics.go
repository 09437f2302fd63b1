package observe

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
)

// Config is what metrics are made of.
type Config struct {
	State    func() State // of the moment; it must not wait for a token
	Profiles []string     // that are known; others count as "other"
}

// Metrics counts what passes, and collects what there is to see. Safe for concurrent use.
type Metrics struct {
	state    func() State
	profiles map[string]bool
	started  time.Time
	registry *prometheus.Registry
	counters map[string]*prometheus.CounterVec

	active     atomic.Int64
	requests   *prometheus.CounterVec
	signatures *prometheus.CounterVec
	methods    table[string, Histogram]
	signings   table[signing, series]
	keys       table[string, tally]
	tokens     table[string, tally]
	restarts   table[string, atomic.Uint64]

	signed, refused             meter
	queue, token, verify, total recent
}

// signing is a key on a token.
type signing struct{ key, token string }

// series are the numbers of a key on a token.
type series struct {
	queue, token, verify, total Histogram
	retries                     atomic.Uint64
	outcomes                    [24]atomic.Uint64 // ok, then the kinds of package hsm's errors
	ofKey, ofToken              *tally
}

// tally is what a key or a token did lately.
type tally struct {
	signed, offered meter
	latency         recent
}

// New makes metrics.
func New(c Config) *Metrics {
	m := &Metrics{state: c.State, profiles: map[string]bool{}, started: time.Now(), registry: prometheus.NewRegistry(),
		counters: map[string]*prometheus.CounterVec{}}
	for _, p := range c.Profiles {
		m.profiles[p] = true
	}
	for _, c := range Catalog {
		if c.Type == "counter" && !collected[c.Name] {
			m.counters[c.Name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: c.Name, Help: c.Help}, c.Labels)
			m.registry.MustRegister(m.counters[c.Name])
		}
	}
	m.requests, m.signatures = m.counters["epov_requests_total"], m.counters["epov_signatures_total"]
	m.registry.MustRegister(collector{m}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// count adds one to a counter of the catalog.
func (m *Metrics) count(name string, labels ...string) {
	m.counters[name].WithLabelValues(labels...).Inc()
}

// Run keeps what is said of "lately" current, until ctx ends.
func (m *Metrics) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last, turned := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			m.tick(now.Sub(last))
			last = now
			if now.Sub(turned) >= generation {
				turned = now
				m.turn()
			}
		}
	}
}

func (m *Metrics) tick(passed time.Duration) {
	if passed <= 0 {
		return
	}
	m.signed.tick(passed)
	m.refused.tick(passed)
	for _, tallies := range []map[string]*tally{m.keys.all(), m.tokens.all()} {
		for _, t := range tallies {
			t.signed.tick(passed)
			t.offered.tick(passed)
		}
	}
}

func (m *Metrics) turn() {
	for _, r := range []*recent{&m.queue, &m.token, &m.verify, &m.total} {
		r.turn()
	}
	for _, tallies := range []map[string]*tally{m.keys.all(), m.tokens.all()} {
		for _, t := range tallies {
			t.latency.turn()
		}
	}
}

// began is told of each call that begins.
func (m *Metrics) began() { m.active.Add(1) }

// ended is told of each call that ends.
func (m *Metrics) ended(c api.Call) {
	m.active.Add(-1)
	m.requests.WithLabelValues(c.Method, c.Code.String()).Inc()
	h := m.methods.all()[c.Method]
	if h == nil {
		h = m.methods.grow(c.Method, empty)
	}
	h.Observe(c.Took)
}

// request is told of each request for a signature that ends.
func (m *Metrics) request(s signer.Signing) {
	code, profile := "ok", s.Profile
	if s.Code != "" {
		code = string(s.Code)
		m.refused.add()
	} else {
		m.signed.add()
		m.total.Observe(s.Ended.Sub(s.Begun))
	}
	if profile != "" && !m.profiles[profile] {
		profile = "other"
	}
	m.signatures.WithLabelValues(string(s.Operation), profile, code).Inc()
}

// submitted is told of each digest that tokens were asked to sign.
func (m *Metrics) submitted(s hsm.Signing) {
	k := signing{s.Key, s.Token}
	t := m.signings.all()[k]
	if t == nil {
		t = m.signings.grow(k, func() *series {
			return &series{ofKey: m.keys.grow(s.Key, empty), ofToken: m.tokens.grow(s.Token, empty)}
		})
	}
	if s.Retried {
		t.retries.Add(1)
	}
	if s.Err != nil {
		kind := hsm.KindOf(s.Err)
		t.outcomes[outcome(kind)].Add(1)
		if kind == hsm.Busy {
			t.ofToken.offered.add()
		}
		return
	}
	t.outcomes[0].Add(1)
	total := s.Wait + s.Sign + s.Verify
	t.queue.Observe(s.Wait)
	t.token.Observe(s.Sign)
	t.verify.Observe(s.Verify)
	t.total.Observe(total)
	m.queue.Observe(s.Wait)
	m.token.Observe(s.Sign)
	m.verify.Observe(s.Verify)
	t.ofKey.signed.add()
	t.ofKey.latency.Observe(total)
	t.ofToken.signed.add()
	t.ofToken.offered.add()
	t.ofToken.latency.Observe(s.Sign)
}

// outcome is the place of a kind among the outcomes; "ok" has the first.
func outcome(k hsm.Kind) int { return min(int(k)+1, len(series{}.outcomes)-1) }

// recovered is told of each remedy.
func (m *Metrics) recovered(r hsm.Recovery) {
	m.count("epov_token_recoveries_total", r.Token, r.Remedy, result(r.Err))
	if r.Remedy == hsm.RemedyRestart {
		m.restarts.grow(r.Token, empty).Add(1)
	}
}

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// tested is told of each test signature.
func (m *Metrics) tested(c hsm.Canary) {
	m.counters["epov_canary_results_total"].WithLabelValues(c.Key, c.Token, "failed") // from 0 on, so that the first is an increase
	m.count("epov_canary_results_total", c.Key, c.Token, result(c.Err))
}

// sessionClosed is told of each session that ends.
func (m *Metrics) sessionClosed(token string, reason error) {
	cause := "idle"
	if reason != nil {
		cause = "fault"
	}
	m.count("epov_token_sessions_closed_total", token, cause)
}

// Trace gives the functions to be called by the scheduler, the service and the server.
func (m *Metrics) Trace() (hsm.Trace, signer.Trace, api.Trace) {
	return hsm.Trace{
			Signed:        m.submitted,
			SessionOpened: func(token string) { m.count("epov_token_sessions_opened_total", token) },
			SessionClosed: m.sessionClosed,
			Login:         func(token string, err error) { m.count("epov_token_logins_total", token, result(err)) },
			Recovery:      m.recovered,
			Canary:        m.tested,
		}, signer.Trace{
			Signed: func(_ context.Context, s signer.Signing) { m.request(s) },
		}, api.Trace{
			Began:   func(ctx context.Context, _ string) context.Context { m.began(); return ctx },
			Ended:   func(_ context.Context, c api.Call) { m.ended(c) },
			Refused: func(r api.Refusal) { m.count("epov_refusals_total", string(r)) },
		}
}

// State is what there is to see now.
func (m *Metrics) State() State {
	s := m.state()
	s.Started, s.Active = m.started, m.active.Load()
	s.Rate, s.Refusals, s.Signed, s.NotSigned = m.signed.perSecond(), m.refused.perSecond(), m.signed.count(), m.refused.count()
	s.Queue, s.Token, s.Verify, s.Total = m.queue.latency(), m.token.latency(), m.verify.latency(), m.total.latency()
	for i := range s.Tokens {
		t := &s.Tokens[i]
		if tally := m.tokens.all()[t.Name]; tally != nil {
			t.Rate, t.Offered, t.Latency = tally.signed.perSecond(), tally.offered.perSecond(), tally.latency.latency()
		}
		if n := m.restarts.all()[t.Name]; n != nil {
			t.Restarts = n.Load()
		}
		t.Headroom = t.headroom()
	}
	for i := range s.Keys {
		if tally := m.keys.all()[s.Keys[i].Name]; tally != nil {
			s.Keys[i].Rate, s.Keys[i].Latency = tally.signed.perSecond(), tally.latency.latency()
		}
	}
	return s
}
