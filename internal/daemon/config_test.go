package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/signer"
)

// The example that is shipped is a correct configuration.
func TestExample(t *testing.T) {
	f, text := furnish(t)
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	c, err := Load(f.write(t, "epovd.yaml", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.keys) != 3 || c.keys[1].replicas[0].ID != "EXMP01/ov/2" || !c.keys[1].primary || c.keys[0].primary ||
		c.keys[0].certificate == nil ||
		len(c.keys[0].chain) != 1 || c.trust == nil || c.smev == nil || c.timeStamps == nil ||
		len(c.policy.Clients) != 5 || c.log.text || c.tokens[0].Sessions != 4 {
		t.Errorf("%+v", c)
	}
	caller, err := c.policy.Access.Caller([]string{"gateway.example.ru"})
	if err != nil || caller.Name() != "gateway" {
		t.Error(caller, err)
	}
}

// What is wrong is said with its place, all of it at once, in the order of the file.
func TestFindings(t *testing.T) {
	f, example := furnish(t)
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, tc := range []struct {
		name, old, new string
		want           []string // "line: path: message", the line by a piece of it
	}{
		{"unknown setting", "listen: 0.0.0.0:8443", "listn: 0.0.0.0:8443", []string{
			`listn:: : unknown setting "listn" (known here: listen, *`,
			`listn:: listen: is missing`}},
		{"unknown deep setting", "    sessions: 4 ", "    session: 4 ", []string{
			`session:: tokens[0]: unknown setting "session" (known here: name, module, label, serial, pin, key_pin, state_dir, vendor, isolation, sandbox, call_seconds, sessions, queue, client_queue)`}},
		{"wrong type", "sessions: 4", "sessions: four", []string{`sessions:: tokens[0].sessions: must be a number from 1 to 1024`}},
		{"out of range", "sessions: 4", "sessions: 0", []string{`sessions:: tokens[0].sessions: must be a number from 1 to 1024`}},
		{"number for text", "label: EPOV", "label: 1234", []string{`label:: tokens[0].label: must be a text; put it in quotes`}},
		{"list for text", "listen: 0.0.0.0:8443", "listen: [0.0.0.0:8443]", []string{`listen:: listen: must be a text`}},
		{"empty", "label: EPOV", "label:", []string{`label:: tokens[0].label: is empty`}},
		{"twice", "listen: 0.0.0.0:8443", "listen: 0.0.0.0:8443\nlisten: 0.0.0.0:8443", []string{`listen:#2: listen: is set twice`}},
		{"anchor", "label: EPOV", "label: &x EPOV", []string{`label:: tokens[0].label: anchors and aliases are not supported`}},
		{"no token", "        token: main\n        certificate", "        token: other\n        certificate", []string{
			`token: other: keys[0].versions[0].token: no token named "other"`}},
		{"no primary", "primary: 2", "primary: 7", []string{`primary: 7: keys[0].primary: there is no version 7`}},
		{"version twice", "- version: 2", "- version: 1", []string{
			`primary: 2: keys[0].primary: there is no version 2`, `- version: 1#2: keys[0].versions[1]: there is a version 1 already`}},
		{"key name", "name: keys/EXMP01/ov", "name: EXMP01/ov", []string{
			`name: EXMP01: keys[0].name: a key is named keys/{system}/{key} or keys/{system}/{key}/versions/{n}`}},
		{"key twice", "name: keys/EXMP01/sp", "name: keys/EXMP01/ov", []string{
			`name: keys/EXMP01/ov#2: keys[1].name: there is a key keys/EXMP01/ov already`}},
		{"no time-stamping authority", "  urls: [http", "  # urls: [http", []string{`  policy: 1.2: timestamps.urls: is missing`}},
		{"time-stamping authority", "urls: [http://tsa.example.ru/tsp", "urls: [tsa.example.ru/tsp", []string{
			`urls:: timestamps.urls: not an http or https URL: "tsa.example.ru/tsp"`}},
		{"name of the audit log", "name: epov.example.ru/audit/node-1", "name: \"audit log\"", []string{
			`name: "audit log": audit.name: must be one word without +, such as epov.example.ru/audit/node-1`}},
		{"checkpoints with a client's key", "id: EXMP01/audit/1", "id: EXMP01/ov/2", []string{
			`key: {token: main, id: audit.checkpoints.key: is also a key of clients; checkpoints need a key of their own`}},
		{"checkpoints on no token", "key: {token: main, id: EXMP01/audit/1}", "key: {token: other, id: x}", []string{
			`key: {token: other: audit.checkpoints.key.token: no token named "other"`}},
		{"checkpoints too often", "every_milliseconds: 1000", "every_milliseconds: 10", []string{
			`every_milliseconds:: audit.checkpoints.every_milliseconds: must be a number from 100 to 3600000`}},
		{"order of release", "signatures: durable-first", "signatures: never", []string{
			`signatures:: audit.signatures: must be one of durable-first, release-first`}},
		{"follower of two kinds", `syslog: "tcp://siem.example.ru:601"`, `syslog: "udp://a:1", nats: "nats://b:2"`, []string{
			`- {name: siem: audit.followers[0]: exactly one of syslog and nats is needed`}},
		{"follower's address", `"tcp://siem.example.ru:601"`, `"siem.example.ru"`, []string{
			`- {name: siem: audit.followers[0].syslog: not tls://host:port, tcp://host:port, udp://host:port or unix:///path`}},
		{"follower's key without its certificate", `syslog: "tcp://siem.example.ru:601"`,
			`syslog: "tls://siem.example.ru:6514", key: siem.key`, []string{
				`- {name: siem: audit.followers[0].syslog: a certificate needs its key, and a key its certificate`}},
		{"follower's certificate without TLS", `syslog: "tcp://siem.example.ru:601"`,
			`syslog: "tcp://siem.example.ru:601", ca: ca.pem`, []string{
				`- {name: siem: audit.followers[0].syslog: certificates are for tls://host:port`}},
		{"follower without a subject", `syslog: "tcp://siem.example.ru:601"`, `nats: "nats://b:4222"`, []string{
			`- {name: siem: audit.followers[0].subject: is missing`}},
		{"follower twice", `- {name: siem,`, "- {name: siem, syslog: \"udp://a:1\"}\n    - {name: siem,", []string{
			`- {name: siem#2: audit.followers[1].name: there is a follower "siem" already`}},
		{"policy of time-stamps", "policy: 1.2.643.2.2.38.4", "policy: 7.2.643", []string{
			`  policy: 7.2.643: timestamps.policy: must be an object identifier, such as 1.2.643.2.2.38.4`}},
		{"digest of time-stamps", "digest: streebog256", "digest: sha1", []string{
			`digest:: timestamps.digest: must be one of streebog256, streebog512, sha256, sha384, sha512`}},
		{"PIN itself", "pin: {credential: pin-main}", "pin: 98765432", []string{
			`pin: 9: tokens[0].pin: a PIN does not belong into the configuration; name a file, credential, descriptor or sealed file`}},
		{"PIN for keys itself", "pin: {credential: pin-main}", "pin: {credential: pin-main}\n    key_pin: 98765432", []string{
			`key_pin: 9: tokens[0].key_pin: a PIN does not belong into the configuration; name a file, credential, descriptor or sealed file`}},
		{"PIN as a setting", "pin: {credential: pin-main}", "pin: {98765432: }", []string{
			`pin: {9: tokens[0].pin: unknown setting (known here: file, credential, descriptor, tpm, tpm_device)`,
			`pin: {9: tokens[0].pin: exactly one of file, credential, descriptor and tpm is needed`}},
		{"two PINs", "pin: {credential: pin-main}", "pin: {credential: pin-main, file: pin}", []string{
			`pin: {: tokens[0].pin: exactly one of file, credential, descriptor and tpm is needed`}},
		{"no state", "    state_dir", "    # state_dir", []string{`- name: main: tokens[0].state_dir: is missing`}},
		{"unknown vendor", "    sessions: 4", "    vendor: nobody", []string{`vendor:: tokens[0].vendor: no vendor "nobody"; known are *`}},
		{"isolation", "    sessions: 4", "    isolation: maybe", []string{`isolation:: tokens[0].isolation: must be one of process, none`}},
		{"replicas and token", "{version: 1, token: main}", "{version: 1, token: main, replicas: [{token: main}]}", []string{
			`- {version: 1, token: keys[1].versions[0].token: contradicts replicas`}},
		{"replica twice", "{version: 1, token: main}", "{version: 1, replicas: [{token: main}, {token: main}]}", []string{
			`- {version: 1: keys[1].versions[0].replicas[1]: token "main" is named already`}},
		{"replica nowhere", "{version: 1, token: main}", "{version: 1, replicas: [{token: other}]}", []string{
			`- {version: 1: keys[1].versions[0].replicas[0].token: no token named "other"`}},
		{"no replica", "{version: 1, token: main}", "{version: 1, replicas: []}", []string{
			`- {version: 1: keys[1].versions[0].replicas: names 0 tokens; 1 to 16 are possible`}},
		{"neither label nor serial", "    label: EPOV", "",
			[]string{`- name: main: tokens[0]: label or serial is needed to tell the token from others`}},
		{"two TLS keys", "key: server.key ", "key: server.key\n  key_token: {token: main, id: tls} ", []string{
			`certificate: server.pem: tls: exactly one of key and key_token is needed`}},
		{"TLS key on no token", "key: server.key ", "key_token: {token: other, id: tls} ", []string{
			`key_token: tls.key_token.token: no token named "other"`}},
		{"other TLS key", "key: server.key ", "key: other.key ", []string{
			`key: other: tls.key: private key does not match public key`}},
		{"not a certificate", "client_ca: clients-ca.pem", "client_ca: server.key", []string{
			`client_ca:: tls.client_ca: no certificate in it`}},
		{"client CA with GOST", "client_ca: clients-ca.pem", "client_ca: root-ca.pem", []string{
			`client_ca:: tls.client_ca: the certificate of *`}},
		{"port", "listen: 0.0.0.0:8443", "listen: 0.0.0.0:84430", []string{`listen:: listen: the port must be a number from 0 to 65535`}},
		{"named port", "listen: 0.0.0.0:8443", "listen: 0.0.0.0:https",
			[]string{`listen:: listen: the port must be a number from 0 to 65535`}},
		{"sealed PIN that is none", "pin: {credential: pin-main}", "pin: {tpm: pin}",
			[]string{`tpm: pin: tokens[0].pin.tpm: hsm: read a sealed PIN: *`}},
		{"TPM without a sealed PIN", "pin: {credential: pin-main}", "pin: {file: pin, tpm_device: /dev/tpmrm0}", []string{
			`tpm_device:: tokens[0].pin.tpm_device: goes with tpm`}},
		{"TLS certificate as anchor", "anchors: [root-ca.pem]", "anchors: [pin]", []string{`anchors:: trust.anchors[0]: *`}},
		{"mode of revocation", "mode: if-available", "mode: always",
			[]string{`mode:: trust.revocation.mode: must be one of if-available, required, off`}},
		{"absent CRL", "fetch: true", "files: [absent.crl]", []string{`mode:: trust.revocation: *`}},
		{"empty trust directory", "smev: [smev.pem]", "smev: [smev.pem]\n  directory: absent", []string{
			`directory: absent: trust.directory: nothing was imported there yet; see ` + "`epov trust import`"}},
		{"accredited by whom", "smev: [smev.pem]", "smev: [smev.pem]\n  accredited: true", []string{
			`accredited: true: trust.accredited: who is accredited says a list in trust.directory, and none is named`}},
		{"class", "smev: [smev.pem]", "smev: [smev.pem]\n  policies: [KC9]", []string{
			`policies: [KC9]: trust.policies[0]: must be an object identifier such as 1.2.643.100.113.1`}},
		{"insecure", "listen: 0.0.0.0:8443", "listen: 0.0.0.0:8443\ninsecure: true", []string{
			`listen:: listen: without mutual TLS only a loopback address may be listened on, such as 127.0.0.1`,
			`certificate: server.pem: tls: contradicts insecure: true`}},
		{"insecure in other words", "listen: 0.0.0.0:8443", "listen: 127.0.0.1:8443\ninsecure: \"yes\"", []string{
			`insecure:: insecure: must be true or false`}},
		{"address", "listen: 0.0.0.0:8443", "listen: everywhere", []string{`listen:: listen: must be host:port`}},
		{"one address for all", "# metrics:\n#   listen: 127.0.0.1:9464", "metrics:\n  listen: 127.0.0.1:8443", []string{
			`listen: 127.0.0.1:8443: metrics: listens at the same address as listen: 127.0.0.1:8443`}},
		{"a socket without a folder", "# admin:\n#   listen: /run/epovd-admin/socket", "admin:\n  listen: admin.sock", []string{
			`admin.sock: admin.listen: must be the absolute path of a Unix socket, or host:port`}},
		{"not YAML", "log:\n  level", "log:\n level: [\n  level", []string{`*`}},
		{"several", "sessions: 4 ", "sessions: x\n    colour: red ", []string{
			`sessions: x: tokens[0].sessions: must be a number from 1 to 1024`,
			`colour:: tokens[0]: unknown setting "colour" (known here: *`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "other TLS key" {
				other, _ := furnish(t)
				data, err := os.ReadFile(string(other) + "/server.key")
				if err != nil {
					t.Fatal(err)
				}
				f.write(t, "other.key", data)
			}
			if !strings.Contains(example, tc.old) {
				t.Fatalf("the example does not contain %q", tc.old)
			}
			text := strings.Replace(example, tc.old, tc.new, 1)
			_, err := Load(f.write(t, "epovd.yaml", []byte(text)))
			var wrong *ConfigError
			if !errors.As(err, &wrong) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "98765432") {
				t.Errorf("the PIN is repeated: %v", err)
			}
			if len(wrong.Findings) != len(tc.want) {
				t.Fatalf("%d findings:\n%v", len(wrong.Findings), err)
			}
			for i, f := range wrong.Findings {
				check(t, text, f, tc.want[i])
			}
		})
	}
}

// check compares a finding with "piece of its line[#n-th such line]: path: message"; a message may end in "*".
func check(t *testing.T, text string, f Finding, want string) {
	t.Helper()
	if want == "*" {
		if f.Line == 0 {
			t.Errorf("no line: %+v", f)
		}
		return
	}
	got := ": " + f.Path + ": " + f.Message
	if prefix, ok := strings.CutSuffix(want, "*"); ok {
		want = prefix
		if i := strings.Index(want, ": "+f.Path+": "); i >= 0 && strings.HasPrefix(got, want[i:]) {
			got = want[i:]
		}
	}
	piece, ok := strings.CutSuffix(want, got)
	if !ok {
		t.Errorf("got  %s\nwant %s", got, want)
		return
	}
	nth := 1
	if p, ok := strings.CutSuffix(piece, "#2"); ok {
		piece, nth = p, 2
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.Contains(line, piece) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			if nth--; nth == 0 {
				if f.Line != i+1 || f.Column < 1 {
					t.Errorf("%s: line %d, column %d; %q is in line %d", got, f.Line, f.Column, piece, i+1)
				}
				return
			}
		}
	}
	t.Errorf("no line with %q", piece)
}

func TestNoFile(t *testing.T) {
	f := folder(t.TempDir())
	for _, name := range []string{"none.yaml", "."} {
		if _, err := Load(string(f) + "/" + name); err == nil {
			t.Error(name)
		}
	}
	for _, text := range []string{"", "# nothing\n", "- list\n", "text", "a: b\n---\nc: d\n", "listen: *x\n", strings.Repeat("[", 1<<16)} {
		if _, err := Load(f.write(t, "x.yaml", []byte(text))); err == nil {
			t.Errorf("%.20q is a configuration", text)
		}
	}
}

func TestInsecure(t *testing.T) {
	f, example := furnish(t)
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	start, end := strings.Index(example, "tls:\n"), strings.Index(example, "# PKCS#11 tokens")
	text := "insecure: true\n" + example[:start] + example[end:]
	text = strings.Replace(text, "listen: 0.0.0.0:8443", "listen: 127.0.0.1:0", 1)
	f.write(t, "policy.yaml", []byte(strings.Replace(policyExample(t), "san: [monitoring.example.ru]", "anyone: true", 1)))
	c, err := Load(f.write(t, "epovd.yaml", []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	if caller, err := c.policy.Access.Anyone(); err != nil || caller.Name() != "monitoring" || c.tls != nil || !c.insecure {
		t.Error(caller, err)
	}
}

func FuzzConfig(f *testing.F) {
	example, err := os.ReadFile("../../deploy/epovd.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("keys: [{name: keys/A/b, versions: [{version: 1}]}]"))
	own := folder(f.TempDir()).write(f, "epovd.yaml", nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, doc := &Config{file: own, dir: "/nonexistent"}, &document{}
		c.read(doc.parse(data))
		if len(doc.findings) == 0 && (c.listen == "" || c.policy == nil || len(c.keys) == 0) {
			t.Error("an incomplete configuration passes")
		}
		for _, finding := range doc.findings {
			if finding.Message == "" {
				t.Errorf("a finding without words: %+v", finding)
			}
		}
		for _, k := range c.keys {
			if _, err := signer.ParseKeyName(k.name.String()); err != nil && len(doc.findings) == 0 {
				t.Error(err)
			}
		}
	})
}

// A TLS key that everybody may read is warned about; one that only the service's group may read is not.
func TestWarnOfTLSKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.key")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &tlsConfig{file: file, certificate: tls.Certificate{Leaf: &x509.Certificate{NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}}}
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		c.warn(slog.New(slog.NewTextHandler(&log, nil)))
		if strings.Contains(log.String(), "everybody") != warned {
			t.Errorf("mode %#o: %q", mode, log.String())
		}
	}
}
