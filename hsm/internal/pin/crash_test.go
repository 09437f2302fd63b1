package pin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// TestMain is also the program that tries a PIN and is killed at it.
func TestMain(m *testing.M) {
	if text := os.Getenv("EPOV_PIN_TRY"); text != "" {
		if err := tryAgainAndAgain(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// victim is what the program is told.
type victim struct {
	StateDir, PIN string
	Count         string // a file that grows by an octet with each try
}

func tryAgainAndAgain(text string) error {
	var v victim
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	token := p11.NewFake(p11.TokenInfo{Serial: "0f00", Flags: p11.FlagUserPINSet, MinPIN: 4}, rightPIN)
	token.Fault = func(call string) error {
		if call != "Login" {
			return nil
		}
		f, err := os.OpenFile(v.Count, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(".")
		return err
	}
	s, err := token.OpenSession(0, false)
	if err != nil {
		return err
	}
	var k Keeper
	for {
		l := Login{Serial: "0f00", StateDir: v.StateDir, Source: value(v.PIN)}
		err := k.LogIn(context.Background(), token, s, 0, l)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Refused && !errors.Is(err, p11.PINIncorrect) {
			return err
		}
	}
}

// Killed at any moment, as often as may be, a program that tries a wrong PIN spends at most one try more than the one.
func TestKilledAnywhere(t *testing.T) {
	dir := t.TempDir()
	v := victim{StateDir: filepath.Join(dir, "state"), PIN: "surely-wrong", Count: filepath.Join(dir, "count")}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 40 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "EPOV_PIN_TRY="+string(text))
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
			t.Fatalf("round %d: %v: %s", round, status, said.String())
		}
	}
	count, err := os.ReadFile(v.Count)
	if err != nil && !os.IsNotExist(err) || len(count) > 2 {
		t.Errorf("%d tries, %v", len(count), err)
	}
	t.Logf("%d tries in 40 starts", len(count))
}

// What a crash between any two steps may leave is taken up again.
func TestLeftBehind(t *testing.T) {
	s := newStand(t)
	if err := os.MkdirAll(s.login.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	whole, err := json.Marshal(record{Serial: "0f00", Attempt: &now})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 { // a new record of which the beginning was written, and that never took its place
		if err := os.WriteFile(s.record()+".new", whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if n%40 != 0 && n != len(whole) {
			continue // a try takes its time
		}
		if err := s.try(t); err != nil {
			t.Fatal(err)
		}
		if err := s.Logout(s.session); err != nil {
			t.Fatal(err)
		}
	}
	// A record that cannot be read stops everything: nobody knows what it said.
	for _, bad := range []string{"", "{", `{"serial":"0f01"}`, strings.Repeat(" ", maxRecord+1)} {
		if err := os.WriteFile(s.record(), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		before := s.Calls("Login")
		wantKind(t, s.try(t), Refused)
		if s.Calls("Login") != before {
			t.Error("a try was spent")
		}
	}
}

// Where nothing can be recorded nothing is tried.
func TestNoRecord(t *testing.T) {
	s := newStand(t)
	blocker := s.login.StateDir
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.try(t), Config) // a file is no folder
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.record()+".new", 0o700); err != nil { // cannot be written, as on a full disk
		t.Fatal(err)
	}
	wantKind(t, s.try(t), Failed)
	if n := s.Calls("Login"); n != 0 {
		t.Errorf("%d tries", n)
	}
}

// Whatever parses as a record is written as it was read.
func FuzzRecord(f *testing.F) {
	now := time.Now()
	for _, r := range []record{
		{Serial: "0f00"}, {Serial: "0f00", Attempt: &now, Interrupted: 1}, {Serial: "0f00", Salt: "ab", Refused: []refusal{{now, 7}}},
	} {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data, "0f00")
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		r2, err := parseRecord(again, "0f00")
		if err != nil && len(again) <= maxRecord {
			t.Fatalf("%s: %v", again, err)
		}
		if third, err := json.Marshal(r2); err == nil && len(again) <= maxRecord && string(third) != string(again) {
			t.Errorf("%s became %s", again, third)
		}
	})
}

// Files that root's programs make in the service's directory are the service's.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root gives files away")
	}
	s := newStand(t)
	if err := os.MkdirAll(s.login.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(s.login.StateDir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	s.login.Source = value("surely-wrong")
	wantKind(t, s.try(t), Answered)
	for _, path := range []string{s.record(), lockPath(s.login.StateDir, "0f00")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 65534 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, owner %d", path, info.Mode(), st.Uid)
		}
	}
}
