package worker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/internal/sandbox"
)

// marker is the name by which a process knows that it is a worker; no shell calls a program so by accident.
const marker = "epov: worker of a PKCS#11 module"

// Descriptors of a worker.
const (
	controlDescriptor = 3
	areaDescriptor    = 4
	bellDescriptor    = 5
	firstPIN          = 6
)

type process struct {
	pid      int
	landlock int         // ABI that confines it; 0: none
	kill     func()      // at once; any number of times
	ended    chan string // what became of it, once
}

// spawn starts this program once more, as a worker.
//
// What a thread gives up, its children lack, and a thread can be thrown away: capabilities, new privileges and, by Landlock,
// files are taken from a thread made for this, which then forks. It lives as long as the child, because the signal that a
// child gets at its parent's death goes by the thread.
func spawn(o Options, files []*os.File) (*process, error) {
	if !ready.Load() {
		return nil, errors.New("worker: the program does not call WorkerMain, so its children cannot be workers")
	}
	started := make(chan error, 1)
	p := &process{ended: make(chan string, 1)}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		out.Close()
		in.Close()
		return nil, err
	}
	onThrowawayThread(func() {
		var self *os.Process
		err := func() (err error) {
			defer null.Close()
			defer in.Close()
			if p.landlock, err = confineThread(o); err != nil {
				return err
			}
			self, err = os.StartProcess("/proc/self/exe", []string{marker, strconv.Itoa(len(files) - 3)}, &os.ProcAttr{
				Env:   environment(),
				Files: append([]*os.File{null, in, in}, files...),
				Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true},
			})
			return err
		}()
		if err == nil {
			p.pid, p.kill = self.Pid, func() { _ = self.Kill() }
		}
		started <- err
		if err != nil {
			return
		}
		state, err := self.Wait()
		if err != nil {
			p.ended <- err.Error()
		} else {
			p.ended <- state.String()
		}
	})
	if err := <-started; err != nil {
		out.Close()
		return nil, fmt.Errorf("worker: start a process: %w", err)
	}
	go relay(out, o.Log.With("pid", p.pid))
	return p, nil
}

// onThrowawayThread runs f on a thread that ends with it. The main thread, by which the system knows the process, is never
// used: it is held until f runs on another.
func onThrowawayThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			running := make(chan struct{})
			onThrowawayThread(func() { close(running); f() })
			<-running
			return
		}
		f() // the thread stays locked, so it ends with the function
	}()
}

// environment is the parent's, for vendors' libraries look there for their configuration; the service manager's own channels
// are left out.
func environment() []string {
	// The Go runtime would keep a file of its cgroup open, which it cannot find from within.
	debug := "GODEBUG=containermaxprocs=0,updatemaxprocs=0"
	if own := os.Getenv("GODEBUG"); own != "" {
		debug += "," + own
	}
	kept := []string{debug}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == "GODEBUG", name == "NOTIFY_SOCKET", strings.HasPrefix(name, "WATCHDOG_"), strings.HasPrefix(name, "LISTEN_"):
		default:
			kept = append(kept, v)
		}
	}
	return kept
}

// confineThread takes from the calling thread, and from its later children, what a worker does not need. It gives the ABI of
// Landlock that does so, 0: none.
func confineThread(o Options) (landlock int, err error) {
	if err := sandbox.GiveUpPrivileges(); err != nil {
		return 0, err
	}
	if o.Sandbox.Off {
		return 0, nil
	}
	domain, err := o.domain()
	if err != nil {
		return 0, err
	}
	return domain.Enter()
}
