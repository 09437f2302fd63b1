package sandbox

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that was confined further is told from others of the same user, and so are its children, also when it hands its
// socket to somebody else and ends.
func TestInsider(t *testing.T) {
	if path := os.Getenv("SANDBOX_TEST_PEER"); path != "" {
		peer(t, path, os.Getenv("SANDBOX_TEST_CONFINED") != "")
		return
	}
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tc := range []struct {
		what           string
		confined, gone string
		strict, want   bool
	}{
		{"a child as this process is", "", "", false, false},
		{"the same, where all children are insiders", "", "", true, true},
		{"a confined child", "1", "", false, true},
		{"a confined child that has ended", "1", "1", false, true},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestInsider$")
		cmd.Env = append(os.Environ(), "SANDBOX_TEST_PEER="+path, "SANDBOX_TEST_CONFINED="+tc.confined)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := &strings.Builder{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		end := func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err, out)
			}
		}
		if tc.gone != "" {
			end()
		}
		raw, err := conn.(*net.UnixConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got bool
		var failed error
		if err := raw.Control(func(fd uintptr) { got, failed = Insider(int(fd), tc.strict) }); err != nil {
			t.Fatal(err)
		}
		if got != tc.want || failed != nil && tc.gone == "" {
			t.Errorf("%s: %v, %v", tc.what, got, failed)
		}
		if tc.gone == "" {
			end()
		}
		_ = conn.Close()
	}
}

// peer connects and waits for the end of its input.
func peer(t *testing.T, path string, confined bool) {
	if confined {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := Denying([]string{"unix"}).Install(); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = os.Stdin.Read(make([]byte, 1))
}
