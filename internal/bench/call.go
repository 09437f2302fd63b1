package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// compareCrossing sets one call into the module, C_SignInit and C_Sign, beside that of miekg/pkcs11. What makes the call is
// internal to hsm, so these are its own benchmarks, run in turns.
func compareCrossing(rounds int) {
	var direct, miekg []float64
	for range rounds {
		calls := benchmark("./hsm/internal/p11", "Sign", "ns/op")
		direct, miekg = append(direct, calls["BenchmarkSign/direct"]), append(miekg, calls["BenchmarkSign/miekg"])
	}
	a, b := median(direct), median(miekg)
	fmt.Printf("ratio hsm/crossing %.2f (ours %s, peer %s)\n", b/a, perOperation(a), perOperation(b))
}

// compareWorker takes one call into a module in a process of its own from one in this process: the processor time of both.
func compareWorker(rounds int) {
	var one, many []float64
	for range rounds {
		spent := benchmark("./hsm/internal/worker", "Sign/.*/sessions=[14]$", "cpu-µs/op")
		one = append(one, spent["BenchmarkSign/worker/sessions=1"]-spent["BenchmarkSign/process/sessions=1"])
		many = append(many, spent["BenchmarkSign/worker/sessions=4"]-spent["BenchmarkSign/process/sessions=4"])
	}
	fmt.Printf("ratio hsm/worker-cost-us %.1f (processor time of both processes, with 4 sessions; with one %.1f)\n",
		median(many), median(one))
}

// benchmark runs benchmarks of a package and gives one of their figures by name.
func benchmark(pkg, pattern, unit string) map[string]float64 {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", pattern, "-benchtime", "30000x", pkg)
	cmd.Env, cmd.Stderr = append(os.Environ(), "EPOV_REQUIRE=1"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		must(fmt.Errorf("%w: %s", err, out))
	}
	figures := map[string]float64{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for i := 2; i < len(fields); i++ {
			if fields[i] == unit {
				name := fields[0]
				if dash := strings.LastIndexByte(name, '-'); dash > 0 { // the number of processors
					name = name[:dash]
				}
				figures[name], err = strconv.ParseFloat(fields[i-1], 64)
				must(err)
			}
		}
	}
	return figures
}
