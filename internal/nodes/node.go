package nodes

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/processes"
)

// Node is a daemon with one token.
type Node struct {
	Address string // host:port
	Dir     string // of its configuration and state
	Key     string // "keys/SYSTEM/NAME"

	program string
	wrap    []string // command that runs it in a network of its own
	env     []string

	mutex sync.Mutex
	cmd   *exec.Cmd
	done  chan struct{}
	log   *tail
}

// Options of a node.
type Options struct {
	Host  string   // default 127.0.0.1
	Wrap  []string // command line that the program's is appended to
	Extra string   // further lines of the configuration
	Token string   // further settings of the token, such as ", sessions: 4"
}

// Node writes the configuration of a daemon and starts nothing yet.
func (s *Site) Node(tb testing.TB, t *Token, o Options) *Node {
	tb.Helper()
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	part := strings.Split(t.ID, "/")
	n := &Node{Dir: tb.TempDir(), Key: "keys/" + part[0] + "/" + part[1], program: s.epovd, wrap: o.Wrap}
	n.Address = net.JoinHostPort(o.Host, freePort(tb, o.Wrap == nil))
	n.env = append(os.Environ(), "SOFTHSM2_CONF="+t.Conf)
	pair(tb, filepath.Join(n.Dir, "server"), s.tls.NewServer(tb, o.Host))
	check(tb, os.WriteFile(filepath.Join(n.Dir, "signer.pem"), t.Certificate.PEM(), 0o600))
	check(tb, os.WriteFile(filepath.Join(n.Dir, "pin"), []byte(t.PIN+"\n"), 0o600))
	reach := []string{filepath.Dir(t.Module)}
	if t.Conf != "" {
		reach = append(reach, filepath.Dir(t.Conf))
	}
	write, err := json.Marshal(reach)
	check(tb, err)
	check(tb, os.WriteFile(filepath.Join(n.Dir, "epovd.yaml"), fmt.Appendf(nil, `
listen: %s
tls: {certificate: server.pem, key: server.key, client_ca: %s}
tokens:
  - {name: main, module: %q, serial: %q, pin: {file: pin}, state_dir: state, sandbox: {write: %s}%s}
keys:
  - {name: %s, primary: %s, versions: [{version: %s, token: main, id: %s, certificate: signer.pem}]}
roles:
  - name: everything
    allow: [{keys: [keys/*], operations: [sign-xml, sign-cms, sign-digest, list]}, {operations: [verify]}]
clients:
  - {name: gateway, san: [%q], roles: [everything]}
trust: {anchors: [%s]}
log: {level: info, format: json}
%s
`, n.Address, filepath.Join(s.Dir, "ca.pem"), t.Module, t.Serial, write, o.Token, n.Key, part[2], part[2], t.ID, Caller,
		filepath.Join(s.Dir, "root.pem"), o.Extra), 0o600))
	tb.Cleanup(n.Kill)
	return n
}

// freePort finds one; in a network of its own any is free.
func freePort(tb testing.TB, shared bool) string {
	if !shared {
		return "8443"
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(tb, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// Start starts the daemon and waits until it serves.
func (n *Node) Start(tb testing.TB) {
	tb.Helper()
	args := append(append([]string{}, n.wrap...), n.program, "-config", filepath.Join(n.Dir, "epovd.yaml"))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = n.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	check(tb, err)
	check(tb, cmd.Start())
	done, serving, log := make(chan struct{}), make(chan struct{}), &tail{}
	n.mutex.Lock()
	n.cmd, n.done, n.log = cmd, done, log
	n.mutex.Unlock()
	go func() {
		lines := bufio.NewScanner(io.TeeReader(stderr, log))
		lines.Buffer(nil, 1<<20)
		told := false
		for lines.Scan() {
			var entry struct{ Msg string }
			if !told && json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "serving" {
				told = true
				close(serving)
			}
		}
		_ = cmd.Wait() // how it ended is in the log
		close(done)
	}()
	select {
	case <-serving:
	case <-done:
		tb.Fatalf("epovd ended at its start:\n%s", log)
	case <-time.After(30 * time.Second):
		tb.Fatalf("epovd does not serve after half a minute:\n%s", log)
	}
}

// Stop stops the daemon in order and waits for its end.
func (n *Node) Stop() { n.end(syscall.SIGTERM) }

// Kill ends it at once; nothing where it does not run.
func (n *Node) Kill() { n.end(syscall.SIGKILL) }

func (n *Node) end(with syscall.Signal) {
	n.mutex.Lock()
	cmd, done := n.cmd, n.done
	n.cmd = nil
	n.mutex.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(with) // it may have ended by itself
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}

// Log is the end of what it wrote.
func (n *Node) Log() string {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.log.String()
}

// PID is the daemon's process; where it is wrapped, the wrapping command must have become it (exec).
func (n *Node) PID() int {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.cmd.Process.Pid
}

// Spent is the processor time of the daemon alone, and that of the processes of its modules.
func (n *Node) Spent() (daemon, modules time.Duration) {
	pid := n.PID()
	for _, child := range processes.Children(pid) {
		modules += processes.Time(child)
	}
	return processes.Time(pid), modules
}

// Memory is what the daemon and the processes of its modules hold in memory, in octets: the sum of their proportional set
// sizes, in which a page that several share is divided among them; where the system does not tell, of their resident sets.
func (n *Node) Memory() (sum int64) {
	pid := n.PID()
	for _, p := range append(processes.Children(pid), pid) {
		octets, err := processes.Proportional(p)
		if err != nil {
			octets, _ = processes.Resident(p)
		}
		sum += octets
	}
	return sum
}

// tail keeps the last of what is written.
type tail struct {
	mutex sync.Mutex
	text  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - 16<<10; extra > 0 {
		t.text = t.text[extra:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return string(bytes.TrimSpace(t.text))
}
