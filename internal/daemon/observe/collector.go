package observe

import (
	"math"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/epov-signer/epov/hsm"
)

// collected are the counters that the collector gives; the others count for themselves.
var collected = map[string]bool{
	"epov_signings_total": true, "epov_signing_retries_total": true, "epov_token_signatures_total": true,
	"epov_module_restarts_total": true, "epov_reloads_refused_total": true, "epov_client_calls_total": true,
	"epov_client_refusals_total": true, "epov_audit_records_total": true,
}

// The states that metrics tell apart.
var (
	tokenStates = []string{"ready", "recovering", "away", "operator", "closed"}
	pinStates   = []string{"ok", "low", "final", "locked", "refused", "unknown"}
	keyStates   = []string{"active", "staged", "retired"}
)

// headroom is 1 - offered/capacity of a token that signs; 0 of one that does not; NaN when the capacity is not known.
func (t *Token) headroom() float64 {
	capacity := t.Capacity()
	switch {
	case t.State != "ready":
		return 0
	case capacity == 0:
		return math.NaN()
	}
	return 1 - t.Offered/capacity
}

// collector gives what is looked up at a scrape.
type collector struct{ *Metrics }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range Catalog {
		if m.Type != "counter" || collected[m.Name] {
			to <- descs[m.Name]
		}
	}
}

// Collect implements prometheus.Collector. It asks no token.
func (c collector) Collect(to chan<- prometheus.Metric) {
	e := emitter{to}
	for method, h := range c.methods.all() {
		e.histogram("epov_request_duration_seconds", h, method)
	}
	for k, s := range c.signings.all() {
		e.series(k, s)
	}
	s := c.State()
	e.gauge("epov_requests_active", float64(s.Active))
	e.gauge("epov_build_info", 1, s.Version, runtime.Version())
	e.gauge("epov_serving", truth(s.Serving))
	e.gauge("epov_draining", truth(s.Draining))
	e.gauge("epov_connections", float64(s.Connections))
	e.gauge("epov_connections_limit", float64(s.ConnectionsLimit))
	for i := range s.Tokens {
		e.token(&s.Tokens[i], s.Now)
	}
	for i := range s.Keys {
		e.key(&s.Keys[i])
	}
	for _, cert := range s.Certificates {
		e.gauge("epov_certificate_remaining_days", cert.Days(s.Now), cert.Kind, cert.Name)
	}
	for part, n := range s.Reloads {
		e.counter("epov_reloads_refused_total", uint64(n), part)
	}
	for _, u := range s.Usage {
		e.usage(u)
	}
	if a := s.Audit; a != nil {
		e.gauge("epov_audit_up", truth(a.Reason == ""))
		e.counter("epov_audit_records_total", a.Records)
		e.gauge("epov_audit_lag_records", float64(a.Lag))
		e.gauge("epov_audit_waiting_bytes", float64(a.Waiting))
		for _, f := range a.Followers {
			e.gauge("epov_audit_follower_up", truth(f.Up), f.Name)
			e.gauge("epov_audit_follower_lag_records", float64(f.Lag), f.Name)
		}
	}
	for _, p := range s.Sandbox {
		e.gauge("epov_sandbox_in_force", truth(p.InForce), p.Name)
	}
	e.gauge("epov_crl_lists", float64(s.Revocations.Lists))
	e.gauge("epov_crl_overdue", float64(s.Revocations.Overdue))
	e.gauge("epov_crl_failing", float64(s.Revocations.Failing))
	if !s.Revocations.Oldest.IsZero() {
		e.gauge("epov_crl_oldest_age_seconds", s.Now.Sub(s.Revocations.Oldest).Seconds())
	}
}

// emitter gives metrics of the catalog to a scrape.
type emitter struct{ to chan<- prometheus.Metric }

func (e emitter) gauge(name string, v float64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(descs[name], prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(name string, n uint64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(descs[name], prometheus.CounterValue, float64(n), labels...)
}

// oneOf gives a metric for each state there is, of which one is 1.
func (e emitter) oneOf(name string, states []string, now, of string) {
	for _, state := range states {
		e.gauge(name, truth(state == now), of, state)
	}
}

func (e emitter) series(k signing, s *series) {
	e.histogram("epov_signing_queue_seconds", &s.queue, k.key, k.token)
	e.histogram("epov_signing_token_seconds", &s.token, k.key, k.token)
	e.histogram("epov_signing_verify_seconds", &s.verify, k.key, k.token)
	e.histogram("epov_signing_total_seconds", &s.total, k.key, k.token)
	e.counter("epov_signing_retries_total", s.retries.Load(), k.key, k.token)
	e.counter("epov_signings_total", s.outcomes[0].Load(), k.key, k.token, "ok")
	for _, kind := range hsm.Kinds() {
		if n := s.outcomes[outcome(kind)].Load(); n > 0 {
			e.counter("epov_signings_total", n, k.key, k.token, kind.String())
		}
	}
}

func (e emitter) token(t *Token, now time.Time) {
	e.oneOf("epov_token_state", tokenStates, t.State, t.Name)
	e.oneOf("epov_token_pin_state", pinStates, t.PIN, t.Name)
	e.gauge("epov_token_state_seconds", now.Sub(t.Since).Seconds(), t.Name)
	e.gauge("epov_token_sessions", float64(t.Sessions), t.Name)
	e.gauge("epov_token_sessions_limit", float64(t.Limit), t.Name)
	e.gauge("epov_token_sessions_working", float64(t.Working), t.Name)
	e.gauge("epov_token_queued_requests", float64(t.Queued), t.Name)
	e.gauge("epov_token_calls_hanging", float64(t.Hanging), t.Name)
	e.gauge("epov_token_offered_rate", t.Offered, t.Name)
	e.counter("epov_module_restarts_total", t.Restarts, t.Name)
	e.counter("epov_token_signatures_total", t.Signed, t.Name)
	if capacity := t.Capacity(); capacity > 0 {
		e.gauge("epov_token_service_seconds", t.Service.Seconds(), t.Name)
		e.gauge("epov_token_capacity_rate", capacity, t.Name)
	}
	if !math.IsNaN(t.Headroom) {
		e.gauge("epov_token_headroom_ratio", t.Headroom, t.Name)
	}
}

func (e emitter) key(k *Key) {
	e.gauge("epov_key_usable", truth(k.Reason == ""), k.Name)
	e.oneOf("epov_key_state", keyStates, k.State, k.Name)
	for _, r := range k.Replicas {
		e.gauge("epov_key_out_of_service", truth(r.OutOfService), k.Name, r.Token)
		if !r.Signed.IsZero() {
			e.gauge("epov_key_signed_time_seconds", float64(r.Signed.UnixMilli())/1000, k.Name, r.Token)
		}
		if !r.Tested.IsZero() {
			e.gauge("epov_canary_duration_seconds", r.Took.Seconds(), k.Name, r.Token)
		}
	}
}

// usage tells of a client under a role, or, without one, of what no role grants it.
func (e emitter) usage(u Usage) {
	if u.Role == "" {
		e.counter("epov_client_refusals_total", uint64(u.Denied), u.Client, "", "denied")
		return
	}
	e.counter("epov_client_calls_total", uint64(u.Calls), u.Client, u.Role)
	e.counter("epov_client_refusals_total", uint64(u.Rate), u.Client, u.Role, "rate")
	e.counter("epov_client_refusals_total", uint64(u.Concurrent), u.Client, u.Role, "concurrent")
	e.counter("epov_client_refusals_total", uint64(u.Size), u.Client, u.Role, "size")
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// histogram gives one of ours.
func (e emitter) histogram(name string, h *Histogram, labels ...string) {
	e.to <- drawn{descs[name], h, prometheus.MakeLabelPairs(descs[name], labels)}
}

// drawn is a Histogram as the registry wants it.
type drawn struct {
	desc   *prometheus.Desc
	of     *Histogram
	labels []*dto.LabelPair
}

func (d drawn) Desc() *prometheus.Desc { return d.desc }

func (d drawn) Write(m *dto.Metric) error {
	m.Label = d.labels
	d.of.write(m)
	return nil
}
