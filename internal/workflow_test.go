package internal

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestWorkflows: the files for continuous-integration services are YAML, run what is run elsewhere too, and keep the figures.
func TestWorkflows(t *testing.T) {
	for _, file := range []string{"../.github/workflows/ci.yml", "../.gitlab-ci.yml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := yaml.Unmarshal(data, &tree); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, want := range []string{
			"bash .ci/run", "make ", "bench", "load", "reliability", ".build/ratios*.txt", "bench/ratios.txt", "bench/load.json",
			"docs/performance.md", "docs/performance/", "docs/load.md", "docs/load/", "docs/reliability.md",
		} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s lacks %q", file, want)
			}
		}
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"bench", "load", "reliability", "bench-check"} { // what the files and .ci/run make
		if !strings.Contains(string(makefile), "\n"+target+": ") {
			t.Errorf("there is no target %s", target)
		}
	}
}
