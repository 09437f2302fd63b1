package observe

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const deploy = "../../../deploy"

// others are metrics of the process and of Prometheus itself that what is shipped may name.
var others = []string{"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}

var name = regexp.MustCompile(`\b(?:epov|process|go)[_:][a-z0-9_:]+`)

// named checks that all metrics of an expression are there: in the catalog, with the suffixes that Prometheus gives to classic
// histograms, or recorded by a rule.
func named(t *testing.T, where, expr string, recorded []string) {
	t.Helper()
	found := name.FindAllString(expr, -1)
	if len(found) == 0 {
		t.Errorf("%s names no metric: %s", where, expr)
	}
	for _, n := range found {
		base, suffixed := strings.CutSuffix(n, "_bucket")
		i := slices.IndexFunc(Catalog, func(m Metric) bool { return m.Name == base && (!suffixed || m.Type == "histogram") })
		if i < 0 && !slices.Contains(others, n) && !slices.Contains(recorded, n) {
			t.Errorf("%s: there is no metric %s", where, n)
		}
		if i >= 0 {
			for _, label := range regexp.MustCompile(regexp.QuoteMeta(n)+`\{([^}]*)\}`).FindAllStringSubmatch(expr, -1) {
				for _, pair := range regexp.MustCompile(`(\w+)(?:=|!)`).FindAllStringSubmatch(label[1], -1) {
					if pair[1] != "instance" && !slices.Contains(Catalog[i].Labels, pair[1]) {
						t.Errorf("%s: %s has no label %s", where, n, pair[1])
					}
				}
			}
		}
	}
}

type rules struct {
	Groups []struct {
		Rules []struct {
			Record, Alert, Expr string
			Labels, Annotations map[string]string
		}
	}
}

func readRules(t *testing.T) (r rules, recorded []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(deploy, "prometheus/rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			if rule.Record != "" {
				recorded = append(recorded, rule.Record)
			}
		}
	}
	return r, recorded
}

// The rules name metrics that there are; every alert has a level and a chapter that says what to do, and every chapter an alert.
func TestRules(t *testing.T) {
	r, recorded := readRules(t)
	text, err := os.ReadFile("../../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	chapters := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		chapters[m[1]] = true
	}
	alerts := 0
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			named(t, rule.Record+rule.Alert, rule.Expr, recorded)
			if rule.Alert == "" {
				continue
			}
			alerts++
			if !strings.HasSuffix(rule.Annotations["runbook_url"], "/docs/alerts.md#"+strings.ToLower(rule.Alert)) ||
				!chapters[rule.Alert] {
				t.Errorf("%s has no chapter: %s", rule.Alert, rule.Annotations["runbook_url"])
			}
			if s := rule.Labels["severity"]; s != "critical" && s != "warning" || rule.Annotations["summary"] == "" {
				t.Errorf("%s: %v, %v", rule.Alert, rule.Labels, rule.Annotations)
			}
			delete(chapters, rule.Alert)
		}
	}
	if alerts < 15 || len(chapters) > 0 {
		t.Errorf("%d alerts; of %v there is none", alerts, chapters)
	}
}

// The dashboard is sound JSON, its panels do not overlap and name metrics that there are.
func TestDashboard(t *testing.T) {
	_, recorded := readRules(t)
	data, err := os.ReadFile(filepath.Join(deploy, "grafana/epov.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			named(t, p.Title, target.Expr, recorded)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" || at[0] >= 24 {
					t.Fatalf("%s lies over %s at %v", p.Title, taken[at], at)
				}
				taken[at] = p.Title
			}
		}
	}
	if board.Title == "" || board.UID == "" || len(board.Panels) < 12 {
		t.Errorf("%q with %d panels", board.Title, len(board.Panels))
	}
}

// Prometheus' own tool finds the rules sound, and the alerts raised when they should be.
func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing (Debian package prometheus); the rules are not tried out")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = filepath.Join(deploy, "prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
