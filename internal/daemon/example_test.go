package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The example, of which the manual page is made, names every setting that the daemon knows, be it in a comment.
func TestExampleNamesEverySetting(t *testing.T) {
	f, example := furnish(t)
	policy, err := os.ReadFile("../../deploy/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := example + string(policy)
	known := regexp.MustCompile(`unknown setting "zzz" \(known here: (.*)\)`)
	seen := map[string]bool{}
	look := func(file, text, loaded string) {
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		mappings(&root, func(m *yaml.Node) {
			m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "zzz"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "1"})
			changed, err := yaml.Marshal(&root)
			m.Content = m.Content[:len(m.Content)-2]
			if err != nil {
				t.Fatal(err)
			}
			f.write(t, file, changed)
			_, err = Load(filepath.Join(string(f), loaded))
			wrong, ok := errors.AsType[*ConfigError](err)
			if !ok {
				t.Fatalf("an unknown setting was taken: %v\n%s", err, changed)
			}
			for _, finding := range wrong.Findings {
				if m := known.FindStringSubmatch(finding.Message); m != nil {
					for name := range strings.SplitSeq(m[1], ", ") {
						if seen[name] = true; !regexp.MustCompile(`\b` + name + `:`).MatchString(named) {
							t.Errorf("%s is not in the example; it belongs where %s is", name, finding.Path)
						}
					}
				}
			}
		})
		f.write(t, file, []byte(text))
	}
	f.write(t, "policy.yaml", policy)
	look("epovd.yaml", example, "epovd.yaml")
	look("policy.yaml", string(policy), "epovd.yaml")
	if len(seen) < 60 {
		t.Errorf("%d settings", len(seen))
	}
}

// mappings calls f for each mapping of a document.
func mappings(n *yaml.Node, f func(*yaml.Node)) {
	if n.Kind == yaml.MappingNode {
		f(n)
	}
	for _, c := range n.Content {
		mappings(c, f)
	}
}
