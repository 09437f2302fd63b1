package observe

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric describes a metric. docs/metrics.md says the same for people; a test compares.
type Metric struct {
	Name   string
	Type   string   // "counter", "gauge" or "histogram"
	Labels []string // of configured or constant values only
	Help   string
}

func metric(kind, name, labels, help string) Metric {
	return Metric{Name: name, Type: kind, Labels: strings.Fields(labels), Help: help}
}

// Catalog is the list of our metrics. Those of the Go runtime and of the process are beside it.
var Catalog = []Metric{
	metric("counter", "epov_requests_total", "method code", "Calls that ended, by gRPC method and status code."),
	metric("histogram", "epov_request_duration_seconds", "method", "Time of calls, from the whole request's arrival to the answer; of streams, of the whole stream."),
	metric("gauge", "epov_requests_active", "", "Calls at work, streams and health watches included."),
	metric("counter", "epov_refusals_total", "reason", "What was turned away before a call began: handshake, caller, overload."),
	metric("counter", "epov_signatures_total", "operation profile code", "Requests for signatures that ended; code is ok or the reason of the refusal."),

	metric("histogram", "epov_signing_queue_seconds", "key token", "Wait for a session of a token, and for tokens that were put right."),
	metric("histogram", "epov_signing_token_seconds", "key token", "Time of signatures on tokens."),
	metric("histogram", "epov_signing_verify_seconds", "key token", "Time of verifying signatures before their release."),
	metric("histogram", "epov_signing_total_seconds", "key token", "Wait, token and verification together."),
	metric("counter", "epov_signings_total", "key token outcome", "Digests submitted to tokens: ok, or the kind of the failure."),
	metric("counter", "epov_signing_retries_total", "key token", "Digests that took more than one try."),

	metric("gauge", "epov_token_state", "token state", "1 for the state that the token is in: ready, recovering, away, operator, closed."),
	metric("gauge", "epov_token_state_seconds", "token", "Time since the token changed its state."),
	metric("gauge", "epov_token_pin_state", "token state", "1 for the state of the PIN: ok, low, final, locked, refused, unknown."),
	metric("gauge", "epov_token_sessions", "token", "Sessions open for signing."),
	metric("gauge", "epov_token_sessions_limit", "token", "Sessions that may be open."),
	metric("gauge", "epov_token_sessions_working", "token", "Sessions that are signing."),
	metric("gauge", "epov_token_queued_requests", "token", "Digests that wait for a session."),
	metric("gauge", "epov_token_calls_hanging", "token", "Calls of the module that were given up and have not come back."),
	metric("gauge", "epov_token_service_seconds", "token", "Time of one signature lately, as the scheduler reckons with; absent when unknown."),
	metric("gauge", "epov_token_capacity_rate", "token", "Signatures per second that the sessions allowed could make at that pace; absent when unknown."),
	metric("gauge", "epov_token_offered_rate", "token", "Digests per second lately that were signed or refused for want of capacity."),
	metric("gauge", "epov_token_headroom_ratio", "token", "1 - offered / capacity; 0 when the token does not sign, negative under overload; absent when unknown."),
	metric("counter", "epov_token_signatures_total", "token", "Signatures made on the token."),
	metric("counter", "epov_token_sessions_opened_total", "token", "Sessions opened."),
	metric("counter", "epov_token_sessions_closed_total", "token cause", "Sessions closed: idle, or after a fault."),
	metric("counter", "epov_token_logins_total", "token result", "Logins: ok, failed."),
	metric("counter", "epov_token_recoveries_total", "token remedy result", "Remedies taken: log in, reopen the slot, restart the module."),
	metric("counter", "epov_module_restarts_total", "token", "Times that the token's module, or its process, was started again."),

	metric("gauge", "epov_key_usable", "key", "1 when some token would sign with the key now."),
	metric("gauge", "epov_key_state", "key state", "1 for the state of the key version: active, staged, retired."),
	metric("gauge", "epov_key_out_of_service", "key token", "1 when the token made a wrong signature with the key."),
	metric("counter", "epov_canary_results_total", "key token result", "Test signatures in the background: ok, failed."),
	metric("gauge", "epov_canary_duration_seconds", "key token", "Time of the last test signature; absent before the first."),
	metric("gauge", "epov_key_signed_time_seconds", "key token", "Unix time of the last verified signature, of a request or a test; absent before the first."),

	metric("gauge", "epov_certificate_remaining_days", "kind name", "Days until a certificate ends: kind is key, tls or client-ca; negative afterwards."),
	metric("gauge", "epov_sandbox_in_force", "protection", "1 for a protection that the process is confined by, 0 for one that the system lacks."),
	metric("gauge", "epov_crl_lists", "", "Revocation lists in memory."),
	metric("gauge", "epov_crl_overdue", "", "Revocation lists whose next update is past."),
	metric("gauge", "epov_crl_oldest_age_seconds", "", "Age of the oldest revocation list, since its thisUpdate."),
	metric("gauge", "epov_crl_failing", "", "Sources of revocation lists and responses whose last fetch failed."),

	metric("counter", "epov_reloads_refused_total", "part", "Times that a changed part of the configuration was not taken over."),
	metric("counter", "epov_client_calls_total", "client role", "Calls that a configured client was let in with, under a role."),
	metric("counter", "epov_client_refusals_total", "client role limit", "Calls of a configured client over a limit of its role: rate, concurrent, size; denied, without a role: what none grants."),

	metric("gauge", "epov_audit_up", "", "1 while the audit log takes records; absent, as the others, where none is configured."),
	metric("counter", "epov_audit_records_total", "", "Records in the audit log."),
	metric("gauge", "epov_audit_lag_records", "", "Records that no checkpoint covers yet."),
	metric("gauge", "epov_audit_waiting_bytes", "", "Octets of records that are not durable yet."),
	metric("gauge", "epov_audit_follower_up", "follower", "1 while the audit log is passed on to this follower."),
	metric("gauge", "epov_audit_follower_lag_records", "follower", "Records that this follower has not got yet."),

	metric("gauge", "epov_connections", "", "Connections of callers."),
	metric("gauge", "epov_connections_limit", "", "Connections that may be."),
	metric("gauge", "epov_draining", "", "1 while calls at work are waited for and no new ones are taken."),
	metric("gauge", "epov_serving", "", "1 while the health service says that signatures can be made."),
	metric("gauge", "epov_build_info", "version go", "1; which build this is."),
}

// descs are the descriptions for the registry, by name.
var descs = func() map[string]*prometheus.Desc {
	m := map[string]*prometheus.Desc{}
	for _, c := range Catalog {
		m[c.Name] = prometheus.NewDesc(c.Name, c.Help, c.Labels, nil)
	}
	return m
}()
