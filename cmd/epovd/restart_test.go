package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/oracle"
)

// manager is a service manager: it holds a listening socket, starts epovd with it and hears what it says of itself.
type manager struct {
	config string
	file   *os.File
	addr   string
	notes  *net.UnixConn
	path   string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	config, _ := plant(t)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{config: config, addr: tcp.Addr().String(), path: filepath.Join(t.TempDir(), "notify")}
	if m.file, err = tcp.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.file.Close() })
	if err := tcp.Close(); err != nil { // what is left is the descriptor
		t.Fatal(err)
	}
	write(t, config, strings.Replace(read(t, config), "127.0.0.1:0", m.addr, 1))
	if m.notes, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.notes.Close() })
	return m
}

// command is epovd with the socket, as systemd passes it: its own process number is part of the environment.
func (m *manager) command(t *testing.T, names string, count int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"`, "sh", self, "-config", m.config)
	cmd.Env = append(os.Environ(), "EPOVD_TEST_MAIN=1", "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=600000",
		fmt.Sprintf("LISTEN_FDS=%d", count), "LISTEN_FDNAMES="+names)
	for range count {
		cmd.ExtraFiles = append(cmd.ExtraFiles, m.file)
	}
	return cmd
}

func (m *manager) start(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := m.command(t, "api", 1)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = log.Close()
		if t.Failed() {
			t.Log(read(t, log.Name()))
		}
	})
	return cmd
}

// hears waits for a note, past others.
func (m *manager) hears(t *testing.T, want string) {
	t.Helper()
	buffer := make([]byte, 256)
	_ = m.notes.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		n, err := m.notes.Read(buffer)
		if err != nil {
			t.Fatalf("no %s: %v", want, err)
		}
		if strings.HasPrefix(string(buffer[:n]), want) {
			return
		}
	}
}

// While the service is started anew, its socket stays: no connection is refused, none is cut off, and no call fails, neither
// on connections that last nor on new ones.
func TestRestartRefusesNobody(t *testing.T) {
	m := newManager(t)
	cmd := m.start(t)
	m.hears(t, "READY=1")
	m.hears(t, "WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.hears(t, "RELOADING=1\nMONOTONIC_USEC=")
	m.hears(t, "READY=1")

	dial := func() *grpc.ClientConn {
		conn, err := grpc.NewClient(m.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Error(err)
		}
		return conn
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	var calls, over atomic.Int64
	call := func(conn *grpc.ClientConn, kind string) {
		list, err := epovpb.NewKeyServiceClient(conn).ListKeys(ctx, &epovpb.ListKeysRequest{})
		if err != nil || len(list.Keys) != 1 {
			t.Errorf("on a %s connection: %v, %v", kind, list, err)
		}
		calls.Add(1)
	}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			conn := dial()
			defer conn.Close()
			for over.Load() == 0 {
				call(conn, "lasting")
			}
		})
		group.Go(func() {
			for over.Load() == 0 {
				conn := dial()
				call(conn, "new")
				_ = conn.Close()
			}
		})
	}
	const restarts = 4
	for range restarts {
		for before := calls.Load(); calls.Load() < before+200 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		m.hears(t, "STOPPING=1")
		if code := exitCode(t, cmd.Wait()); code != exitOK {
			t.Fatal("exit code", code)
		}
		cmd = m.start(t)
		m.hears(t, "READY=1")
	}
	for before := calls.Load(); calls.Load() < before+100 && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
	over.Store(1)
	group.Wait()
	t.Logf("%d calls over %d restarts", calls.Load(), restarts)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if code := exitCode(t, cmd.Wait()); code != exitOK {
		t.Error("exit code", code)
	}
}

// Sockets that do not fit the configuration stop the service with its own exit code, for starting again does not help.
func TestPassedSocketsMustFit(t *testing.T) {
	m := newManager(t)
	for _, tc := range []struct {
		names string
		count int
		want  string
	}{
		{"epovd.socket", 1, `no use for a socket named \"epovd.socket\"`},
		{"api:api", 2, `two sockets are passed as \"api\"`},
		{"api:admin", 2, `no use for a socket named \"admin\"`},
		{"", 2, "each socket unit needs FileDescriptorName="},
	} {
		out, err := m.command(t, tc.names, tc.count).CombinedOutput()
		if code := exitCode(t, err); code != exitConfig || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: exit code %d\n%s", tc.names, code, out)
		}
	}
	write(t, m.config, strings.Replace(read(t, m.config), m.addr, "127.0.0.1:1", 1))
	out, err := m.command(t, "api", 1).CombinedOutput()
	if code := exitCode(t, err); code != exitConfig || !strings.Contains(string(out), "the configuration says 127.0.0.1:1") {
		t.Errorf("another address: exit code %d\n%s", code, out)
	}
}

// The same with systemd's own tool, which shares no code with the test above: the first connection starts the service.
func TestSystemdSocketActivate(t *testing.T) {
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		oracle.Missing(t, "systemd-socket-activate (Debian package systemd)")
	}
	config, _ := plant(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, config, strings.Replace(read(t, config), "127.0.0.1:0", addr, 1))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--listen=" + addr, "--fdname=api"}
	for _, name := range []string{"EPOVD_TEST_MAIN=1", "SOFTHSM2_CONF", "PATH"} {
		args = append(args, "--setenv="+name)
	}
	cmd := exec.Command(tool, append(args, self, "-config", config)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "Listening on") {
	}
	go func() { // keeps the pipe empty
		for lines.Scan() {
		}
	}()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if list, err := epovpb.NewKeyServiceClient(conn).ListKeys(t.Context(), &epovpb.ListKeysRequest{}); err != nil || len(list.Keys) != 1 {
		t.Error(list, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd.Wait()); code != exitOK {
		t.Error("exit code", code)
	}
}
