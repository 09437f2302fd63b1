package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/signer"
)

// The example that is shipped is a correct policy, and its roles say what their comments say.
func TestPolicyExample(t *testing.T) {
	p, err := LoadPolicy(folder(t.TempDir()).write(t, "policy.yaml", []byte(policyExample(t))))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		san     string
		op      signer.Operation
		key     string
		profile string
		role    string
	}{
		{"gateway.example.ru", signer.OpSignXML, "keys/EXMP01/ov", "smev3", "smev-signer"},
		{"spiffe://example.ru/gateway", signer.OpSignCMS, "keys/EXMP01/ov", "pkcs7-detached", "smev-signer"},
		{"gateway.example.ru", signer.OpSignXML, "keys/EXMP01/ov", "xades-bes", ""},
		{"gateway.example.ru", signer.OpSignXML, "keys/EXMP01/sp", "smev3", ""},
		{"gateway.example.ru", signer.OpList, "keys/EXMP01/sp", "", "smev-signer"},
		{"gateway.example.ru", signer.OpSignDigest, "keys/EXMP01/ov", "", ""},
		{"spiffe://example.ru/archive", signer.OpSignDigest, "keys/EXMP01/sp", "", "archive-signer"},
		{"spiffe://example.ru/archive", signer.OpList, "keys/ANY/key", "", "inventory"},
		{"monitoring.example.ru", signer.OpCanary, "keys/EXMP01/ov", "", "monitoring"},
		{"monitoring.example.ru", signer.OpAdmin, "keys/EXMP01/ov", "", ""},
		{"spiffe://example.ru/people/operator", signer.OpAdminKeys, "keys/EXMP01/ov", "", ""},
		{"spiffe://example.ru/people/security-officer", signer.OpAdminKeys, "keys/EXMP01/ov", "", "security-officer"},
		{"spiffe://example.ru/people/security-officer", signer.OpAdmin, "keys/EXMP01/ov", "", ""},
	} {
		c, err := p.Access.Caller([]string{tc.san})
		if err != nil {
			t.Fatal(err)
		}
		key, err := signer.ParseKeyName(tc.key)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Under(tc.op, key, tc.profile); got != tc.role {
			t.Errorf("%s: %s with %s, profile %q: role %q, want %q", tc.san, tc.op, tc.key, tc.profile, got, tc.role)
		}
	}
	if q := p.Roles[0].Quota; q.Rate != 200 || q.Burst != 400 || q.Concurrent != 64 || q.MessageBytes != 5<<20 || p.Roles[0].Weight != 64 {
		t.Errorf("%+v", q)
	}
	if q := p.Roles[1].Quota; q.Rate != 0.5 || p.Clients[1].Share != 2 {
		t.Errorf("%+v", q)
	}
	p.warnings(nil, func(message string, attributes ...any) { t.Error(message, attributes) })
}

// What is wrong with a policy is said with its place in the file, all of it at once.
func TestPolicyFindings(t *testing.T) {
	f, config := furnish(t)
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	example := policyExample(t)
	const ops = "sign-xml, sign-cms, sign-digest, verify, list, canary, monitor, audit, admin, admin-keys"
	for _, tc := range []struct {
		name, old, new string
		want           []string
	}{
		{"unknown setting", "    priority: low", "    prority: low", []string{
			`prority:: roles[1]: unknown setting "prority" (known here: name, allow, limits, priority)`}},
		{"operation", "operations: [verify]", "operations: [verfy]", []string{
			`[verfy]: roles[0].allow[2]: no operation "verfy"; the operations are ` + ops}},
		{"pattern", "keys: [keys/EXMP01/*]", "keys: [EXMP01/*]", []string{
			`[EXMP01/*]: roles[0].allow[1]: "EXMP01/*" is not keys/{system}/{key}, keys/{system}/* or keys/*`}},
		{"profile", "profiles: [smev3, smev2,", "profiles: [smev3, smev4,", []string{
			`- keys: [keys/EXMP01/ov]: roles[0].allow[0]: no profile "smev4" of these operations; there are *`}},
		{"profile of an operation without", "operations: [sign-xml, sign-cms]", "operations: [sign-xml, list]", []string{
			`- keys: [keys/EXMP01/ov]: roles[0].allow[0]: list knows no profiles: it belongs to a grant without`,
			`- keys: [keys/EXMP01/ov]: roles[0].allow[0]: no profile "pkcs7-detached" of these operations; *`}},
		{"no profiles", "profiles: [smev3, smev2, pkcs7-detached]", "profiles: []", []string{
			`profiles: []: roles[0].allow[0].profiles: is empty; left out, it means all profiles`}},
		{"no keys", "{keys: [keys/*], operations: [admin-keys, list]}", "{operations: [admin-keys]}", []string{
			`{operations: [admin-keys]}: roles[5].allow[0]: no keys are named to which the operations apply`}},
		{"two roles of one name", "- name: inventory", "- name: smev-signer", []string{
			`- name: smev-signer#2: roles[2].name: there is a "smev-signer" already`,
			`roles: [archive-signer, inventory]: clients[1].roles[1]: there is no role "inventory"`,
			`roles: [monitoring, inventory]: clients[2].roles[1]: there is no role "inventory"`}},
		{"name", "- name: operator\n    allow", "- name: the operator\n    allow", []string{
			`- name: the operator: roles[4].name: must be up to 64 letters, digits, dots, hyphens and underscores`,
			`roles: [operator]: clients[3].roles[0]: there is no role "operator"`}},
		{"role twice", "roles: [monitoring, inventory]", "roles: [monitoring, monitoring]", []string{
			`roles: [monitoring, monitoring]: clients[2].roles[1]: is named twice`}},
		{"no roles", "    roles: [operator]\n", "", []string{`  - name: operator#2: clients[3].roles: is missing`}},
		{"two clients of one name", "san: [monitoring.example.ru]", "san: [Gateway.example.ru]", []string{
			`san: [Gateway: clients[2].san[0]: "Gateway.example.ru" belongs to client "gateway" already`}},
		{"wildcard", "san: [monitoring.example.ru]", `san: ["*.example.ru"]`, []string{
			`san: ["*: clients[2].san[0]: "*.example.ru": wildcards name nobody in particular`}},
		{"SPIFFE ID", "spiffe://example.ru/archive", "spiffe://Example.ru/archive", []string{
			`san: [spiffe://E: clients[1].san[0]: "spiffe://Example.ru/archive" is not a SPIFFE ID: *`}},
		{"text for list", "san: [monitoring.example.ru]", "san: monitoring.example.ru", []string{`san: m: clients[2].san: must be a list`}},
		{"no names", "san: [monitoring.example.ru]", "san: []",
			[]string{`san: []: clients[2].san: is empty; the client could not be told`}},
		{"DN for SAN", "san: [monitoring.example.ru]", "san: [CN=monitoring]", []string{
			`san: [CN: clients[2].san[0]: "CN=monitoring" is neither a DNS name nor a URI`}},
		{"address for SAN", "san: [monitoring.example.ru]", "san: [\"::1\", 10.0.0.1]", []string{
			`san: ["::1": clients[2].san[0]: "::1" is neither a DNS name nor a URI`,
			`san: ["::1": clients[2].san[1]: "10.0.0.1" is neither a DNS name nor a URI`}},
		{"anyone", "san: [monitoring.example.ru]", "anyone: true", []string{`anyone: true: clients[2].anyone: is only for insecure: true`}},
		{"priority", "priority: low", "priority: lowest",
			[]string{`priority: lowest: roles[1].priority: must be one of normal, high, low`}},
		{"share", "share: 2", "share: 65", []string{`share: 65: clients[1].share: must be a number from 1 to 64`}},
		{"rate", "rate: 30/minute", "rate: 30/fortnight", []string{
			`rate: 30/f: roles[1].limits.rate: must be a number of calls from 1 to 1000000 in a second, or such as 30/minute or 100/hour`}},
		{"no rate at all", "rate: 30/minute", "rate: 0", []string{`rate: 0: roles[1].limits.rate: must be a number of calls *`}},
		{"burst alone", "{rate: 30/minute, burst: 30, concurrent: 4}", "{burst: 30}", []string{
			`{burst: 30}: roles[1].limits.burst: goes with rate`}},
		{"no clients", "\nclients:\n", "\nclients: {}\nclints:\n", []string{
			`clients: {}: clients: must be a list`, `clints: unknown setting "clints" (known here: roles, clients)`}},
		{"not YAML", "roles:\n", "roles: [\n", []string{`*`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(example, tc.old) {
				t.Fatalf("the example does not contain %q", tc.old)
			}
			text := strings.Replace(example, tc.old, tc.new, 1)
			file := f.write(t, "policy.yaml", []byte(text))
			_, err := Load(f.write(t, "epovd.yaml", []byte(config)))
			var wrong *ConfigError
			if !errors.As(err, &wrong) {
				t.Fatalf("taken: %v", err)
			}
			if len(wrong.Findings) != len(tc.want) {
				t.Fatalf("%v", err)
			}
			for i, want := range tc.want {
				if got := wrong.Findings[i]; got.File != file || !strings.HasPrefix(err.Error(), file+":") {
					t.Errorf("%+v is not of %s; %v", got, file, err)
				}
				if said, ok := strings.CutPrefix(want, "clints: "); ok { // a setting of the first level has no path
					if got := wrong.Findings[i]; got.Message != said || got.Line == 0 {
						t.Errorf("%+v", got)
					}
					continue
				}
				check(t, text, wrong.Findings[i], want)
			}
			if _, alone := LoadPolicy(file); tc.name != "anyone" && (alone == nil || alone.Error() != err.Error()) {
				t.Errorf("by itself: %v\nwith the configuration: %v", alone, err)
			}
		})
	}
}

// Whoever can write the policy may sign: such a file is refused, as is an absent one, and one in two places.
func TestPolicyFile(t *testing.T) {
	f, config := furnish(t)
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	policy := filepath.Join(string(f), "policy.yaml")
	refused := func(config, want string) {
		t.Helper()
		file := f.write(t, "epovd.yaml", []byte(config))
		for _, load := range []func(string) error{
			func(s string) error { _, err := Load(s); return err },
			func(s string) error { _, err := LoadPolicy(s); return err },
		} {
			if err := load(file); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
	for _, mode := range []os.FileMode{0o660, 0o602, 0o666} {
		if err := os.Chmod(policy, mode); err != nil {
			t.Fatal(err)
		}
		refused(config, "lets others write it")
	}
	if err := os.Chmod(policy, 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Chown(policy, 12345, -1) == nil { // who may give files away
		refused(config, "belongs to user 12345")
		if err := os.Chown(policy, os.Geteuid(), -1); err != nil {
			t.Fatal(err)
		}
	}
	refused(config+"roles: []\n", "contradicts roles and clients")
	inline := strings.Replace(config, "policy: policy.yaml\n", policyExample(t), 1)
	file := f.write(t, "epovd.yaml", []byte(inline))
	if _, err := Load(file); err != nil {
		t.Error(err)
	}
	if p, err := LoadPolicy(file); err != nil || len(p.Clients) != 5 || p.File != file {
		t.Error(p, err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "lets others write it") {
		t.Error(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refused(strings.Replace(config, "policy: policy.yaml\n", "", 1), "roles: is missing")
	if err := os.Remove(policy); err != nil {
		t.Fatal(err)
	}
	refused(config, "no such file")
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(policyExample(f)))
	f.Add([]byte("roles: [{name: a, allow: [{operations: [verify]}]}]\nclients: [{name: a, san: [b], roles: [a]}]"))
	dir := folder(f.TempDir())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := LoadPolicy(dir.write(t, "policy.yaml", data))
		if (err == nil) != (p != nil && p.Access != nil) {
			t.Errorf("%v, %v", p, err)
		}
		wrong, ok := errors.AsType[*ConfigError](err)
		if err != nil && (!ok || len(wrong.Findings) == 0) {
			t.Error(err)
		}
	})
}
