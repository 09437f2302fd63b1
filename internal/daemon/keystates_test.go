package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// statesWorld is a configuration with two versions, and a file of states beside it.
func statesWorld(t *testing.T) (*Config, string) {
	t.Helper()
	f, text := furnish(t)
	text = strings.Replace(text, "key_states: /var/lib/epovd/keys.yaml", "key_states: states.yaml", 1)
	c, err := Load(f.write(t, "epovd.yaml", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return c, filepath.Join(string(f), "states.yaml")
}

// states merges the text of a file of states with the configuration.
func states(t *testing.T, c *Config, text string) ([]keyConfig, error) {
	t.Helper()
	if err := os.WriteFile(c.states, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := c.readStates()
	if err != nil {
		return nil, err
	}
	return c.withStates(s)
}

func TestStates(t *testing.T) {
	c, path := statesWorld(t)
	if c.states != path {
		t.Fatal(c.states)
	}
	without, err := c.withStates(keyStates{})
	if err != nil || len(without) != 3 || !without[1].primary || without[1].state != active {
		t.Fatalf("%+v %v", without, err)
	}
	const text = `keys:
  - name: keys/EXMP01/ov
    primary: 3
    versions:
      - {version: 1, state: retired, since: 2026-01-31T12:00:00Z}
      - {version: 3, state: active, replicas: [{token: main, id: EXMP01/ov/3}], chain: [issuing-ca.pem]}
      - {version: 4, state: staged, replicas: [{token: main, id: successor}], certificate: exmp01-ov-1.pem}
`
	keys, err := states(t, c, text)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, state, id string
		primary, cert   bool
		chain           int
	}{
		{"keys/EXMP01/ov/versions/1", "retired", "EXMP01/ov/1", false, true, 1},
		{"keys/EXMP01/ov/versions/2", "active", "EXMP01/ov/2", false, false, 1},
		{"keys/EXMP01/sp/versions/1", "active", "EXMP01/sp/1", true, false, 0},
		{"keys/EXMP01/ov/versions/3", "active", "EXMP01/ov/3", true, false, 1},
		{"keys/EXMP01/ov/versions/4", "staged", "successor", false, true, 0},
	}
	if len(keys) != len(want) {
		t.Fatalf("%+v", keys)
	}
	for i, w := range want {
		k := keys[i]
		if k.name.String() != w.name || string(k.state) != w.state || k.replicas[0].ID != w.id || k.primary != w.primary ||
			(k.certificate != nil) != w.cert || len(k.chain) != w.chain || k.replicas[0].Token != "main" {
			t.Errorf("%+v, want %+v", k, w)
		}
	}
	// What is written reads the same.
	s, err := c.readStates()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(path); err != nil {
		t.Fatal(err)
	}
	again, err := c.readStates()
	if err != nil {
		t.Fatal(err)
	}
	if merged, err := c.withStates(again); err != nil || len(merged) != len(keys) ||
		again.Keys[0].Versions[0].Since != "2026-01-31T12:00:00Z" {
		t.Errorf("%+v %v", merged, err)
	}
	written, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(written), "# States of key versions.") {
		t.Errorf("%s %v", written, err)
	}
}

// A file that is wrong anywhere is refused as a whole, with the line.
func TestBadStates(t *testing.T) {
	c, _ := statesWorld(t)
	const one = "keys:\n  - name: keys/EXMP01/ov\n    primary: "
	for text, want := range map[string]string{
		"":            "the file is empty",
		"keys: {}":    ":1:7: keys: must be a list",
		"colour: red": "unknown setting",
		"keys:\n  - {name: keys/EXMP01/ov, versions: []}":                                                               ":2:5: keys[0].primary: is missing",
		one + "9\n    versions: []":                                                                                     "there is no version 9 of keys/EXMP01/ov",
		one + "1\n    versions: [{version: 1, state: staged}]":                                                          "version 1 is staged",
		one + "2\n    versions: [{version: 1}]":                                                                         "state: is missing",
		one + "2\n    versions: [{version: 1, state: sleeping}]":                                                        "must be one of active, staged, retired",
		one + "2\n    versions: [{version: 1, state: retired, since: yesterday}]":                                       "must be a time",
		one + "2\n    versions: [{version: 1, state: active, replicas: [{token: main, id: x}]}]":                        ":4:16: keys[0].versions[0]: the configuration says where version 1 is",
		one + "2\n    versions: [{version: 3, state: active}]":                                                          "replicas says where version",
		one + "2\n    versions: [{version: 3, state: active, replicas: [{token: nowhere, id: x}]}]":                     `no token named "nowhere"`,
		one + "2\n    versions: [{version: 3, state: staged, replicas: [{token: main, id: x}], certificate: none.pem}]": "no such file",
		one + "2\n    versions: [{version: 1, state: active}, {version: 1, state: retired}]":                            "is in the file already",
		"keys:\n  - {name: keys/EXMP01/ov/versions/1, primary: 1, versions: []}":                                        "the version does not belong here",
		"keys:\n  - {name: nothing, primary: 1, versions: []}":                                                          "a key is named",
		one + "2\n    versions: []\n  - {name: keys/EXMP01/ov, primary: 1, versions: []}":                               "is in the file already",
		"keys:\n  - {name: keys/NEW/ov, primary: 1, versions: [{version: 1, state: active}]}":                           "replicas says where version",
		one + "2\n    versions: [{version: 3, state: active, replicas: [{token: main, id: x}, {token: main, id: y}]}]":  `token "main" is named twice`,
		one + "2\n    versions: [{version: 3, state: active, replicas: [{token: main}]}]":                               "id: is missing",
	} {
		_, err := states(t, c, text)
		if wrong, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), want) || wrong.File != c.states {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
		// Neither does a daemon start with it.
		if _, err := Load(c.file); text != "" && err == nil {
			t.Errorf("%q: loads", text)
		}
	}
}

func FuzzStates(f *testing.F) {
	f.Add([]byte("keys:\n  - name: keys/EXMP01/ov\n    primary: 2\n    versions: [{version: 1, state: retired, since: 2026-01-31T12:00:00Z}]\n"))
	f.Add([]byte("keys:\n  - {name: keys/A/ov, primary: 1, versions: [{version: 1, state: active, replicas: [{token: a, id: b}], chain: [x]}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc := &document{}
		s := parseStates(doc, data)
		if len(doc.findings) > 0 {
			return
		}
		path := filepath.Join(t.TempDir(), "states.yaml")
		if err := s.write(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		again := &document{}
		if back := parseStates(again, text); len(again.findings) > 0 || len(back.Keys) != len(s.Keys) {
			t.Errorf("%s\n%v", text, again.findings)
		}
	})
}
