package oracle

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// Program makes what is written for tests usable in a program: tokens, keys, peers. A failure panics. End cleans up.
type Program struct {
	testing.TB // for its unexported method; nil

	mutex sync.Mutex
	undo  []func()
}

// End undoes what was set up, the last first.
func (p *Program) End() {
	p.mutex.Lock()
	undo := p.undo
	p.undo = nil
	p.mutex.Unlock()
	for _, f := range slices.Backward(undo) {
		f()
	}
}

func (p *Program) Cleanup(f func()) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.undo = append(p.undo, f)
}

func (p *Program) TempDir() string {
	dir, err := os.MkdirTemp("", "epov-program-")
	if err != nil {
		panic(err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (p *Program) Setenv(name, value string) {
	before, was := os.LookupEnv(name)
	if err := os.Setenv(name, value); err != nil {
		panic(err)
	}
	p.Cleanup(func() {
		if was {
			_ = os.Setenv(name, before)
		} else {
			_ = os.Unsetenv(name)
		}
	})
}

func (p *Program) Helper()                           {}
func (p *Program) Context() context.Context          { return context.Background() }
func (p *Program) Name() string                      { return os.Args[0] }
func (p *Program) Error(args ...any)                 { panic(fmt.Sprint(args...)) }
func (p *Program) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (p *Program) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (p *Program) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (p *Program) Skipf(format string, args ...any)  { panic(fmt.Sprintf(format, args...)) }
func (p *Program) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (p *Program) FailNow()                          { runtime.Goexit() }
