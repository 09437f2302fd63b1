package processes_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/epov-signer/epov/internal/processes"
)

func TestOwn(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if list := processes.Children(os.Getpid()); !slices.Contains(list, cmd.Process.Pid) {
		t.Errorf("%d is not among %d", cmd.Process.Pid, list)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if list := processes.Children(os.Getpid()); slices.Contains(list, cmd.Process.Pid) {
		t.Error("it has ended and is still there")
	}
	if processes.Time(os.Getpid()) <= 0 {
		t.Error("this process took no time")
	}
	if n, err := processes.Resident(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("%d octets: %v", n, err)
	}
	if n, err := processes.Proportional(os.Getpid()); err != nil && !os.IsNotExist(err) || err == nil && n < 1<<18 {
		t.Errorf("%d octets: %v", n, err)
	}
	const none = 1<<22 + 1 // Linux counts to 1<<22
	if _, err := processes.Resident(none); err == nil || processes.Time(none) != 0 || processes.Children(none) != nil {
		t.Errorf("figures of no process: %v", err)
	}
}
