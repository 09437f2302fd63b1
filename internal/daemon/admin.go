package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/internal/sandbox"
	"github.com/epov-signer/epov/signer"
)

// adminConfig is where the administration service listens; the zero value: nowhere.
type adminConfig struct {
	listen string // path of a Unix socket, or host:port
	group  int    // whose members may use the socket, besides root and the daemon's user; -1: nobody's
}

func (c *Config) readAdmin(v value) {
	c.admin.group = -1
	if !v.present() {
		return
	}
	at := v.mapping("listen", "group", "client_ca")
	listen := at("listen")
	c.admin.listen = listen.required(v)
	if c.admin.listen == "" {
		return
	}
	if network(c.admin.listen) == "unix" {
		if len(c.admin.listen) > 107 { // sockaddr_un
			listen.fail("is longer than a socket's path may be")
		}
		if at("client_ca").present() {
			at("client_ca").fail("is for an address; callers of a socket are told by the system")
		}
		if name := at("group").text(); name != "" {
			c.admin.group = groupID(at("group"), name)
		}
		c.sandbox.writes(filepath.Dir(c.admin.listen))
		return
	}
	if at("group").present() {
		at("group").fail("is for a socket's path; callers of an address are told by certificates")
	}
	if host, port, err := net.SplitHostPort(c.admin.listen); err != nil || host == "" || len(ports(c.admin.listen)) == 0 || port == "" {
		listen.fail("must be the absolute path of a Unix socket, or host:port")
	}
	if c.insecure {
		listen.fail("without mutual TLS only a Unix socket may be listened on")
	}
	c.sandbox.listens(c.admin.listen)
	c.readAdminCAs(v)
}

// readAdminCAs reads whose certificates count at the administration's address.
func (c *Config) readAdminCAs(v value) {
	at := v.mapping("listen", "group", "client_ca")
	if c.tls == nil || !at("client_ca").present() {
		return
	}
	if data := c.pem(at("client_ca"), v); data != nil {
		c.tls.adminCAs, _ = clientCAs(at("client_ca"), data)
	}
}

func groupID(v value, name string) int {
	g, err := user.LookupGroup(name)
	if err != nil {
		v.fail("%s", err)
		return -1
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		v.fail("group %s has no number", printable(name))
		return -1
	}
	return id
}

// administration is a running administration service.
type administration struct {
	server   *api.Server
	listener net.Listener
	operator *operator
}

// adminTime bounds an administrative call: draining takes its time.
const adminTime = 2 * time.Hour

// openAdmin makes the administration service; nil where none is configured.
func (d *Daemon) openAdmin(ctx context.Context, s *sockets) (_ *administration, err error) {
	c := &d.config.admin
	if c.listen == "" {
		return nil, nil
	}
	a := &administration{operator: &operator{Daemon: d, started: time.Now()}}
	config := api.Config{Service: d.service, Operator: a.operator, Logger: d.log,
		Limits: api.Limits{Calls: 32, MessageBytes: 1 << 16, CallTime: adminTime}}
	if network(c.listen) == "unix" {
		confined := len(d.config.confined.Lacks([]string{sandbox.Seccomp})) == 0
		config.Local = func(conn net.Conn) (*signer.Caller, error) { return localCaller(conn, c.group, confined) }
	} else {
		config.TLS = d.config.tls.admin()
	}
	if a.server, err = api.New(config); err != nil {
		return nil, err
	}
	own := network(c.listen) == "unix" && s.passed[adminListener] == nil // one that is passed has its owner and mode already
	if own {
		if err := removeStale(c.listen); err != nil {
			return nil, err
		}
	}
	l, err := s.open(ctx, adminListener)
	if err != nil {
		return nil, err
	}
	if own {
		if err := letIn(c.listen, c.group); err != nil {
			return nil, errors.Join(fmt.Errorf("the administration's socket: %w", err), l.Close())
		}
	}
	if a.listener, err = narrow(l, 64, d.log); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return a, nil
}

// letIn lets the group reach a socket, and nobody else but its owner. Who then connects is asked again: see localCaller.
func letIn(path string, group int) error {
	if group < 0 {
		return os.Chmod(path, 0o600)
	}
	return errors.Join(os.Chown(path, -1, group), os.Chmod(path, 0o660))
}

// admin is the TLS of the administration's address.
func (t *tlsConfig) admin() *tls.Config {
	if t.adminCAs != nil {
		return api.MutualTLS(t.certificate, t.adminCAs)
	}
	return api.MutualTLS(t.certificate, t.clientCAs)
}

// removeStale removes the socket that a process before has left, unless somebody answers there.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there already and is no socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("somebody else serves %s", path)
	}
	return os.Remove(path)
}

// run serves until ctx ends.
func (a *administration) run(ctx context.Context, log *slog.Logger) {
	if a == nil {
		return
	}
	a.server.SetServing(true, nil)
	log.Info("listening for administration", "address", a.listener.Addr().String())
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		a.server.Shutdown(grace)
	})
	defer stop()
	if err := a.server.Serve(a.listener); err != nil {
		log.Error("administration is not served any more", "error", err)
	}
}

// localCaller recognises the process at the other end of a Unix socket, as the kernel knew it when it connected: root, the
// daemon's own user, and members of the group.
//
// Modules' processes are of the daemon's user too, and whoever has taken one over is no operator. They are told by being
// confined further than the daemon, or, when it is confined itself, as much.
func localCaller(conn net.Conn, group int, confined bool) (*signer.Caller, error) {
	for {
		inner, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = inner.NetConn()
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a Unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var who *unix.Ucred
	var groups []uint32
	var failed error
	insider := false
	err = raw.Control(func(fd uintptr) {
		if who, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed != nil {
			return
		}
		if int(who.Uid) == os.Geteuid() {
			insider, failed = sandbox.Insider(int(fd), confined)
		}
		if group >= 0 && failed == nil {
			groups, failed = peerGroups(fd)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("peer of the administration's socket: %w", err)
	}
	if insider {
		return nil, fmt.Errorf("process %d, of a module or confined as one, may not administer", who.Pid)
	}
	if who.Uid != 0 && int(who.Uid) != os.Geteuid() && (group < 0 || int(who.Gid) != group && !slices.Contains(groups, uint32(group))) {
		return nil, fmt.Errorf("user %d may not administer", who.Uid)
	}
	return signer.Local(fmt.Sprintf("local:%d", who.Uid), signer.OpAdmin, signer.OpAdminKeys, signer.OpMonitor), nil
}

// peerGroups are the further groups of the peer: SO_PEERGROUPS of socket(7).
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 1<<16) // NGROUPS_MAX
	size := uint32(len(groups) * 4)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, errno
	}
	return groups[:size/4], nil
}

// AdminAddress is where the daemon of a configuration file is administered: the path of a Unix socket, or host:port; empty: nowhere.
// Nothing else of the configuration is looked at.
func AdminAddress(file string) (string, error) {
	c, root, err := openConfig(file)
	if err != nil {
		return "", err
	}
	if root.present() {
		admin := root.sections()("admin")
		c.admin.listen = admin.mapping("listen", "group", "client_ca")("listen").text()
	}
	if len(root.doc.findings) > 0 {
		return "", c.errors(root.doc)
	}
	return c.admin.listen, nil
}
