package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sandbox says what a module may reach beyond what every library needs. The zero value leaves it sockets of no family.
// Paths that do not exist are passed over.
type Sandbox struct {
	Off      bool     `json:"off,omitempty"`      // neither Landlock nor seccomp
	Demand   bool     `json:"-"`                  // no worker where any of it is not in force, see Report.Weak
	Read     []string `json:"read,omitempty"`     // files and folders, to read and to load code from
	Write    []string `json:"write,omitempty"`    // files and folders, to do anything with
	Devices  []string `json:"devices,omitempty"`  // files, to read, write and control
	Families []string `json:"families,omitempty"` // of sockets: "unix", "inet", "inet6", "netlink"
	Ports    []uint16 `json:"ports,omitempty"`    // the only ones to connect to by TCP; none: all, if the family is allowed
}

var families = map[string]uint32{
	"unix": unix.AF_UNIX, "inet": unix.AF_INET, "inet6": unix.AF_INET6, "netlink": unix.AF_NETLINK,
}

func (s Sandbox) check() error {
	for _, f := range s.Families {
		if families[f] == 0 {
			return fmt.Errorf("%q is no family of sockets that is known here: unix, inet, inet6, netlink", f)
		}
	}
	return nil
}

// Report says what confines a worker. What is missing the kernel lacks or forbids.
type Report struct {
	Landlock     int    `json:"landlock"` // ABI of the kernel; 0: files are not confined
	Seccomp      bool   `json:"seccomp"`
	Filter       string `json:"filter,omitempty"` // why there is no seccomp
	NoPrivileges bool   `json:"noPrivileges"`     // no capabilities and no new privileges
	Hidden       bool   `json:"hidden"`           // neither dumps core nor can be traced
	Memory       string `json:"memory,omitempty"` // why PINs lie in memory with less than all protection
}

// Weak lists what is not in force, in words for an operator.
func (r Report) Weak() []string {
	var weak []string
	for _, p := range []struct {
		ok   bool
		what string
	}{
		{r.Landlock > 0, "files are not confined: no Landlock here, or none wanted"},
		{r.Seccomp, "system calls are not confined: " + r.Filter},
		{r.NoPrivileges, "the process has privileges"},
		{r.Hidden, "the process can be traced or dumps core"},
		{r.Memory == "", "PINs: " + r.Memory},
	} {
		if !p.ok {
			weak = append(weak, p.what)
		}
	}
	return weak
}

// Rights by the ABI of Landlock that brought them, and scopes.
const (
	readRights   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	codeRights   = readRights | unix.LANDLOCK_ACCESS_FS_EXECUTE
	deviceRights = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	allRights1   = 1<<13 - 1 // up to MAKE_SYM
	fileRights   = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV // those that a file has
	ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT
	scopes      = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
)

// What libraries need in order to load, to learn of the machine, and to log. It is read only; what is missing is left out.
var (
	code  = []string{"/usr", "/lib", "/lib64", "/lib32"}
	known = []string{
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/ssl", "/etc/localtime",
		"/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf",
		"/etc/services", "/etc/pkcs11", "/etc/opensc", "/etc/reader.conf.d",
		"/proc/cpuinfo", "/proc/meminfo", "/proc/filesystems", "/proc/sys/crypto", "/proc/sys/kernel", "/proc/sys/vm",
		"/sys/devices", "/sys/bus", "/sys/class", "/sys/kernel/mm/transparent_hugepage",
	}
	devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
)

// restrictFiles puts the calling thread into a Landlock domain. It gives the kernel's ABI, 0 where there is no Landlock.
func restrictFiles(o Options) (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		if errno == unix.ENOSYS || errno == unix.EOPNOTSUPP || errno == unix.EPERM { // absent, off, or filtered by a container
			return 0, nil
		}
		return 0, fmt.Errorf("landlock: %w", errno)
	}
	abi := int(version)
	rules := unix.LandlockRulesetAttr{Handled_access_fs: allRights1}
	if abi >= 2 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		rules.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		if len(o.Sandbox.Ports) > 0 {
			rules.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		}
	}
	if abi >= 5 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		rules.Scoped = scopes
	}
	// What an older kernel does not know is zero, as it demands.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if errno != 0 {
		return 0, fmt.Errorf("landlock: make rules: %w", errno)
	}
	defer unix.Close(int(fd))
	grants, err := o.grants()
	if err != nil {
		return 0, err
	}
	for _, g := range grants {
		if err := allowPath(int(fd), g.path, g.rights&rules.Handled_access_fs); err != nil {
			return 0, err
		}
	}
	for _, port := range o.Sandbox.Ports {
		if abi < 4 {
			break
		}
		rule := struct{ rights, port uint64 }{unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, uint64(port)} // struct landlock_net_port_attr
		if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, ruleNetPort,
			uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
			return 0, fmt.Errorf("landlock: port %d: %w", port, errno)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return 0, fmt.Errorf("landlock: %w", errno)
	}
	return abi, nil
}

type grant struct {
	path   string
	rights uint64
}

// grants lists what a worker may reach. Folders for the record of PINs are made, for a rule needs something to stand on.
func (o Options) grants() ([]grant, error) {
	const all = ^uint64(0)
	list := []grant{{"/proc/self/exe", codeRights}, {filepath.Dir(o.Module), codeRights}}
	add := func(rights uint64, paths ...string) {
		for _, p := range paths {
			list = append(list, grant{p, rights})
		}
	}
	add(codeRights, code...)
	add(readRights, known...)
	add(deviceRights, devices...)
	add(deviceRights, o.Sandbox.Devices...)
	add(codeRights, o.Sandbox.Read...)
	add(all, o.Sandbox.Write...)
	for _, l := range o.Logins {
		add(readRights, l.Source.Paths()...)
		if device := l.Source.TPMDevice(); device != "" {
			add(deviceRights, device)
		}
		if l.StateDir == "" {
			continue
		}
		if err := os.MkdirAll(l.StateDir, 0o700); err != nil {
			return nil, err
		}
		add(all, l.StateDir)
	}
	return list, nil
}

// allowPath adds a rule for a file or for all below a folder. What is not there needs none.
func allowPath(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES) {
		return nil // out of reach for the worker as it is for this process
	}
	if err != nil {
		return fmt.Errorf("landlock: %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("landlock: %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %s: %w", path, errno)
	}
	return nil
}
