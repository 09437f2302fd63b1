package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/hsm/internal/worker"
)

// WorkerMain makes a process that was started for a PKCS#11 module do its work, and does not return then; in any other
// process it does nothing. A program that opens tokens with modules in processes of their own calls it first of all in main,
// and its tests do in TestMain.
func WorkerMain() { worker.Main() }

// workers makes the hosts of one module, one after the other, each in a process of its own. A spare is ready from the first
// one on, until close.
type workers struct {
	mutex  sync.Mutex
	supply *worker.Supply
}

// load is a hostMaker. The first module and options are those of all.
func (s *workers) load(ctx context.Context, module string, o hostOptions) (host, error) {
	supply, err := s.get(module, o)
	if err != nil {
		return nil, err
	}
	w, err := supply.Take(ctx)
	if err != nil {
		if _, ok := errors.AsType[p11.Error](err); ok && !o.Sandbox.Off {
			// A module that is kept from a file or a socket of its own says nothing better than CKR_GENERAL_ERROR.
			err = fmt.Errorf("%w (its process is confined: what else the module needs of the system has to be allowed under sandbox)", err)
		}
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("module", module, "pid", w.PID())
	report := w.Report()
	log.Info("module runs in a process of its own", "landlock", report.Landlock, "seccomp", report.Seccomp)
	for _, weak := range report.Weak() {
		log.Warn("the module's process is confined less than it could be", "why", weak)
	}
	return workerHost{w}, nil
}

func (s *workers) get(module string, o hostOptions) (*worker.Supply, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.supply != nil {
		return s.supply, nil
	}
	supply, err := worker.NewSupply(worker.Options{
		Module: module, Calls: min(o.Calls, worker.MaxCalls), Serial: o.Serial, Logins: o.Logins, CallTime: o.CallTime,
		Log: o.Log, Sandbox: o.Sandbox.grants(),
	})
	s.supply = supply
	return supply, err
}

// close ends the spare; hosts that were made are their users'.
func (s *workers) close() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.supply != nil {
		s.supply.Close()
		s.supply = nil
	}
}

// workerHost is a module in a process of its own, as the host that package hsm knows.
type workerHost struct{ *worker.Worker }

func (h workerHost) LogIn(ctx context.Context, s p11.Session, slot uint, l pin.Login) error {
	err := h.Worker.LogIn(ctx, s, slot, l)
	if e, ok := errors.AsType[*pin.Error](err); ok {
		return pinError(e)
	}
	return err
}

func (h workerHost) SignConfirmed(ctx context.Context, dst []byte, s p11.Session, slot, mechanism uint, key p11.Object, digest []byte,
	l pin.Login) ([]byte, error) {
	signature, err := h.Worker.SignConfirmed(ctx, dst, s, slot, mechanism, key, digest, l)
	return signature, confirmError(err)
}

// grants is what a worker may reach for this sandbox.
func (s Sandbox) grants() worker.Sandbox {
	g := worker.Sandbox{
		Off: s.Off, Demand: s.Demand, Families: s.Families, Ports: s.Ports,
		Read: slices.Clone(s.Read), Write: slices.Clone(s.Write), Devices: slices.Clone(s.Sockets),
	}
	for _, pattern := range s.Devices {
		found, err := filepath.Glob(pattern)
		if err == nil { // a pattern that is none names nothing
			g.Devices = append(g.Devices, found...)
		}
	}
	for _, name := range s.Environment {
		path := os.Getenv(name)
		if !strings.HasPrefix(path, "/") {
			continue
		}
		if len(s.Write) > 0 {
			g.Write = append(g.Write, path, filepath.Dir(path))
		} else {
			g.Read = append(g.Read, path, filepath.Dir(path))
		}
	}
	return g
}

// join adds what another sandbox allows.
func (s Sandbox) join(t Sandbox) Sandbox {
	return Sandbox{
		Off:         s.Off || t.Off,
		Demand:      s.Demand || t.Demand,
		Families:    unite(s.Families, t.Families),
		Ports:       unite(s.Ports, t.Ports),
		Devices:     unite(s.Devices, t.Devices),
		Sockets:     unite(s.Sockets, t.Sockets),
		Read:        unite(s.Read, t.Read),
		Write:       unite(s.Write, t.Write),
		Environment: unite(s.Environment, t.Environment),
	}
}

func unite[T ~string | ~uint16](a, b []T) []T {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// sandboxOf is what a token's module needs: what its vendor's profile says, and more that was configured. Whose a token is
// is known only when the module runs, so without a vendor it is what any of the profiles needs: paths that exist here.
func sandboxOf(vendor *Vendor, more Sandbox) Sandbox {
	if vendor != nil {
		return vendor.Sandbox.join(more)
	}
	for _, v := range vendors {
		more = v.Sandbox.join(more)
	}
	return more
}
