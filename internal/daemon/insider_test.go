package daemon

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A module that an intruder has taken over runs as the daemon's user, and may connect to Unix sockets if its profile says so: it
// does not administer the daemon by that. A process that this test starts is confined once more, as a module's is.
func TestModuleMayNotAdminister(t *testing.T) {
	if path := os.Getenv("DAEMON_TEST_ADMIN"); path != "" {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestModuleMayNotAdminister$")
	cmd.Env = append(os.Environ(), "DAEMON_TEST_ADMIN="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	for _, group := range []int{-1, os.Getegid()} {
		if caller, err := localCaller(theirs, group, false); err == nil || !strings.Contains(err.Error(), "module") {
			t.Errorf("group %d: a module's process is %v, %v", group, caller, err)
		}
	}
	ours, err := net.Dial("unix", path) // as the operator does, who is confined no more than the daemon
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs2, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs2.Close()
	if _, err := localCaller(theirs2, -1, false); err != nil {
		t.Error(err)
	}
	if _, err := localCaller(theirs2, -1, true); err == nil {
		t.Error("of a confined daemon, what is as confined as itself is its child")
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
