package internal

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreatModel: every test that docs/security.md names exists, and every threat names one.
func TestThreatModel(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Threats\n")
	table, _, found := strings.Cut(rest, "\n## ")
	if !found {
		t.Fatal("there is no section about threats, or none after it")
	}
	sources := map[string]string{} // of a folder's tests
	exists := func(folder, name string) bool {
		if _, read := sources[folder]; !read {
			files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				data, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				sources[folder] += string(data)
			}
		}
		return strings.Contains(sources[folder], "\nfunc "+name+"(")
	}
	named := regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`")
	threats := 0
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| who") {
			continue
		}
		threats++
		columns := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(columns) != 5 || !named.MatchString(columns[4]) {
			t.Errorf("no test, or another number of columns: %s", line)
		}
	}
	if threats < 30 {
		t.Errorf("only %d threats are there", threats)
	}
	for _, m := range named.FindAllStringSubmatch(string(text), -1) {
		if !exists(m[1], m[2]) {
			t.Errorf("docs/security.md names %s.%s, which does not exist", m[1], m[2])
		}
	}
}
