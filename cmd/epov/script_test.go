package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/xmldsig"
	"github.com/epov-signer/epov/softhsm"
)

func TestMain(m *testing.M) {
	hsm.WorkerMain()
	testscript.Main(m, map[string]func(){"epov": main})
}

// The scripts of testdata/script read like a session at a terminal. Beside the usual commands of testscript they have:
//
//	exits CODE COMMAND...   run a command that must end with this code
//	needs-token             skip without SoftHSM and OpenSSL's engine; epovd, $PORT and the settings in *.yaml are ready after it
//	authorities             make the demonstration's authorities in ca and tls
//	issue NAME              issue a certificate for NAME.csr as NAME.pem, for signing; $NOW is the time after it
//	publish FILE DAY        write a list of accredited authorities of that day of January 2026, signed by publisher.pem
//	listed PATTERN          wait until the list of the daemon's keys matches
//	sleep-a-moment          give the daemon the time in which it notices changed files
//	ready                   wait until the daemon of client.yaml answers
func TestScript(t *testing.T) {
	daemon := buildDaemon(t.TempDir())
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("VECTORS", absolute("../../internal/vectors/testdata"))
			env.Setenv("MESSAGES", absolute("../../deploy/demo/messages"))
			env.Setenv("MODULE", softhsm.Module())
			env.Values["test"], env.Values["daemon"] = env.T(), daemon
			conf, err := softhsm.WriteConf(env.WorkDir)
			env.Setenv("SOFTHSM2_CONF", conf)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "needs-token": needsToken, "authorities": authorities, "issue": issue, "ready": ready, "publish": publish,
			"listed": listed, "sleep-a-moment": func(*testscript.TestScript, bool, []string) { time.Sleep(1500 * time.Millisecond) },
		},
		RequireExplicitExec: true,
	})
}

func absolute(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		panic(err)
	}
	return path
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// needsToken skips the script where SoftHSM or OpenSSL's engine are not there, and puts epovd and a free port at hand.
func needsToken(ts *testscript.TestScript, neg bool, args []string) {
	tb := ts.Value("test").(testing.TB)
	if softhsm.Module() == "" {
		oracle.Missing(tb, "SoftHSM with GOST")
	}
	if _, err := oracle.OpenSSL(tb, []byte("x"), "dgst", "-md_gost12_256"); err != nil {
		ts.Fatalf("%v", err)
	}
	bin, err := ts.Value("daemon").(func() (string, error))()
	ts.Check(err)
	ts.Setenv("PATH", filepath.Dir(bin)+string(filepath.ListSeparator)+ts.Getenv("PATH"))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	ts.Check(errors.Join(err, listener.Close()))
	ts.Setenv("PORT", port)
	for _, name := range []string{"epovd.yaml", "client.yaml", "stranger.yaml"} {
		data, err := os.ReadFile(ts.MkAbs(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		ts.Check(err)
		text := strings.NewReplacer("@PORT@", port, "@MODULE@", softhsm.Module(), "@WORK@", ts.Getenv("WORK")).Replace(string(data))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// buildDaemon builds epovd into dir when it is first asked for.
func buildDaemon(dir string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		bin := filepath.Join(dir, "epovd")
		out, err := exec.Command("go", "build", "-o", bin, "../epovd").CombinedOutput()
		if err != nil {
			err = errors.New(string(out))
		}
		return bin, err
	})
}

// pki runs a function of the demonstration's scripts with its state in the script's folder.
func pki(ts *testscript.TestScript, command string) {
	here := absolute("../../deploy/demo")
	script := `set -eu; here=$1 state=$2
say() { :; }
openssl() { OPENSSL_CONF=$here/openssl.cnf command openssl "$@"; }
. "$here/pki.sh"
cd "$state"
` + command
	out, err := exec.Command("bash", "-c", script, "pki", here, ts.MkAbs(".")).CombinedOutput()
	if err != nil {
		ts.Fatalf("%v: %s", err, out)
	}
}

func authorities(ts *testscript.TestScript, _ bool, _ []string) {
	pki(ts, "make_gost_ca; make_tls")
}

func issue(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: issue NAME")
	}
	pki(ts, "issue "+args[0]+" ca/issuing ep_ov 365 -md_gost12_256")
	ts.Setenv("NOW", time.Now().UTC().Format(time.RFC3339))
}

func ready(ts *testscript.TestScript, _ bool, _ []string) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := ts.Exec("epov", "keys", "--client-config", "client.yaml", "--timeout", "2s")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the daemon does not answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// publisher signs lists of accredited authorities.
var publisher = sync.OnceValues(func() (*gost.PrivateKey, *gost.Certificate) {
	return testpki.NewCA(outside{}, gost.GOST2012_256, "CryptoPro-A").NewSigner(outside{}, gost.GOST2012_256, "CryptoPro-A",
		testpki.Template{CommonName: "Publisher"})
})

// outside stands for a test where there is none: what fails there panics.
type outside struct{ testing.TB }

func (outside) Helper()           {}
func (outside) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func publish(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: publish FILE DAY")
	}
	day, err := strconv.Atoi(args[1])
	ts.Check(err)
	key, certificate := publisher()
	p, err := xmldsig.Enveloped.Prepare(xmldsig.Input{
		Document: testpki.NewTSL(time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC), testpki.Authority{
			Name: "УЦ", Certificates: []*gost.Certificate{certificate},
		}), Certificate: certificate,
	})
	ts.Check(err)
	value, err := key.Sign(rand.Reader, p.Digest(), nil)
	ts.Check(err)
	signed, err := p.Complete(value)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), signed, 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("publisher.pem"), certificate.PEM(), 0o644))
}

func listed(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: listed PATTERN")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := ts.Exec("epov", "keys", "--client-config", "client.yaml")
		if list := ts.ReadFile("stdout"); err == nil && pattern.MatchString(list) {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("not listed: %v\n%s", err, list)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
