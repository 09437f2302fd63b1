// Command man writes the manual pages of the packages: epov.1, epovd.8, epovd.yaml.5. What they say is taken from where it is
// said already, so that they cannot differ from it: the programs' own help, the handbook's table of exit codes, and the
// documented configuration.
//
//	man BIN SOURCE OUT    BIN holds epov and epovd, SOURCE is the checkout
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/epov-signer/epov/internal/manpage"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: man BIN SOURCE OUT")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func write(bin, source, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	epov, err := exec.Command(filepath.Join(bin, "epov"), "man").Output()
	if err != nil {
		return fmt.Errorf("epov man: %w", err)
	}
	help, err := exec.Command(filepath.Join(bin, "epovd"), "-help").CombinedOutput()
	if err != nil {
		return fmt.Errorf("epovd -help: %w", err)
	}
	operating, err := os.ReadFile(filepath.Join(source, "docs", "operating.md"))
	if err != nil {
		return err
	}
	epovd, err := daemon(string(help), string(operating))
	if err != nil {
		return err
	}
	yaml, err := os.ReadFile(filepath.Join(source, "deploy", "epovd.yaml"))
	if err != nil {
		return err
	}
	configuration, err := settings(string(yaml))
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(out, "epov.1"), epov, 0o644),
		os.WriteFile(filepath.Join(out, "epovd.8"), []byte(epovd), 0o644),
		os.WriteFile(filepath.Join(out, "epovd.yaml.5"), []byte(configuration), 0o644),
	)
}

// daemon makes epovd(8) of what epovd -help prints and of the table "Exit codes of epovd".
func daemon(help, operating string) (string, error) {
	p := manpage.New("epovd", 8, "signing service: GOST signatures by keys on PKCS#11 tokens")
	p.Section("SYNOPSIS")
	p.Bold("epovd [-config FILE]")
	p.Bold("epovd [-config FILE] -check")
	p.Section("DESCRIPTION")
	p.Text("epovd holds the keys of information systems on PKCS#11 tokens and signs for the clients that its configuration names, over " +
		"gRPC with mutual TLS. It runs in the foreground until SIGTERM or SIGINT, logs to standard error, and needs no privileges.")
	p.Section("OPTIONS")
	flags := regexp.MustCompile(`(?m)^  -(\S+(?: \S+)?)\n    \t(.*)$`).FindAllStringSubmatch(help, -1)
	if len(flags) == 0 {
		return "", errors.New("epovd -help shows no options")
	}
	for _, f := range flags {
		p.Item("-"+f[1], f[2])
	}
	p.Section("SIGNALS")
	p.Item("SIGTERM, SIGINT", "Stop: calls at work are finished, new ones go elsewhere. A second one ends it at once.")
	p.Item("SIGHUP", "Read the configuration again and take over what differs; what becomes of it is in the log. The files that it "+
		"names are followed without being asked.")
	p.Section("EXIT STATUS")
	_, table, found := strings.Cut(operating, "## Exit codes of epovd\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*?) \| (.*?) \|$`).FindAllStringSubmatch(table, -1)
	if !found || len(rows) < 3 {
		return "", errors.New("docs/operating.md has no table of the exit codes of epovd")
	}
	for _, r := range rows {
		p.Item(r[1], r[2]+". Restarted by the unit: "+r[3]+".")
	}
	p.Section("ENVIRONMENT")
	p.Item("LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES",
		"Sockets that the service manager passes (sd_listen_fds(3)), by the names api, admin and "+
			"metrics. Their addresses must be those of the configuration.")
	p.Item("NOTIFY_SOCKET, WATCHDOG_USEC", "Where and how often to say that the service is alive (sd_notify(3)).")
	p.Item("CREDENTIALS_DIRECTORY", "Where PINs of the source credential are (systemd.exec(5), LoadCredential=).")
	p.Item("GOGC, GOMEMLIMIT", "When garbage is collected.")
	p.Section("FILES")
	p.Item("/etc/epovd/epovd.yaml", "The configuration: epovd.yaml(5).")
	p.Item("/etc/default/epovd", "Environment of the unit.")
	p.Item("/var/lib/epovd", "State: refused PINs, states of key versions, the audit log.")
	p.Item("/usr/share/doc/epov", "The operator's handbook (handbook.md) and the other documents.")
	p.Section("SEE ALSO")
	p.Text("epov(1), epovd.yaml(5), systemd.socket(5)")
	return p.String(), nil
}

// settings makes epovd.yaml(5) of the documented configuration: the comment before a section is its text.
func settings(yaml string) (string, error) {
	p := manpage.New("epovd.yaml", 5, "configuration of the signing service epovd")
	top := regexp.MustCompile(`^(# )?([a-z_]+):`)
	var body []string
	var name, comment string
	sections := 0
	flush := func() {
		if name != "" {
			p.Subsection(name)
			if comment != "" {
				p.Text(comment)
			}
			p.Verbatim(strings.TrimSpace(strings.Join(body, "\n")))
			sections++
		}
		name, comment, body = "", "", nil
	}
	lines := strings.Split(yaml, "\n")
	head := 0
	for head < len(lines) && strings.HasPrefix(lines[head], "#") {
		head++
	}
	p.Section("DESCRIPTION")
	p.Text(uncommented(lines[:head]))
	p.Text("What is left out has the default that the text names. The file may be read by root and the service's group.")
	p.Section("SETTINGS")
	var pending []string // comments of the section to come
	for _, line := range lines[head:] {
		switch m := top.FindStringSubmatch(line); {
		case m != nil && m[1] == "", m != nil && len(pending) > 0 && m[1] != "": // the latter one is shown, and not set
			flush()
			name, comment, pending = m[2], uncommented(pending), nil
			body = append(body, line)
		case strings.HasPrefix(line, "#") && len(body) == 1 && strings.HasPrefix(body[0], "# "):
			body[0] += "\n" + line
		case strings.HasPrefix(line, "#"):
			pending = append(pending, line)
		case line == "":
			body = append(body, append(pending, "")...)
			pending = nil
		default:
			body = append(append(body, pending...), line)
			pending = nil
		}
	}
	body = append(body, pending...)
	flush()
	if sections < 5 {
		return "", errors.New("deploy/epovd.yaml has hardly any sections")
	}
	p.Section("SEE ALSO")
	p.Text("epovd(8), epov(1)")
	return p.String(), nil
}

func uncommented(lines []string) string {
	var out []string
	for _, line := range lines {
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
	}
	return strings.Join(out, "\n")
}
