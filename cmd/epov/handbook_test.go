package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// aSystem stands for the machine of the handbook: what its commands do to a system is done in the folder $root, the editor
// writes what an operator would, systemctl runs the daemon as the unit does, and the authority answers.
const aSystem = `
set -euo pipefail
here=$HERE state=$root/pki
mkdir -p "$state" "$root/etc/epovd" "$root/var/lib/epovd" "$root/credentials"
say() { :; }
openssl() { OPENSSL_CONF=$here/openssl.cnf command openssl "$@" 2>>"$root/openssl.log"; }
. "$here/pki.sh"
make_gost_ca; make_tls
cp "$state/ca/root.pem" "$root/etc/epovd/root-ca.pem"; cp "$state/ca/issuing.pem" "$root/etc/epovd/issuing-ca.pem"
cp "$state/tls/server.pem" "$state/tls/server.key" "$root/etc/epovd/"; cp "$state/tls/ca.pem" "$root/etc/epovd/clients-ca.pem"
cp "$state/tls/client.pem" "$state/tls/client.key" "$state/tls/ca.pem" .
authority() { issue "$1" "$state/ca/issuing" ep_ov 365 -md_gost12_256; }
install() { # without owners, which the test may not give
	local args=()
	while [ $# -gt 0 ]; do case $1 in -o | -g) shift 2 ;; *) args+=("$1"); shift ;; esac; done
	command install "${args[@]}"
}
EDITOR=the_operator
the_operator() { case $1 in *so-pin) echo 31415926 ;; *new-pin) echo 27182818 ;; *) echo 16180339 ;; esac >"$1"; }
apt-get() { [ "$1" = install ]; }
systemd-run() { while [ "$1" != epov ]; do shift; done; CREDENTIALS_DIRECTORY=$root/credentials "$@"; }
sudo() { [ "$1 $2" = "-u epovd" ]; shift 2; CREDENTIALS_DIRECTORY=$root/credentials "$@"; } # else it asks for the PIN
epovd() { command epovd -config "$root/etc/epovd/epovd.yaml" "$@"; }
daemon=
start() {
	cp "$root/etc/epovd/pin-main" "$root/credentials/" && chmod 400 "$root/credentials/pin-main"
	CREDENTIALS_DIRECTORY=$root/credentials command epovd -config "$root/etc/epovd/epovd.yaml" 2>>"$root/log" &
	daemon=$!
	for _ in $(seq 200); do
		kill -0 "$daemon"
		! epov health --client-config "$root/../client.yaml" --timeout 2s >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	return 1
}
stop() { kill "$daemon"; wait "$daemon"; }
systemctl() { case $1 in enable) start ;; restart) stop; chmod 600 "$root/credentials/pin-main"; start ;; *) return 1 ;; esac; }
journalctl() { grep -q serving "$root/log"; }
trap 'status=$?; [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null; wait "$daemon" 2>/dev/null; } || true; [ $status = 0 ] || tail -n 20 "$root/log" >&2; exit $status' EXIT
set -x
`

// The handbook's commands do what it says, in its order, with the configuration that it shows.
func TestHandbook(t *testing.T) {
	if softhsm.Module() == "" {
		oracle.Missing(t, "SoftHSM with GOST")
	}
	text, err := os.ReadFile("../../docs/handbook.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, ".", "../epovd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	here, dir := absolute("../../deploy/demo"), t.TempDir()
	message, err := os.ReadFile(filepath.Join(here, "messages", "smev3-ack.xml"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	conf, err := softhsm.WriteConf(dir)
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	_ = free.Close()
	moved := strings.NewReplacer("/etc/epovd", root+"/etc/epovd", "/var/lib/epovd", root+"/var/lib/epovd",
		"/usr/lib/librtpkcs11ecp.so", softhsm.Module(), "0.0.0.0:8443", "127.0.0.1:"+port, "localhost:8443", "localhost:"+port)

	blocks := regexp.MustCompile("(?ms)^```(sh|yaml)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	yaml := []string{root + "/etc/epovd/epovd.yaml", root + "/etc/epovd/policy.yaml", filepath.Join(dir, "client.yaml")}
	var script strings.Builder
	for _, block := range blocks {
		if block[1] == "yaml" {
			if len(yaml) == 0 {
				t.Fatal("a configuration more than the test knows of")
			}
			if err := os.MkdirAll(filepath.Dir(yaml[0]), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(yaml[0], []byte(moved.Replace(block[2])), 0o600); err != nil {
				t.Fatal(err)
			}
			yaml = yaml[1:]
			continue
		}
		script.WriteString(moved.Replace(block[2]))
	}
	if len(blocks) < 12 || len(yaml) > 0 {
		t.Fatalf("%d blocks, %d configurations missing", len(blocks), len(yaml))
	}
	commands := regexp.MustCompile(`(?m)^# The accredited authority answers with (\S+)\.pem\.$`).ReplaceAllString(script.String(),
		"authority $1")
	// Where a command finds the configuration by itself, the test says where it is.
	commands = regexp.MustCompile(`(?m)(epov key (?:stage|activate|retire|states))`).ReplaceAllString(commands,
		"$1 --config "+root+"/etc/epovd/epovd.yaml")
	if err := os.WriteFile(filepath.Join(dir, "request.xml"), message, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", aSystem+commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HERE="+here, "root="+root, "SOFTHSM2_CONF="+conf,
		"HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "home"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
