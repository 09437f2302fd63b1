// Command chaos has several clients ask for signatures while everything that can happen to tokens happens to theirs, and
// checks each signature that comes back by routes that the scheduler does not take: gost's plain verification always, and
// OpenSSL's gost engine for a sample.
//
// Two tokens of SoftHSM hold the same keys, each behind softhsm/fault. In a first phase their modules run in processes of
// their own, in a second one in this process, where what takes a process down is left out. The schedule of faults follows
// from the seed alone; which request meets which fault depends on the machine as well.
//
// It ends with 1 when a signature was wrong, a request was left without an answer, an answer says nothing that helps, a PIN
// was spent more than once, a token did not come back, or something was left behind.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/reliability/runs"
)

func main() {
	hsm.WorkerMain()
	n := flag.Int("n", 100000, "signatures to be asked for")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano())%1e6, "of the schedule")
	phase := flag.String("phase", "", "only this one: separate or in-process")
	hurry := flag.Bool("hurry", false, "let no module rest between faults of its process; how long it takes to come back says less then")
	verbose := flag.Bool("v", false, "tell of each fault")
	file := flag.String("json", "", "file to which what came of each phase is added, for internal/reliability")
	flag.Parse()
	if flag.NArg() > 0 || *n < 1 {
		flag.Usage()
		os.Exit(2)
	}
	bad := false
	for _, c := range []config{
		{phase: "separate", isolation: hsm.Separate, n: *n - *n/3}, {phase: "in-process", isolation: hsm.InProcess, n: *n / 3},
	} {
		if *phase != "" && *phase != c.phase {
			continue
		}
		c.seed, c.verbose, c.rest = *seed, *verbose, !*hurry
		tb := &oracle.Program{}
		r := run(tb, c)
		tb.End()
		r.print(os.Stdout)
		bad = bad || len(r.faults()) > 0
		if *file == "" {
			continue
		}
		command := fmt.Sprintf("make chaos CHAOS=%d SEED=%d", *n, *seed)
		if *hurry {
			command += " CHAOSFLAGS=-hurry"
		}
		if err := runs.Append(*file, r.run(command)); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			bad = true
		}
	}
	if bad {
		fmt.Printf("chaos: not as promised; again with: make chaos CHAOS=%d SEED=%d\n", *n, *seed)
		os.Exit(1)
	}
	fmt.Println("chaos: as promised")
}
