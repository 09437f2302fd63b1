package await_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/processes"
)

// failing is a test that keeps why it fails.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Fatal(args ...any) {
	f.why = fmt.Sprint(args...)
	runtime.Goexit()
}

// why runs a test and says why it fails.
func why(t *testing.T, test func(testing.TB)) string {
	f, done := &failing{TB: t}, make(chan struct{})
	go func() {
		defer close(done)
		test(f)
	}()
	<-done
	return f.why
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ready := func() bool { return time.Since(begun) > 10*time.Second }
		if got := why(t, func(tb testing.TB) { await.True(tb, "it", ready) }); got != "" || !ready() {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
		n := 0
		err := func() error { n++; return fmt.Errorf("try %d", n) }
		if got := why(t, func(tb testing.TB) { await.NoError(tb, err) }); got != fmt.Sprintf("try %d", n) || n < 100 {
			t.Errorf("%q after %d tries", got, n)
		}
		if got := why(t, func(tb testing.TB) { await.NoError(tb, func() error { return errors.New("never") }) }); got != "never" {
			t.Errorf("%q", got)
		}
	})
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(await.Log)
		go func() {
			for range 2 {
				time.Sleep(time.Second)
				fmt.Fprintln(l, "a line")
			}
		}()
		if got := why(t, func(tb testing.TB) { l.Says(tb, "line", 2) }); got != "" || l.String() != "a line\na line\n" {
			t.Errorf("%q: %q", got, l)
		}
		// What it holds in the end is told, not what it held when the wait began.
		time.AfterFunc(time.Second, func() { fmt.Fprintln(l, "the last") })
		if got := why(t, func(tb testing.TB) { l.Says(tb, "line", 3) }); !strings.HasSuffix(got, "a line\nthe last\n") {
			t.Errorf("%q", got)
		}
	})
}

func TestChildren(t *testing.T) {
	before := len(processes.Children(os.Getpid()))
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await.Children(t, before+1) // one that has ended, too, until somebody waits for it
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	await.Children(t, before)
}
