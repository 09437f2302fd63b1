package daemon

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/sandbox"
)

// sandboxConfig is what the daemon may reach, which follows from everything that the configuration names, and what it demands.
type sandboxConfig struct {
	off      bool
	require  []string
	complete bool // nothing more is noted: the configuration has been read

	read    []string // files and folders
	write   []string // folders
	bind    []uint16
	connect []uint16
}

// alwaysRequired is what every system can give.
var alwaysRequired = []string{sandbox.NewPrivileges, sandbox.Dump, sandbox.Capabilities}

func (c *Config) readSandboxes(v value) {
	at := v.mapping("off", "require", "read", "write", "ports")
	s := &c.sandbox
	s.off = at("off").flag()
	for _, item := range at("require").list() {
		s.require = append(s.require, item.choice(sandbox.Names()...))
	}
	if !at("require").present() && !s.off {
		s.require = alwaysRequired
	}
	if s.off && slices.ContainsFunc(s.require, func(name string) bool { return name == sandbox.Landlock || name == sandbox.Seccomp }) {
		at("off").fail("contradicts require")
	}
	folder := func(item value) string {
		path := c.path(item.text())
		if filepath.Clean(path) == "/" {
			item.fail("the whole file system is no confinement; off: true does without")
		}
		return path
	}
	for _, item := range at("read").list() {
		folder(item) // which notes it
	}
	for _, item := range at("write").list() {
		if path := folder(item); path != "" {
			s.write = append(s.write, path)
		}
	}
	for _, item := range at("ports").list() {
		s.connect = append(s.connect, uint16(item.number(1, 1<<16-1)))
	}
}

// writes notes a folder, or a file to be made in its folder, that the daemon writes into.
func (s *sandboxConfig) writes(paths ...string) {
	for _, p := range paths {
		if p != "" {
			s.write = append(s.write, p)
		}
	}
}

// listens notes the port of an address, "host:port", or the folder of a Unix socket, by its path.
func (s *sandboxConfig) listens(address string) {
	if filepath.IsAbs(address) {
		s.writes(filepath.Dir(address))
	}
	s.bind = append(s.bind, ports(address)...)
}

// connects notes the ports of addresses, "host:port" or URLs.
func (s *sandboxConfig) connects(addresses ...string) {
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && u.Host != "" {
			switch {
			case u.Port() != "":
				a = u.Host
			case u.Scheme == "https":
				a = u.Host + ":443"
			default:
				a = u.Host + ":80"
			}
		}
		s.connect = append(s.connect, ports(a)...)
	}
}

func ports(address string) []uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil
	}
	return []uint16{uint16(n)}
}

// Where Go looks for the system's certificates, beside what C libraries read.
var certificates = []string{"/etc/pki", "/etc/ca-certificates"}

// domain is everything that the daemon, its modules and their processes may reach, now and after a reload.
func (c *Config) domain() *sandbox.Domain {
	s := &c.sandbox
	d := &sandbox.Domain{Bind: s.bind, Connect: slices.Clone(s.connect), Abstract: strings.HasPrefix(os.Getenv("NOTIFY_SOCKET"), "@")}
	add := func(right sandbox.Right, paths ...string) {
		d.Grants = append(d.Grants, sandbox.Grants(right, paths...)...)
	}
	d.Grants = append(sandbox.Libraries(sandbox.Read), sandbox.Self()...)
	add(sandbox.Read, "/proc", "/sys/fs/cgroup")
	add(sandbox.Read, certificates...)
	add(sandbox.Read, os.Getenv("SSL_CERT_FILE"), os.Getenv("SSL_CERT_DIR"), os.Getenv("CREDENTIALS_DIRECTORY"))
	for _, path := range append(slices.Clone(s.read), filepath.Join(c.dir, filepath.Base(c.file))) {
		add(sandbox.Read, exchangeable(path)...)
	}
	add(sandbox.Write, s.write...)
	for i := range c.tokens {
		reach := c.tokens[i].Reach()
		add(sandbox.Read, reach.Read...)
		add(sandbox.Write, reach.Write...)
		add(sandbox.Device, reach.Devices...)
		d.Connect = append(d.Connect, reach.Ports...)
		network := slices.Contains(reach.Families, "inet") || slices.Contains(reach.Families, "inet6")
		d.Anywhere = d.Anywhere || network && len(reach.Ports) == 0
	}
	if c.trusted.looks || c.timeStamps != nil {
		d.Connect = append(d.Connect, 53, 80, 443) // answers too long for UDP, and where certificates say that lists are
	}
	d.Grants = slices.DeleteFunc(d.Grants, func(g sandbox.Grant) bool { return g.Path == "" })
	return d
}

// exchangeable is what reading a path takes, also when another file has taken its name: its folder, and that of the file it leads
// to. Of folders at the top, such as /etc, only the file itself is read.
func exchangeable(path string) []string {
	var out []string
	for range 2 {
		if folder := filepath.Dir(path); strings.Count(folder, "/") > 1 {
			out = append(out, folder)
		}
		out = append(out, path)
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil || resolved == path {
			break
		}
		path = resolved
	}
	return out
}

// unconfinedModule names a token whose module an administrator has freed of its sandbox: one around the daemon would hold it too.
func (c *Config) unconfinedModule() string {
	for i := range c.tokens {
		if c.tokens[i].Reach().Off {
			return c.tokens[i].Name
		}
	}
	return ""
}

// descriptors are those that the daemon was given for a purpose.
func (c *Config) descriptors() []int {
	var out []int
	for _, t := range c.tokens {
		for _, source := range []hsm.PINSource{t.PIN, t.KeyPIN} {
			if source.Descriptor != 0 {
				out = append(out, source.Descriptor)
			}
		}
	}
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err == nil && pid == os.Getpid() { // sd_listen_fds(3)
		n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
		for fd := 3; fd < 3+min(n, 1024); fd++ {
			out = append(out, fd)
		}
	}
	return out
}
