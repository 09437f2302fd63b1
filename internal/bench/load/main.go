// Command load measures epovd as users run it, on SoftHSM, and makes docs/load.md of it:
//
//	load measure [-short] [-soak 3m] BIN bench/load.json   BIN has epovd and the bare loop of internal/bench/peer, tokenloop
//	load write bench/load.json docs/load.md                the page, and its charts in docs/load/
//	load check bench/load.json docs/load.md                fails when the page is not what write would make
//
// It measures throughput by sessions, size, profile and callers; the knee, and what lies below and above it; where the time of a
// signature goes; and in a soak whether anything grows. measure fails, having written what it measured, when something does.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
)

func main() {
	hsm.WorkerMain()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	usage := errors.New("usage: load measure [-short] [-soak 3m] BIN RESULTS, load write RESULTS PAGE, or load check RESULTS PAGE")
	if len(args) == 0 {
		return usage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	short := flags.Bool("short", false, "a minute in all, to see that it works")
	soaked := flags.Duration("soak", 0, "how long to soak; default 3m, in the short form 15s")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return usage
	}
	from, to := flags.Arg(0), flags.Arg(1)
	switch args[0] {
	case "measure":
		if *soaked != 0 && (*soaked < 10*time.Second || *soaked > 24*time.Hour) {
			return errors.New("a soak takes from 10s to 24h")
		}
		return measure(from, to, *short, *soaked)
	case "write":
		r, err := read(from)
		if err != nil {
			return err
		}
		for name, data := range files(r, to) {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(name, data, 0o644); err != nil {
				return err
			}
		}
		return nil
	case "check":
		r, err := read(from)
		if err != nil {
			return err
		}
		return check(files(r, to))
	}
	return usage
}

// check compares files with what they should be.
func check(files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if data, err := os.ReadFile(name); err != nil {
			return err
		} else if !bytes.Equal(data, files[name]) {
			return fmt.Errorf("%s is not what the results say", name)
		}
	}
	return nil
}

func measure(bin, file string, short bool, soaked time.Duration) error {
	tb := &oracle.Program{}
	defer tb.End()
	p := full
	if short {
		p = brief
	}
	if soaked > 0 {
		p.soak = soaked
	}
	r := &results{Begun: time.Now().UTC().Truncate(time.Second), Machine: machine(), Busy: busy(), Short: short}
	w := newWorld(tb, bin)
	for _, part := range []struct {
		name string
		do   func(*world, plan, *results) error
	}{{"throughput", throughput}, {"rates", findKnee}, {"stages", stages}, {"soak", soakRun}} {
		begun := time.Now()
		if err := part.do(w, p, r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("%s took %v\n", part.name, time.Since(begun).Round(time.Second))
	}
	r.Took = time.Since(r.Begun).Seconds()
	if err := r.write(file); err != nil {
		return err
	}
	if broken := r.Soak.broken(); len(broken) > 0 {
		return errors.New("the soak:\n" + strings.Join(broken, "\n"))
	}
	return nil
}

// plan says how long to look.
type plan struct {
	turn     time.Duration // of a setting
	rounds   int           // settings are gone through so many times, and the median is kept
	search   time.Duration // of a step that looks for the knee
	run      time.Duration // at a share of the knee
	stage    time.Duration // for one operation
	soak     time.Duration
	sizes    []int
	callers  []int
	sessions []int
}

var (
	full = plan{
		turn: 700 * time.Millisecond, rounds: 3, search: 2 * time.Second, run: 15 * time.Second,
		stage: 4 * time.Second, soak: 3 * time.Minute,
		sizes: []int{2 << 10, 10 << 10, 100 << 10, 1 << 20}, callers: []int{1, 2, 4, 8, 16, 32, 64}, sessions: []int{1, 2, 4, 8},
	}
	brief = plan{
		turn: 250 * time.Millisecond, rounds: 1, search: 400 * time.Millisecond, run: time.Second,
		stage: 500 * time.Millisecond, soak: 15 * time.Second,
		sizes: []int{2 << 10, 100 << 10}, callers: []int{1, 8, 64}, sessions: []int{1, 4},
	}
)
