package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/epov-signer/epov/internal/load"
)

// results are all that was measured, as bench/load.json has it; the page is made of nothing else.
type results struct {
	Begun   time.Time `json:"begun"`
	Took    float64   `json:"took_seconds"`
	Machine string    `json:"machine"`
	Busy    float64   `json:"load_average"` // before it began: threads of others that wanted a processor
	Short   bool      `json:"short"`        // the short form: too few rounds to be published

	Bare       float64 `json:"bare_per_second"` // signatures of a loop in C that does nothing else
	Throughput []cell  `json:"throughput"`
	Audit      []cell  `json:"audit"` // with the audit log, and without
	Knee       rates   `json:"knee"`
	Stages     []stage `json:"stages"`
	Soak       soak    `json:"soak"`
}

// cell is the most that the daemon does in one setting.
type cell struct {
	Table     string  `json:"table"` // which of the tables it belongs to
	Operation string  `json:"operation"`
	Octets    int     `json:"octets,omitempty"`
	Sessions  int     `json:"sessions"`
	Callers   int     `json:"callers"`
	Delay     float64 `json:"token_delay_ms,omitempty"` // what a signature takes longer on the token
	Name      string  `json:"name,omitempty"`
	PerSecond float64 `json:"per_second"`
	Daemon    float64 `json:"daemon_us"` // processor time for one call
	Module    float64 `json:"module_us"`
	Client    float64 `json:"client_us"`
}

// rates is what becomes of one operation at rates that do not depend on its answers.
type rates struct {
	Operation string  `json:"operation"`
	Octets    int     `json:"octets"`
	Sessions  int     `json:"sessions"`
	Bound     float64 `json:"p99_bound_ms"`
	Deadline  float64 `json:"deadline_ms"`
	Knee      float64 `json:"per_second"`
	Search    []step  `json:"search"` // by rate
	Runs      []step  `json:"runs"`   // at shares of the knee
	Silent    []step  `json:"silent"` // at the same rates, without an audit log
}

// step is one rate.
type step struct {
	Share   float64          `json:"share,omitempty"` // of the knee
	Rate    float64          `json:"rate"`
	Goodput float64          `json:"goodput"`
	Asked   int64            `json:"asked"`
	Good    int64            `json:"good"`
	P50     float64          `json:"p50_ms"`
	P99     float64          `json:"p99_ms"`
	P999    float64          `json:"p999_ms"`
	Most    float64          `json:"max_ms"`
	Busy    float64          `json:"busy,omitempty"` // share of the processors that daemon, module and client had together
	Errors  map[string]int64 `json:"errors,omitempty"`
}

func stepOf(share float64, r load.Result) step {
	q := func(q float64) float64 { return milliseconds(r.Latency.Quantile(q)) }
	return step{
		Share: share, Rate: r.Rate, Goodput: r.Goodput(), Asked: r.Asked, Good: r.Good,
		P50: q(0.5), P99: q(0.99), P999: q(0.999), Most: milliseconds(r.Latency.Max()), Errors: r.Errors,
	}
}

// stage says where the time of one operation goes, in microseconds of a call's mean.
type stage struct {
	Operation string             `json:"operation"`
	Setting   string             `json:"setting"`
	Calls     int64              `json:"calls"`
	Traced    int64              `json:"traced"`
	Total     float64            `json:"total_us"`  // as the caller sees it
	Parts     map[string]float64 `json:"parts_us"`  // by the names of stageNames
	Daemon    float64            `json:"daemon_us"` // processor time, as in cell
	Module    float64            `json:"module_us"`
	Client    float64            `json:"client_us"`

	begun, ended time.Time
}

// soak is a long run.
type soak struct {
	Seconds  float64          `json:"seconds"`
	Rate     float64          `json:"rate"`
	Knee     float64          `json:"knee"` // of the mixture
	Mixture  []string         `json:"mixture"`
	Octets   int              `json:"octets"`
	Calls    int64            `json:"calls"`
	Good     int64            `json:"good"`
	Errors   map[string]int64 `json:"errors,omitempty"`
	P50      float64          `json:"p50_ms"`
	P99      float64          `json:"p99_ms"`
	P999     float64          `json:"p999_ms"`
	Checked  int64            `json:"checked"` // documents signed under way and verified at once
	Wrong    int64            `json:"wrong"`
	Samples  []sample         `json:"samples"`
	Verdicts []verdict        `json:"verdicts"`
}

// broken says what of a soak is not as it must be. A few calls may be refused: neighbours take their share of the machine.
func (s *soak) broken() (list []string) {
	for _, v := range s.Verdicts {
		if !v.Flat {
			list = append(list, v.String())
		}
	}
	if s.Wrong > 0 {
		list = append(list, fmt.Sprintf("%d documents signed under way are not whole", s.Wrong))
	}
	if s.Good == 0 || float64(s.Good) < 0.95*float64(s.Calls) {
		list = append(list, fmt.Sprintf("%d of %d calls were answered well: %v", s.Good, s.Calls, s.Errors))
	}
	if len(s.Verdicts) == 0 {
		list = append(list, "nothing was watched")
	}
	return list
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// read reads what write wrote, and nothing else.
func read(file string) (*results, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &results{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(r.Throughput) == 0 || len(r.Knee.Runs) == 0 || len(r.Knee.Silent) == 0 || len(r.Stages) == 0 || len(r.Soak.Samples) == 0 {
		return nil, fmt.Errorf("%s: not all of it was measured", file)
	}
	return r, nil
}

func (r *results) write(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
