package pin

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// descriptors keeps two readers of one pipe apart.
var descriptors sync.Mutex

// readDescriptor reads an inherited descriptor up to its end. A pipe can be read once only, and yet several openings of a
// token, and processes started later, want the PIN: what was read takes the pipe's place, as a file in memory under the same
// number.
func readDescriptor(fd int) (PIN, error) {
	descriptors.Lock()
	defer descriptors.Unlock()
	fail := func(err error) (PIN, error) { return PIN{}, fmt.Errorf("pin: descriptor %d: %w", fd, err) }
	if fd < 3 {
		return PIN{}, fmt.Errorf("pin: descriptor %d: those below 3 have other uses", fd)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		p, err := read(io.NewSectionReader(reader(fd), 0, 1<<20)) // no offset moves: processes share it
		if err != nil {
			return fail(err)
		}
		return p, nil
	}
	p, err := read(reader(fd))
	if err != nil {
		return fail(err)
	}
	f, err := p.memfd()
	if err == nil {
		err = unix.Dup3(int(f.Fd()), fd, unix.O_CLOEXEC)
		f.Close()
	}
	if err != nil {
		p.Wipe()
		return fail(err)
	}
	return p, nil
}

// reader reads a descriptor without owning it.
type reader int

func (r reader) Read(b []byte) (int, error) {
	return r.retry(func() (int, error) { return unix.Read(int(r), b) })
}

func (r reader) ReadAt(b []byte, offset int64) (int, error) {
	n, err := r.retry(func() (int, error) { return unix.Pread(int(r), b, offset) })
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

// retry waits for a descriptor that its parent made non-blocking.
func (r reader) retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(r), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
				return 0, err
			}
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// memfd is a sealed file in memory with the PIN as its content. Its page is locked for as long as this process lives.
func (p PIN) memfd() (*os.File, error) {
	fd, err := unix.MemfdCreate("pin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("pin: file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "pin")
	err = p.Use(func(secret string) error {
		_, err := f.WriteString(secret)
		return err
	})
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("pin: file in memory: %w", err)
	}
	// A private mapping that is only read has the file's own page; a shared one is refused for a sealed file by older kernels.
	if page, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE); err == nil {
		_ = unix.Mlock(page) // CheckMemory tells where this cannot be done
		_ = unix.Madvise(page, unix.MADV_DONTDUMP)
	}
	return f, nil
}
