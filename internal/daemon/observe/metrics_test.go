package observe

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/sandbox"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// sample is a state in which everything there is to say is said.
func sample() State {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return State{
		Now: now, Version: "v1.0.0", Serving: true, Connections: 3, ConnectionsLimit: 1024,
		Tokens: []Token{
			{Name: "main", Vendor: "rutoken", State: "ready", Since: now.Add(-time.Hour), PIN: "ok", Sessions: 4,
				Limit: 8, Working: 2, Queued: 5,
				Service: 10 * time.Millisecond, Signed: 1000},
			{Name: "spare", State: "away", Since: now.Add(-time.Minute), PIN: "unknown", Reason: "gone"},
		},
		Keys: []Key{{Name: "keys/EXMP01/ov/versions/1", Primary: true, State: "active", Until: now.AddDate(0, 0, 20), Replicas: []Replica{
			{Token: "main", Signed: now.Add(-time.Second), Tested: now.Add(-time.Minute), Took: 12 * time.Millisecond},
			{Token: "spare", Reason: "gone", OutOfService: true},
		}}},
		Sandbox: sandbox.Report{{Name: "landlock", InForce: true}, {Name: "seccomp"}},
		Certificates: []Certificate{{"key", "keys/EXMP01/ov/versions/1", now.AddDate(0, 0, 20)},
			{"tls", "CN=epovd", now.AddDate(0, 0, -1)}},
		Reloads:     map[string]int64{"tls": 1},
		Usage:       []Usage{{Client: "gateway", Role: "all", Calls: 3, Rate: 2}, {Client: "gateway", Denied: 1}},
		Audit:       &Audit{Records: 10, Lag: 2, Waiting: 300, Followers: []Follower{{Name: "siem", Lag: 4, Up: true}}},
		Revocations: Revocations{Lists: 3, Overdue: 1, Oldest: now.Add(-time.Hour), Failing: 1},
	}
}

// busy makes metrics that have seen everything.
func busy(t testing.TB) *Metrics {
	t.Helper()
	m := New(Config{State: sample, Profiles: []string{"smev3"}})
	h, s, a := m.Trace()
	ok := hsm.Signing{Token: "main", Key: "keys/EXMP01/ov/versions/1", Wait: time.Millisecond,
		Sign: 10 * time.Millisecond, Verify: 100 * time.Microsecond}
	h.Signed(ok)
	failed := ok
	failed.Err, failed.Retried = &hsm.Error{Kind: hsm.Busy, Err: errors.New("busy")}, true
	h.Signed(failed)
	h.SessionOpened("main")
	h.SessionClosed("main", nil)
	h.SessionClosed("main", errors.New("lost"))
	h.Login("main", nil)
	h.Recovery(hsm.Recovery{Token: "main", Remedy: hsm.RemedyRestart})
	h.Canary(hsm.Canary{Token: "main", Key: "keys/EXMP01/ov/versions/1"})
	s.Signed(t.Context(), signer.Signing{Caller: "gateway", Operation: signer.OpSignXML, Profile: "smev3"})
	s.Signed(t.Context(), signer.Signing{Caller: "gateway", Operation: signer.OpSignXML,
		Profile: strings.Repeat("x", 100), Code: report.KeyUnknown})
	a.Began(t.Context(), "/epov.v1.SignService/SignXml")
	a.Ended(t.Context(), api.Call{Method: "/epov.v1.SignService/SignXml", Code: codes.OK, Took: time.Millisecond})
	a.Began(t.Context(), "/epov.v1.SignService/SignXml")
	a.Refused(api.RefusedCaller)
	m.tick(time.Second)
	return m
}

// What is registered, what is described for people and what a scrape gives are the same metrics, with the same labels.
func TestCatalogIsWhole(t *testing.T) {
	m := busy(t)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]*dto.MetricFamily{}
	for _, f := range families {
		given[f.GetName()] = f
	}
	documented := map[string]string{}
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(epov_[a-z0-9_]+)` \\| (.*)$").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}
	for _, c := range Catalog {
		f := given[c.Name]
		if f == nil {
			t.Errorf("%s is not given by a scrape", c.Name)
			continue
		}
		if got := strings.ToLower(f.GetType().String()); got != c.Type || f.GetHelp() != c.Help {
			t.Errorf("%s is a %s: %s", c.Name, got, f.GetHelp())
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		want := slices.Sorted(slices.Values(c.Labels))
		slices.Sort(labels)
		if !slices.Equal(labels, want) {
			t.Errorf("%s has labels %v, not %v", c.Name, labels, want)
		}
		row := c.Type + " | " + strings.Join(c.Labels, ", ") + " | " + c.Help + " |"
		if documented[c.Name] != row {
			t.Errorf("docs/metrics.md lacks:\n| `%s` | %s", c.Name, row)
		}
		delete(given, c.Name)
		delete(documented, c.Name)
	}
	for name := range given {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is not in the catalog", name)
		}
	}
	for name := range documented {
		t.Errorf("docs/metrics.md describes %s, which there is not", name)
	}
}

// value is what a scrape says.
func value(t *testing.T, m *Metrics, name string, labels ...string) float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.Metric {
			var pairs []string
			for _, l := range s.Label {
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
			}
			if f.GetName() == name && slices.Equal(pairs, labels) {
				return s.GetCounter().GetValue() + s.GetGauge().GetValue() + float64(s.GetHistogram().GetSampleCount())
			}
		}
	}
	return math.NaN()
}

func TestMetrics(t *testing.T) {
	m := busy(t)
	const key = "key=keys/EXMP01/ov/versions/1"
	for _, tc := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{1, "epov_requests_total", []string{"code=OK", "method=/epov.v1.SignService/SignXml"}},
		{1, "epov_requests_active", nil},
		{1, "epov_signatures_total", []string{"code=ok", "operation=sign-xml", "profile=smev3"}},
		{1, "epov_signatures_total", []string{"code=key.unknown", "operation=sign-xml", "profile=other"}},
		{1, "epov_signings_total", []string{key, "outcome=ok", "token=main"}},
		{1, "epov_signings_total", []string{key, "outcome=busy", "token=main"}},
		{1, "epov_signing_token_seconds", []string{key, "token=main"}},
		{1, "epov_signing_retries_total", []string{key, "token=main"}},
		{1, "epov_token_state", []string{"state=away", "token=spare"}},
		{0, "epov_token_state", []string{"state=ready", "token=spare"}},
		{0, "epov_token_headroom_ratio", []string{"token=spare"}},
		{800, "epov_token_capacity_rate", []string{"token=main"}},
		{1, "epov_module_restarts_total", []string{"token=main"}},
		{20, "epov_certificate_remaining_days", []string{"kind=key", "name=keys/EXMP01/ov/versions/1"}},
		{1, "epov_sandbox_in_force", []string{"protection=landlock"}},
		{0, "epov_sandbox_in_force", []string{"protection=seccomp"}},
		{-1, "epov_certificate_remaining_days", []string{"kind=tls", "name=CN=epovd"}},
		{3600, "epov_crl_oldest_age_seconds", nil},
		{2, "epov_client_refusals_total", []string{"client=gateway", "limit=rate", "role=all"}},
		{1, "epov_client_refusals_total", []string{"client=gateway", "limit=denied", "role="}},
		{1, "epov_key_out_of_service", []string{key, "token=spare"}},
	} {
		if got := value(t, m, tc.name, tc.labels...); got != tc.want {
			t.Errorf("%s%v is %v, want %v", tc.name, tc.labels, got, tc.want)
		}
	}
	// 2 digests were offered in the second; the rate of late follows slowly.
	headroom := value(t, m, "epov_token_headroom_ratio", "token=main")
	if offered := value(t, m, "epov_token_offered_rate", "token=main"); offered <= 0 || offered > 2 || headroom != 1-offered/800 {
		t.Errorf("offered %v, headroom %v", offered, headroom)
	}
	for range 60 {
		m.tick(time.Second)
	}
	if rate := m.State().Rate; rate > 0.001 {
		t.Errorf("after a quiet minute the rate is %v", rate)
	}
}

// Counting on the way of a request allocates nothing.
func TestCountingAllocates(t *testing.T) {
	m := busy(t)
	h, s, a := m.Trace()
	signing := hsm.Signing{Token: "main", Key: "keys/EXMP01/ov/versions/1", Wait: 1, Sign: 2, Verify: 3}
	request := signer.Signing{Operation: signer.OpSignXML, Profile: "smev3"}
	call := api.Call{Method: "/epov.v1.SignService/SignXml", Code: codes.OK, Took: 5}
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() {
		a.Began(ctx, call.Method)
		h.Signed(signing)
		s.Signed(ctx, request)
		a.Ended(ctx, call)
	}); n != 0 {
		t.Errorf("%v allocations for each request", n)
	}
}

func BenchmarkCounting(b *testing.B) {
	m := busy(b)
	h, s, a := m.Trace()
	signing := hsm.Signing{Token: "main", Key: "keys/EXMP01/ov/versions/1", Wait: 1000, Sign: 2e6, Verify: 50000}
	request := signer.Signing{Operation: signer.OpSignXML, Profile: "smev3"}
	call := api.Call{Method: "/epov.v1.SignService/SignXml", Code: codes.OK, Took: 5e6}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		a.Began(ctx, call.Method)
		h.Signed(signing)
		s.Signed(ctx, request)
		a.Ended(ctx, call)
	}
}

func BenchmarkScrape(b *testing.B) {
	m := busy(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

// The listener serves metrics and nothing else.
func TestHandler(t *testing.T) {
	server := httptest.NewServer(busy(t).Handler(slog.New(slog.DiscardHandler)))
	defer server.Close()
	get := func(method, path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	code, body := get("GET", "/metrics")
	if code != 200 || !strings.Contains(body, `epov_token_state{state="ready",token="main"} 1`) ||
		!strings.Contains(body, `epov_signing_token_seconds_bucket{key="keys/EXMP01/ov/versions/1",token="main",le="0.015625"} 1`) {
		t.Errorf("%d\n%s", code, body)
	}
	for _, other := range []string{"/", "/debug/pprof/", "/metrics/x"} {
		if code, _ := get("GET", other); code != 404 {
			t.Errorf("%s: %d", other, code)
		}
	}
	if code, _ := get("POST", "/metrics"); code != 405 {
		t.Errorf("POST: %d", code)
	}
}
