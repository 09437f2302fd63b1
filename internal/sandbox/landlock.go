package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Right is what may be done with a file, or with all that is below a folder.
type Right uint64

// Rights. Those that a kernel is too old to know it does not confine.
const (
	Read    Right = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	Execute Right = unix.LANDLOCK_ACCESS_FS_EXECUTE | Read
	Device  Right = Read | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV // read, write and control
	Write   Right = handled1 | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	handled1 = 1<<13 - 1 // what ABI 1 confines: up to MAKE_SYM
	ofFiles  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV // those that a file can have
)

const (
	ruleNetPort = 2 // LANDLOCK_RULE_NET_PORT
	bind        = unix.LANDLOCK_ACCESS_NET_BIND_TCP
	connect     = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
)

// Grant is a right to a file, or to a folder and all below it. It goes by the file, not by its name: another file that takes the
// name needs a grant for its folder. Paths that do not exist, or that are out of reach anyway, are passed over.
type Grant struct {
	Path  string
	Right Right
}

// Grants gives one right to several paths.
func Grants(right Right, paths ...string) []Grant {
	list := make([]Grant, len(paths))
	for i, p := range paths {
		list[i] = Grant{p, right}
	}
	return list
}

// Libraries is what C libraries need in order to load, to learn of the machine, and to log. All of it is read only, but for the
// devices that everybody has. code is the right to folders with programs and libraries.
func Libraries(code Right) []Grant {
	list := Grants(code, "/usr", "/lib", "/lib64", "/lib32")
	list = append(list, Grants(Read,
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/ssl", "/etc/localtime",
		"/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf",
		"/etc/services", "/etc/pkcs11", "/etc/opensc", "/etc/reader.conf.d",
		"/proc/cpuinfo", "/proc/meminfo", "/proc/filesystems", "/proc/sys/crypto", "/proc/sys/kernel", "/proc/sys/vm",
		"/sys/devices", "/sys/bus", "/sys/class", "/sys/kernel/mm/transparent_hugepage")...)
	return append(list, Grants(Device, "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")...)
}

// Domain is what is left of files and of the network. Signals to processes outside are refused where the kernel can (ABI 6), and
// so are TCP ports (ABI 4); everything else that has a file name is, unless granted, from ABI 1 on.
type Domain struct {
	Grants  []Grant
	Bind    []uint16 // the only TCP ports to listen on; 0: any that the system chooses
	Connect []uint16 // the only TCP ports to connect to
	// Anywhere leaves all ports to connect to.
	Anywhere bool
	// Abstract leaves the sockets of other processes in the abstract namespace to connect to.
	Abstract bool
}

// ABI is the version of Landlock that the kernel offers; 0: none, or a container forbids it.
func ABI() (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return int(version), nil
	case unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM: // absent, off, or filtered
		return 0, nil
	}
	return 0, fmt.Errorf("landlock: %w", errno)
}

// Enter puts the calling thread, which needs "no new privileges", into the domain. It gives the kernel's ABI, 0 where there is
// no Landlock and nothing is confined.
func (d *Domain) Enter() (int, error) {
	abi, err := ABI()
	if abi == 0 {
		return 0, err
	}
	rules := d.handled(abi)
	// What an older kernel does not know is zero, as it demands.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if errno != 0 {
		return 0, fmt.Errorf("landlock: make rules: %w", errno)
	}
	defer unix.Close(int(fd))
	for _, g := range d.Grants {
		if err := allowPath(int(fd), g.Path, uint64(g.Right)&rules.Handled_access_fs); err != nil {
			return 0, err
		}
	}
	for _, ports := range []struct {
		right uint64
		list  []uint16
	}{{bind, d.Bind}, {connect, d.Connect}} {
		for _, port := range ports.list {
			if err := allowPort(int(fd), port, ports.right&rules.Handled_access_net); err != nil {
				return 0, err
			}
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return 0, fmt.Errorf("landlock: %w", errno)
	}
	return abi, nil
}

// handled is what the domain confines, as far as a kernel of this ABI can.
func (d *Domain) handled(abi int) unix.LandlockRulesetAttr {
	rules := unix.LandlockRulesetAttr{Handled_access_fs: handled1}
	if abi >= 2 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		rules.Handled_access_net = bind
		if !d.Anywhere {
			rules.Handled_access_net |= connect
		}
	}
	if abi >= 5 {
		rules.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		rules.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
		if !d.Abstract {
			rules.Scoped |= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		}
	}
	return rules
}

// allowPath adds a rule for a file or for all below a folder.
func allowPath(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES) {
		return nil // out of reach afterwards as it is now
	}
	if err != nil {
		return fmt.Errorf("landlock: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("landlock: %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %s: %w", path, errno)
	}
	return nil
}

// allowPort adds a rule for a TCP port, unless the domain leaves all of them.
func allowPort(rules int, port uint16, rights uint64) error {
	if rights == 0 {
		return nil
	}
	rule := struct{ rights, port uint64 }{rights, uint64(port)} // struct landlock_net_port_attr
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), ruleNetPort,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: port %d: %w", port, errno)
	}
	return nil
}
