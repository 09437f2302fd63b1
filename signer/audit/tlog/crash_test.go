package tlog_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
)

const crashOrigin = "epov.example.ru/audit/crash"

func TestMain(m *testing.M) {
	if dir := os.Getenv("EPOV_CRASH_DIR"); dir != "" {
		signUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// memoryKey is a key in software, and the only one of its ring.
type memoryKey struct{ key *gost.PrivateKey }

const keyName = "keys/EXMP01/ov/versions/1"

func (k memoryKey) Name() string                   { return keyName }
func (k memoryKey) Public() *gost.PublicKey        { return k.key.Public().(*gost.PublicKey) }
func (k memoryKey) Certificate() *gost.Certificate { return nil }
func (k memoryKey) Chain() []*gost.Certificate     { return nil }
func (k memoryKey) SignDigest(_ context.Context, digest []byte, _ signer.Flow) (gost.Verified, error) {
	return testpki.Sign(k.key, digest)
}
func (k memoryKey) Key(string) (signer.Key, error) { return k, nil }
func (k memoryKey) Keys() []signer.Key             { return []signer.Key{k} }

// signUntilKilled is the process that is killed: a service that signs, with its log, and clients who write down each
// signature that they are given.
func signUntilKilled(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	log, err := tlog.Open(context.Background(), tlog.Config{Dir: dir, Origin: crashOrigin, Interval: 100 * time.Millisecond, Logger: quiet})
	fail(err)
	key, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("tc26-256-B"))
	fail(err)
	access, err := signer.NewAccess([]signer.Role{{Name: "all", Grants: []signer.Grant{
		{Keys: []string{"keys/*"}, Operations: []signer.Operation{signer.OpSignDigest}},
	}}}, []signer.Client{{Name: "gateway", Anyone: true, Roles: []string{"all"}}})
	fail(err)
	service, err := signer.New(signer.Config{Keys: memoryKey{key}, Access: access, Audit: log, Logger: quiet})
	fail(err)
	caller, err := access.Anyone()
	fail(err)
	var out sync.Mutex
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for {
				digest := make([]byte, 32)
				_, _ = rand.Read(digest)
				signed, err := service.SignDigest(context.Background(), caller, signer.SignDigestRequest{
					Key: keyName, Digest: digest, DigestAlgorithm: "streebog256",
				})
				fail(err)
				h := gost.Streebog256.New()
				h.Write(signed.Bytes)
				out.Lock()
				_, err = fmt.Printf("%d %s\n", signed.Audit.Index, hex.EncodeToString(h.Sum(nil)))
				out.Unlock()
				fail(err)
			}
		})
	}
	wg.Wait()
}

// TestCrashes kills a service that signs, again and again at moments nobody chose. After each the log verifies as it was
// left, the next service opens it, and every signature that a client was ever given is in it. EPOV_CRASHES asks for more.
func TestCrashes(t *testing.T) {
	rounds := 20
	if n, err := strconv.Atoi(os.Getenv("EPOV_CRASHES")); err == nil && n > 0 {
		rounds = n
	}
	if testing.Short() {
		rounds = 4
	}
	dir := t.TempDir()
	given := map[uint64]string{}
	total, spares := uint64(0), 0
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EPOV_CRASH_DIR="+dir)
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
			t.Skip("under emulation the test cannot start itself")
		} else if err != nil {
			t.Fatal(err)
		}
		// The moment: after some signatures, or early, while the log is being opened.
		timer := time.AfterFunc(time.Duration(mrand.IntN(500))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			var index uint64
			var hash string
			if n, _ := fmt.Sscanf(lines.Text(), "%d %s", &index, &hash); n != 2 || len(hash) != 64 {
				continue // cut off by the kill
			}
			if other, twice := given[index]; twice {
				t.Fatalf("round %d: record %d is of two signatures, %s and %s", round, index, other, hash)
			}
			given[index] = hash
		}
		err = cmd.Wait()
		timer.Stop()
		if cmd.ProcessState.Exited() {
			t.Fatalf("round %d: the service ended by itself: %v", round, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "journal", "spare")); err == nil {
			spares++
		}
		total = examine(t, round, dir, given, total)
	}
	t.Logf("%d kills, %d signatures given, %d records; %d kills left a spare segment", rounds, len(given), total, spares)
	if spares == 0 && !testing.Short() {
		t.Error("no kill has left a spare segment")
	}
	if len(given) < rounds {
		t.Errorf("only %d signatures in all: the test has tested little", len(given))
	}
}

// examine looks at a log as a kill has left it.
func examine(t *testing.T, round int, dir string, given map[uint64]string, before uint64) uint64 {
	t.Helper()
	d, err := tlog.OpenDir(dir)
	if errors.Is(err, fs.ErrNotExist) && len(given) == 0 {
		return 0 // killed before the log was made
	}
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "checkpoint")); err != nil && len(given) == 0 {
		return 0
	}
	key, err := d.Key()
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Verify(t.Context(), key)
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	for _, f := range v.Findings {
		t.Errorf("round %d: %s: %s", round, f.File, f.Message)
	}
	if v.Records() < before {
		t.Errorf("round %d: %d records, there were %d", round, v.Records(), before)
	}
	missing := len(given)
	for f, err := range d.Records(t.Context()) {
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if hash, ok := given[f.Index]; ok {
			missing--
			if f.Record.Signature != hash || f.Record.Kind != audit.Signature {
				t.Errorf("round %d: record %d is about another signature", round, f.Index)
			}
		}
	}
	if missing > 0 {
		t.Errorf("round %d: %d signatures were released without a record", round, missing)
	}
	if t.Failed() {
		t.FailNow()
	}
	return v.Records()
}
