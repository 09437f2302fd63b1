package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What the daemon listens for. A listener goes by its name wherever one is meant: in the log, and in socket units
// (FileDescriptorName=).
const (
	apiListener     = "api"     // calls of clients: listen
	metricsListener = "metrics" // scrapes: metrics.listen
	adminListener   = "admin"   // administration: admin.listen
)

// addresses are all that the configuration listens on, by name: host:port, or the path of a Unix socket, which begins with a
// slash.
func (c *Config) addresses() map[string]string {
	all := map[string]string{apiListener: c.listen}
	if c.metrics.listen != "" {
		all[metricsListener] = c.metrics.listen
	}
	if c.admin.listen != "" {
		all[adminListener] = c.admin.listen
	}
	return all
}

// keepApart refuses listeners that would be in each other's way.
func (c *Config) keepApart(at func(string) value) {
	metrics, admin := at("metrics"), at("admin")
	if clash(c.listen, c.metrics.listen) {
		metrics.fail("listens at the same address as listen: %s", c.metrics.listen)
	}
	if clash(c.listen, c.admin.listen) {
		admin.fail("listens at the same address as listen: %s", c.admin.listen)
	}
	if clash(c.metrics.listen, c.admin.listen) {
		admin.fail("listens at the same address as metrics: %s", c.admin.listen)
	}
}

// clash reports whether two addresses cannot be listened on at once.
func clash(a, b string) bool {
	host, port, err := net.SplitHostPort(a)
	host2, port2, err2 := net.SplitHostPort(b)
	if err != nil || err2 != nil || port != port2 || port == "0" {
		return false
	}
	every := func(host string) bool { return host == "" || net.ParseIP(host).IsUnspecified() }
	return host == host2 || every(host) || every(host2)
}

// firstPassed is the descriptor of the first socket that a service manager passes (sd_listen_fds(3)).
const firstPassed = 3

// sockets are the sockets to listen on. Those that a service manager holds for this process outlive it: while it is started
// anew, connections wait in them and none is refused. The others are opened here.
type sockets struct {
	wanted map[string]string
	passed map[string]net.Listener
}

// misfit is an error of what the service manager passes: starting again does not help.
type misfit string

func (e misfit) Error() string { return "service manager: " + string(e) }

func misfits(format string, args ...any) error { return misfit(fmt.Sprintf(format, args...)) }

// takeSockets takes over what the environment tells of, once: processes that this one starts get neither the sockets nor the
// variables. What is passed and not wanted is an error, because whoever connected to it would wait for ever; so is another
// address than the configured one, on which whoever reads the configuration relies.
func takeSockets(wanted map[string]string) (*sockets, error) {
	s := &sockets{wanted, map[string]net.Listener{}}
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) { // none, or meant for another process
		return s, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 64 {
		return nil, misfits("LISTEN_FDS is %q", count)
	}
	named := strings.Split(names, ":")
	if len(named) != n {
		return nil, misfits("%d sockets are passed, with the names %q: each socket unit needs FileDescriptorName=", n, names)
	}
	for i, name := range named {
		if err := s.take(firstPassed+i, name); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *sockets) take(fd int, name string) error {
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	want, known := s.wanted[name]
	switch {
	case !known:
		return misfits("the configuration has no use for a socket named %q", name)
	case s.passed[name] != nil:
		return misfits("two sockets are passed as %q", name)
	}
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return misfits("descriptor %d, passed as %q, is not a listening socket", fd, name)
	}
	l, err := net.FileListener(f) // of its own descriptor
	if err != nil {
		return fmt.Errorf("socket %q: %w", name, err)
	}
	if !sameAddress(l.Addr(), want) {
		return errors.Join(misfits("%s is passed for %q, the configuration says %s", l.Addr(), name, want), l.Close())
	}
	s.passed[name] = l
	return nil
}

// open gives the socket that was passed by this name, or else opens it.
func (s *sockets) open(ctx context.Context, name string) (net.Listener, error) {
	if l := s.passed[name]; l != nil {
		delete(s.passed, name)
		return l, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, network(s.wanted[name]), s.wanted[name])
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", name, err)
	}
	return l, nil
}

func network(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix"
	}
	return "tcp"
}

// close closes what nobody took.
func (s *sockets) close() {
	for _, l := range s.passed {
		_ = l.Close()
	}
}

func sameAddress(passed net.Addr, want string) bool {
	tcp, ok := passed.(*net.TCPAddr)
	if !ok {
		return passed.Network() == network(want) && passed.String() == want
	}
	addr, err := net.ResolveTCPAddr("tcp", want)
	if err != nil { // a path
		return false
	}
	anywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	return (addr.Port == 0 || addr.Port == tcp.Port) && (anywhere(addr.IP) && anywhere(tcp.IP) || addr.IP.Equal(tcp.IP))
}
