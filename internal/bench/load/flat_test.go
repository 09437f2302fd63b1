package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// leaky names what a process that is this test again shall lose, in the environment.
const leaky = "EPOV_LEAK"

func TestMain(m *testing.M) {
	if leak, ok := os.LookupEnv(leaky); ok {
		serveLeak(leak)
	}
	os.Exit(m.Run())
}

// serveLeak is a process that works, serves metrics, and loses something of what it works with. It ends with its standard input.
func serveLeak(leak string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintf(w, "# HELP go_goroutines x\ngo_goroutines %d\ngo_memstats_heap_inuse_bytes %g\nepov_token_sessions{token=\"a b\"} 2\nepov_token_sessions_limit 4\n",
				runtime.NumGoroutine(), float64(m.HeapInuse))
		}))
	}()
	fmt.Println(listener.Addr())
	go func() {
		for range time.Tick(5 * time.Millisecond) {
			switch leak {
			case "memory":
				page := make([]byte, 128<<10)
				for i := range page {
					page[i] = 1
				}
				retained = append(retained, page)
			case "descriptors":
				f, err := os.Open("/dev/null")
				if err != nil {
					panic(err)
				}
				lost = append(lost, f) // or its finalizer would close it
			case "goroutines":
				go func() { select {} }()
			}
		}
	}()
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	os.Exit(0)
}

// What the process keeps for ever.
var (
	lost     []*os.File
	retained [][]byte
)

// TestPlantedLeak watches processes that lose what a daemon could: each must be found out, and the one that loses nothing not.
func TestPlantedLeak(t *testing.T) {
	for leak, found := range map[string][]string{
		"":            nil,
		"memory":      {"memory of the daemon (resident)", "memory of all (proportional)", "Go heap in use"},
		"descriptors": {"descriptors of the daemon"},
		"goroutines":  {"goroutines"},
	} {
		t.Run("leak "+leak, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), leaky+"="+leak)
			in, err := cmd.StdinPipe()
			out, err2 := cmd.StdoutPipe()
			if err != nil || err2 != nil || cmd.Start() != nil {
				t.Fatal("cannot start")
			}
			defer cmd.Wait()
			defer in.Close()
			address, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			w := newWatcher(cmd.Process.Pid, "http://"+strings.TrimSpace(address)+"/metrics")
			var samples []sample
			for range 60 {
				s, err := w.look()
				if err != nil {
					t.Fatal(err)
				}
				samples = append(samples, s)
				time.Sleep(50 * time.Millisecond)
			}
			for _, v := range judge(samples) {
				if must := slices.Contains(found, v.Name); v.Flat == must && v.Name != "Go heap in use" || must && v.Flat {
					t.Errorf("%v, flat: %v", v, v.Flat)
				}
			}
		})
	}
}

// TestJudge sees noise without a trend, a collector's sawtooth, a step in the warm-up and a slow leak.
func TestJudge(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	run := func(of func(at float64) sample) (list []string) {
		var samples []sample
		for i := range 180 {
			s := of(float64(i))
			s.At = float64(i)
			samples = append(samples, s)
		}
		for _, v := range judge(samples) {
			if !v.Flat {
				list = append(list, v.Name)
			}
		}
		return list
	}
	for name, tc := range map[string]struct {
		of   func(at float64) sample
		want []string
	}{
		"noise": {func(float64) sample {
			return sample{Resident: 60 + 8*chance.Float64(), Descriptors: 40 + float64(chance.IntN(6))}
		}, nil},
		"sawtooth": {func(at float64) sample {
			return sample{Heap: 20 + 7*float64(int(at)%4),
				Sessions: 4, SessionsLimit: 4}
		}, nil},
		"warm-up":              {func(at float64) sample { return sample{Resident: 30 + min(at, 60), Processes: 2} }, nil},
		"sessions come and go": {func(at float64) sample { return sample{Sessions: float64(int(at) / 60), SessionsLimit: 2} }, nil},
		"more sessions than allowed": {func(at float64) sample { return sample{Sessions: float64(int(at) / 60), SessionsLimit: 1} },
			[]string{"sessions on the token"}},
		"falling": {func(at float64) sample { return sample{Goroutines: 500 - at} }, nil},
		"a descriptor in ten seconds": {func(at float64) sample { return sample{Descriptors: 40 + float64(int(at)/10)} },
			[]string{"descriptors of the daemon"}},
		"a restart of the module's process that leaves one": {func(at float64) sample {
			return sample{Processes: 2 + min(float64(int(at)/60), 2)}
		}, []string{"processes of modules"}},
		"a leak under a sawtooth": {func(at float64) sample { return sample{Heap: 20 + 7*float64(int(at)%4) + at/8} },
			[]string{"Go heap in use"}},
	} {
		if got := run(tc.of); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	for _, v := range judge(nil) {
		if v.Flat {
			t.Errorf("%s is flat without a sample", v.Name)
		}
	}
	s := soak{Verdicts: judge(nil), Wrong: 1, Calls: 5}
	if len(s.broken()) != len(quantities)+2 {
		t.Errorf("%v", s.broken())
	}
}
