package load

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	run := func(rate float64) Result {
		r := Result{Rate: rate, Seconds: 2, Asked: int64(2 * rate), Good: int64(2*rate) - 1,
			Errors: map[string]int64{"<OVERLOAD>": 1}, Latency: &Histogram{}}
		for i := range r.Good {
			r.Latency.Record(time.Duration(i) * time.Millisecond)
		}
		return r
	}
	r := &Report{Title: "a & b", Operation: SignXML, Octets: 10}
	r.Add("half", run(50))
	if r.Rates() != nil || r.Goodputs() != nil {
		t.Error("a search is drawn that was not made")
	}
	r.AddSearch(100, 90*time.Millisecond, []Result{run(200), run(100)})
	if r.Search[0].Rate != 100 {
		t.Error("the steps are not in the order of their rates")
	}
	data, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(data), `"p99_bound_ms":90,`) || !strings.Contains(string(data), `"p50_ms":`) {
		t.Errorf("%s, %v", data, err)
	}
	page := string(r.HTML())
	if strings.Count(page, "</svg>") != 3 || strings.Contains(page, "<OVERLOAD>") || !strings.Contains(page, "a &amp; b") {
		t.Error(page)
	}
}
