package nodes

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Network is three hosts of one network, in namespaces of their own, seen from the namespace that the process is in.
type Network struct {
	Hosts []string   // addresses
	Wrap  [][]string // command that runs another one on the host and becomes it
}

// Alone reports whether the process is in a network namespace without any interface but loopback, where a Network may be made:
// nothing of the machine's own network is touched.
func Alone() bool {
	out, err := exec.Command("ip", "-o", "link", "show").Output()
	return err == nil && strings.Count(strings.TrimSpace(string(out)), "\n") == 0 && strings.Contains(string(out), " lo:")
}

// NewNetwork makes hosts, which end with the test. It needs root, iproute2 and util-linux, and must be Alone.
func NewNetwork(tb testing.TB, hosts int) *Network {
	tb.Helper()
	if !Alone() {
		tb.Fatal("nodes: the process is not in a network of its own")
	}
	n := &Network{}
	run(tb, "ip", "link", "set", "lo", "up")
	run(tb, "ip", "link", "add", "bridge", "type", "bridge")
	run(tb, "ip", "addr", "add", "192.0.2.1/24", "dev", "bridge") // TEST-NET-1: nobody's
	run(tb, "ip", "link", "set", "bridge", "up")
	for i := range hosts {
		holder := exec.Command("unshare", "--net", "sleep", "900") // an end by itself, whatever becomes of the test
		holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		check(tb, holder.Start())
		tb.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
		pid := strconv.Itoa(holder.Process.Pid)
		inside := []string{"nsenter", "-t", pid, "-n"}
		await(tb, pid)
		ours, address := fmt.Sprintf("host%d", i+1), fmt.Sprintf("192.0.2.%d", 11+i)
		run(tb, "ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", pid)
		run(tb, "ip", "link", "set", ours, "master", "bridge", "up")
		for _, line := range []string{"ip link set lo up", "ip addr add " + address + "/24 dev eth0", "ip link set eth0 up"} {
			run(tb, append(inside, strings.Fields(line)...)...)
		}
		n.Hosts, n.Wrap = append(n.Hosts, address), append(n.Wrap, inside)
	}
	return n
}

// await waits until the process is in a namespace of its own: unshare enters it after it has been started.
func await(tb testing.TB, pid string) {
	tb.Helper()
	own := run(tb, "readlink", "/proc/self/ns/net")
	for range 1000 {
		if run(tb, "readlink", "/proc/"+pid+"/ns/net") != own {
			return
		}
		run(tb, "sleep", "0.01")
	}
	tb.Fatal("nodes: no namespace was made")
}

func run(tb testing.TB, args ...string) string {
	tb.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
