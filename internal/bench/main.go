// Command bench compares this project's hot paths with the best peers that run on the same machine, in one run: our code
// and the peer take turns for a number of rounds, processor time is counted, that of collecting garbage included, medians are
// compared. Garbage is collected as in epovd. It prints one line per operation:
//
//	ratio NAME VALUE [LOW-HIGH] (ours .., peer ..)
//
// VALUE above 1 means that ours is faster; LOW and HIGH are the quartiles of the rounds, where a round has a ratio. Usage:
// bench [-rounds N] [-only NAMES] PEERS [GROUP ...], where NAMES are figures, all of them by default, PEERS is the folder of the
// compiled peers (peer, tokenloop, goxmldsig and, where there is one, botan) and a group is gost, canon, signer, hsm, peers
// or service; all of them by default. Lines of the groups hsm and service say in their brackets what VALUE is.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/daemon"
)

const slice = 100 * time.Millisecond

// comparison is one operation and its peer: an operation of a program, or another way of our own.
type comparison struct {
	name    string
	ours    func()
	peer    string // operation
	program string // that knows it; peer/peer.c when empty
	input   []byte // its file, when it takes one
	other   func() // instead of a program
	rounds  int    // of an operation that takes seconds, each once; 0: as many as wanted, of a slice each
	memory  uint64 // octets that ours may take, printed as a ratio of its own; 0: not looked at
}

// groups are those of one package each.
var groups = []struct {
	name string
	run  func(peers string, rounds int) error
}{
	{"gost", compare(gostComparisons)},
	{"canon", compare(canonComparisons)},
	{"signer", compare(signerComparisons)},
	{"hsm", hsmGroup},
	{"peers", peersGroup},
	{"service", serviceGroup},
}

func compare(make func() ([]comparison, error)) func(peers string, rounds int) error {
	return func(peers string, rounds int) error {
		list, err := make()
		if err != nil {
			return err
		}
		return run(list, peers, rounds)
	}
}

// only are the names of the figures wanted; all when empty.
var only []string

// wants reports whether one of these figures is wanted.
func wants(figures ...string) bool {
	return len(only) == 0 || slices.ContainsFunc(figures, func(name string) bool { return slices.Contains(only, name) })
}

func main() {
	hsm.WorkerMain()
	echoMain()
	rounds := flag.Int("rounds", 7, "rounds of each side")
	flag.Func("only", "names of figures, with commas between them", func(names string) error {
		only = strings.Split(names, ",")
		return nil
	})
	flag.Parse()
	if flag.NArg() < 1 {
		fmt.Fprintln(os.Stderr, "usage: bench [-rounds N] PEERS [GROUP ...]")
		os.Exit(2)
	}
	wanted := flag.Args()[1:]
	daemon.SpareCollector() // as the service does
	for _, g := range groups {
		if len(wanted) > 0 && !slices.Contains(wanted, g.name) {
			continue
		}
		if len(only) > 0 && !slices.ContainsFunc(only, func(name string) bool { return strings.HasPrefix(name, g.name+"/") }) {
			continue
		}
		if err := g.run(flag.Arg(0), *rounds); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}

func run(list []comparison, peers string, rounds int) error {
	dir, err := os.MkdirTemp("", "epov-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, c := range list {
		if !wants(c.name) {
			continue
		}
		args := []string{strconv.Itoa(int(slice / time.Millisecond)), c.peer}
		if c.input != nil {
			file := filepath.Join(dir, "input")
			if err := os.WriteFile(file, c.input, 0o600); err != nil {
				return err
			}
			args = append(args, file)
		}
		var ours, theirs []float64
		rounds, measure := rounds, measure
		if c.rounds > 0 {
			rounds, measure = c.rounds, once
		}
		for range rounds {
			ours = append(ours, measure(c.ours))
			if c.other != nil {
				theirs = append(theirs, measure(c.other))
				continue
			}
			program := filepath.Join(peers, cmp.Or(c.program, "peer"))
			out, err := exec.Command(program, args...).Output()
			if err != nil {
				return fmt.Errorf("%s %v: %w", program, args, err)
			}
			ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				return err
			}
			theirs = append(theirs, ns)
		}
		tell(c.name, ours, theirs)
		if c.memory > 0 {
			used := allocated(c.ours)
			fmt.Printf("ratio %s-memory %.1f (ours %.2f MiB, allowed %d MiB)\n", c.name, float64(c.memory)/float64(used),
				float64(used)/(1<<20), c.memory>>20)
		}
	}
	return nil
}

// measure returns the nanoseconds of processor time of one call of op, from about a slice of calls. The clock is read after
// batches of them, as reading it takes a microsecond.
func measure(op func()) float64 {
	op()
	start, n := spent(), 0
	for batch := 1; ; {
		for range batch {
			op()
		}
		n += batch
		d := spent() - start
		if d >= slice {
			return float64(d) / float64(n)
		}
		if d < slice/100 {
			batch *= 2
		}
	}
}

// once returns the nanoseconds of processor time of one call of op.
func once(op func()) float64 {
	start := spent()
	op()
	return float64(spent() - start)
}

// spent is the processor time of this process, all threads.
func spent() time.Duration {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tell prints the line of a comparison.
func tell(name string, ours, theirs []float64) {
	low, high := quartiles(ours, theirs)
	a, b := median(ours), median(theirs)
	fmt.Printf("ratio %s %.2f [%.2f-%.2f] (ours %s, peer %s)\n", name, b/a, low, high, perOperation(a), perOperation(b))
}

// quartiles of the rounds' ratios.
func quartiles(ours, theirs []float64) (low, high float64) {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = theirs[i] / ours[i]
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/4], ratios[len(ratios)-1-len(ratios)/4]
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func perOperation(ns float64) string {
	unit := 10 * time.Nanosecond
	for d := time.Duration(ns); d/unit >= 1000; {
		unit *= 10
	}
	return time.Duration(ns).Round(unit).String()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
