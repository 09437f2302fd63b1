package tlog

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flusher waits for the disk by the kernel's asynchronous calls (io_submit, IOCB_CMD_FDSYNC). While a thread is in fdatasync the
// scheduler of Go counts a processor as taken until it finds out; on a few processors that costs more than all else about a
// record.
type flusher struct {
	mu    sync.Mutex // one at a time
	over  bool       // closed, or an end was missed: the next one told may be that of an older call
	ring  uintptr
	event *os.File // eventfd, by which the end of a call is told
	raw   syscall.RawConn
}

// newFlusher is nil where the system does not offer it.
func newFlusher() *flusher {
	f := &flusher{}
	if _, _, e := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&f.ring)), 0); e != 0 {
		return nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err == nil {
		f.event = os.NewFile(uintptr(fd), "eventfd")
		f.raw, err = f.event.SyscallConn()
	}
	if err != nil {
		f.close()
		return nil
	}
	return f
}

// iocb and ioEvent are those of linux/aio_abi.h on machines that are little-endian.
type iocb struct {
	_              [2]uint64 // data, key, flags of the call
	opcode         uint16
	_              uint16 // priority
	fd             uint32
	_              [4]uint64 // buffer, its length, offset, reserved
	flags, eventfd uint32
}

type ioEvent struct {
	data, obj uint64
	res, res2 int64
}

const (
	iocbFdsync    = 3 // IOCB_CMD_FDSYNC
	iocbSayByFile = 1 // IOCB_FLAG_RESFD
)

// errNotSubmitted: the kernel has not taken the call.
var errNotSubmitted = errors.New("io_submit took nothing")

// datasync is fdatasync.
func (f *flusher) datasync(fd int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return errNotSubmitted
	}
	call := &iocb{opcode: iocbFdsync, fd: uint32(fd), flags: iocbSayByFile}
	if err := f.raw.Control(func(event uintptr) { call.eventfd = uint32(event) }); err != nil {
		return errors.Join(errNotSubmitted, err)
	}
	list := &call
	if n, _, e := unix.Syscall(unix.SYS_IO_SUBMIT, f.ring, 1, uintptr(unsafe.Pointer(list))); e != 0 || n != 1 {
		return errNotSubmitted
	}
	var end ioEvent
	var failed error
	err := f.raw.Read(func(uintptr) bool { // comes back at each end that is told
		var none unix.Timespec
		n, _, e := unix.Syscall6(unix.SYS_IO_GETEVENTS, f.ring, 0, 1, uintptr(unsafe.Pointer(&end)), uintptr(unsafe.Pointer(&none)), 0)
		if e != 0 && e != unix.EINTR {
			failed = os.NewSyscallError("io_getevents", e)
		}
		return failed != nil || n == 1 && e == 0
	})
	switch {
	case err != nil || failed != nil: // of the data nothing is known, and fdatasync would not tell a failure a second time
		f.over = true
		return errors.Join(err, failed)
	case end.res < 0:
		return os.NewSyscallError("fdatasync", unix.Errno(-end.res))
	}
	return nil
}

// close gives everything back. A call that is still on its way is given up; the kernel ends it by itself.
func (f *flusher) close() {
	if f == nil {
		return
	}
	if f.event != nil {
		_ = f.event.Close() // nothing was written to it
	}
	if f.mu.TryLock() { // else io_destroy would wait for the disk; the end of the process does
		defer f.mu.Unlock()
		f.over = true
		_, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, f.ring, 0, 0)
	}
}
