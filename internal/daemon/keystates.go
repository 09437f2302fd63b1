package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
)

// keyState is what may be done with a version of a key. The file of states says it; without it a version is active.
type keyState string

const (
	active  keyState = "active"  // signs
	staged  keyState = "staged"  // proved and listed, signs from its activation on
	retired keyState = "retired" // listed, signs no more
	// Listed, must not sign, though it may be the primary one: for a key that may be in wrong hands.
	disabled keyState = "disabled"
)

// off tells that a version needs no token.
func (s keyState) off() bool { return s == retired || s == disabled }

// keyStates is the content of the file that `key_states` names: which versions of a key there are beside those of the
// configuration, what state each is in, and which is the primary one. A key that is not in it is as the configuration says.
type keyStates struct {
	Keys []*statedKey `yaml:"keys"`
}

type statedKey struct {
	Name     string           `yaml:"name"`
	Primary  int              `yaml:"primary"`
	Versions []*statedVersion `yaml:"versions"`

	name  signer.KeyName
	place value
}

type statedVersion struct {
	Version int      `yaml:"version"`
	State   keyState `yaml:"state"`
	Since   string   `yaml:"since,omitempty"` // RFC 3339; for people
	// Where the key is; for versions that the configuration does not have.
	Replicas    []statedReplica `yaml:"replicas,omitempty,flow"`
	Certificate string          `yaml:"certificate,omitempty"`
	Chain       []string        `yaml:"chain,omitempty,flow"`

	place value
}

type statedReplica struct {
	Token string `yaml:"token"`
	ID    string `yaml:"id"` // CKA_ID
}

const statesHeader = `# States of key versions. "epov key stage", "activate", "retire" and "disable" write this file; epovd takes it over within a second.
# active: signs. staged: proved and listed, signs once it is activated. retired: listed, signs no more. disabled: must not sign.
`

// parseStates reads the file. What is wrong is noted in doc.
func parseStates(doc *document, data []byte) (s keyStates) {
	root := doc.parse(data)
	if !root.present() {
		return s
	}
	seen := map[string]bool{}
	keys := root.mapping("keys")("keys")
	if !keys.present() {
		missing(keys, root)
	}
	for _, item := range keys.list() {
		at := item.mapping("name", "primary", "versions")
		k := &statedKey{Name: at("name").required(item), Primary: at("primary").number(1, 999999999), place: item}
		if !at("primary").present() {
			missing(at("primary"), item)
		}
		var err error
		switch k.name, err = signer.ParseKeyName(k.Name); {
		case k.Name == "":
		case err != nil:
			at("name").fail("%s", err)
		case k.name.Version != 0:
			at("name").fail("the version does not belong here; see versions")
		case seen[k.Name]:
			at("name").fail("is in the file already")
		}
		seen[k.Name] = true
		if !at("versions").present() {
			missing(at("versions"), item)
		}
		for _, item := range at("versions").list() {
			at := item.mapping("version", "state", "since", "replicas", "certificate", "chain")
			v := &statedVersion{Version: at("version").number(1, 999999999), Since: stamp(at("since")),
				Certificate: at("certificate").text(), Chain: at("chain").texts(), place: item}
			for _, item := range at("replicas").list() {
				of := item.mapping("token", "id")
				v.Replicas = append(v.Replicas, statedReplica{of("token").required(item), of("id").required(item)})
			}
			switch {
			case !at("version").present():
				missing(at("version"), item)
			case k.version(v.Version) != nil:
				at("version").fail("is in the file already")
			}
			if !at("state").present() {
				missing(at("state"), item)
			}
			v.State = keyState(at("state").choice(string(active), string(staged), string(retired), string(disabled)))
			k.Versions = append(k.Versions, v)
		}
		s.Keys = append(s.Keys, k)
	}
	return s
}

// stamp reads a time, which YAML has a type for.
func stamp(v value) string {
	if !v.is(yaml.ScalarNode, "a time") {
		return ""
	}
	if _, err := time.Parse(time.RFC3339, v.node.Value); err != nil {
		v.fail("must be a time such as 2026-01-31T12:00:00Z")
		return ""
	}
	return v.node.Value
}

func (s *keyStates) key(name string) *statedKey {
	if i := slices.IndexFunc(s.Keys, func(k *statedKey) bool { return k.Name == name }); i >= 0 {
		return s.Keys[i]
	}
	return nil
}

func (k *statedKey) version(n int) *statedVersion {
	if i := slices.IndexFunc(k.Versions, func(v *statedVersion) bool { return v.Version == n }); i >= 0 {
		return k.Versions[i]
	}
	return nil
}

// readStates reads the file of states; one that is not there yet is empty. The error is a *ConfigError.
func (c *Config) readStates() (keyStates, error) {
	if c.states == "" {
		return keyStates{}, nil
	}
	data, err := readFile(c.states)
	if errors.Is(err, fs.ErrNotExist) {
		return keyStates{}, nil
	}
	if err != nil {
		return keyStates{}, &ConfigError{File: c.states, Findings: []Finding{{Message: err.Error()}}}
	}
	doc := &document{}
	s := parseStates(doc, data)
	if len(doc.findings) > 0 {
		return keyStates{}, c.errorsOf(c.states, doc)
	}
	return s, nil
}

// withStates is what configuration and states make together: every version of every key, with exactly one primary to a key,
// which is active. Certificates that the states name are read. The error is a *ConfigError.
func (c *Config) withStates(s keyStates) ([]keyConfig, error) {
	doc := &document{}
	var out []keyConfig
	for _, k := range c.keys {
		stated := s.key(k.name.WithVersion(0).String())
		k.state = active
		if stated != nil {
			k.primary = stated.Primary == k.name.Version
			if v := stated.version(k.name.Version); v != nil {
				k.state = v.State
				if v.Replicas != nil || v.Certificate != "" || v.Chain != nil {
					v.place.in(doc).fail("the configuration says where version %d is; here belongs its state alone", v.Version)
				}
			}
		}
		out = append(out, k)
	}
	states := *c // relative paths start at the folder of the file that has them
	states.dir = filepath.Dir(c.states)
	for _, stated := range s.Keys {
		at := stated.place.in(doc)
		for _, v := range stated.Versions {
			name := stated.name.WithVersion(v.Version)
			if !slices.ContainsFunc(out, func(k keyConfig) bool { return k.name == name }) {
				k := states.statedKey(doc, name, v)
				k.primary = stated.Primary == v.Version
				out = append(out, k)
			}
		}
		i := slices.IndexFunc(out, func(k keyConfig) bool { return k.primary && k.name.WithVersion(0) == stated.name })
		switch {
		case i < 0:
			at.fail("primary: there is no version %d of %s", stated.Primary, stated.Name)
		case out[i].state != active && out[i].state != disabled:
			at.fail("primary: version %d is %s", stated.Primary, out[i].state)
		}
	}
	if len(doc.findings) > 0 {
		return nil, c.errorsOf(c.states, doc)
	}
	return out, nil
}

// statedKey is a version that only the states know.
func (c *Config) statedKey(doc *document, name signer.KeyName, v *statedVersion) keyConfig {
	at := v.place.in(doc)
	k := keyConfig{name: name, state: v.State, place: v.place}
	if n := len(v.Replicas); n == 0 || n > 16 {
		at.fail("replicas says where version %d is, on 1 to 16 tokens: the configuration does not have it", v.Version)
	}
	for _, r := range v.Replicas {
		switch {
		case slices.ContainsFunc(k.replicas, func(other hsm.KeyRef) bool { return other.Token == r.Token }):
			at.fail("token %q is named twice", printable(r.Token))
		case c.token(r.Token) == nil && v.State.off(): // it may be gone for good
		case c.token(r.Token) == nil:
			at.fail("no token named %q is configured", printable(r.Token))
		default:
			k.replicas = append(k.replicas, hsm.KeyRef{Token: r.Token, ID: r.ID})
		}
	}
	if v.Certificate != "" {
		list := c.certificateFile(at, v.Certificate)
		switch {
		case list == nil:
		case len(list) != 1:
			at.fail("%s holds %d certificates where one belongs; further ones go to chain", v.Certificate, len(list))
		case list[0].PublicKey == nil:
			at.fail("%s: its key cannot be used: %s", v.Certificate, list[0].PublicKeyErr)
		default:
			k.certificate = list[0]
		}
	}
	for _, file := range v.Chain {
		k.chain = append(k.chain, c.certificateFile(at, file)...)
	}
	return k
}

func (c *Config) errorsOf(file string, doc *document) error {
	err := c.errors(doc).(*ConfigError)
	err.File = file
	return err
}

// write replaces the file in one step, so that a reader has the old states or the new ones.
func (s *keyStates) write(path string) (err error) {
	var b bytes.Buffer
	b.WriteString(statesHeader)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(s), enc.Close()); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path)) // first: what cannot be made durable must not be in force
	if err != nil {
		return err
	}
	defer d.Close()
	mode := fs.FileMode(0o644) // there is nothing secret in it
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	return nil
}
