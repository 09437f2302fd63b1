package worker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/softhsm"
)

func TestMain(m *testing.M) {
	hostile()
	Main()
	os.Exit(m.Run())
}

// stand is a worker over a token whose PIN is in a file.
type stand struct {
	*Worker
	supply *Supply
	soft   *softhsm.Token
	login  pin.Login
	slot   uint
	log    *await.Log
}

// options is for a token in a temporary folder.
func options(tb testing.TB, soft *softhsm.Token) (Options, *await.Log) {
	tb.Helper()
	dir, log := tb.TempDir(), &await.Log{}
	file := filepath.Join(dir, "pin")
	if err := os.WriteFile(file, []byte(soft.PIN), 0o600); err != nil {
		tb.Fatal(err)
	}
	o := Options{
		Module: soft.Module, CallTime: 20 * time.Second, Log: slog.New(slog.NewTextHandler(log, nil)),
		Logins:  []pin.Login{{Serial: soft.Serial, StateDir: filepath.Join(dir, "state"), Source: pin.Source{File: file}}},
		Sandbox: Sandbox{Families: []string{"unix"}, Write: []string{filepath.Dir(soft.Module)}},
	}
	if soft.Conf != "" {
		o.Sandbox.Write = append(o.Sandbox.Write, filepath.Dir(soft.Conf))
	}
	return o, log
}

func newStand(tb testing.TB, soft *softhsm.Token, change ...func(*Options)) *stand {
	tb.Helper()
	o, log := options(tb, soft)
	for _, c := range change {
		c(&o)
	}
	supply, err := NewSupply(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(supply.Close)
	s := &stand{supply: supply, soft: soft, login: o.Logins[0], log: log}
	s.take(tb)
	return s
}

// take gives the stand another worker.
func (s *stand) take(tb testing.TB) {
	tb.Helper()
	w, err := s.supply.Take(tb.Context())
	if err != nil {
		tb.Fatal(err, s.log)
	}
	s.Worker = w
	tb.Cleanup(func() { w.Kill(errors.New("test is over")); <-w.gone })
	slots, err := w.Slots()
	if err != nil {
		tb.Fatal(err, s.log)
	}
	for _, slot := range slots {
		if info, err := w.TokenInfo(slot); err == nil && info.Serial == s.soft.Serial {
			s.slot = slot
			return
		}
	}
	tb.Fatal("the token is not there")
}

// session is a new one, logged in.
func (s *stand) session(tb testing.TB) p11.Session {
	tb.Helper()
	h, err := s.OpenSession(s.slot, true)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.LogIn(tb.Context(), h, s.slot, s.login); err != nil {
		tb.Fatal(err)
	}
	return h
}

// key is the only private key, made when there is none.
func (s *stand) key(tb testing.TB, h p11.Session) p11.Object {
	tb.Helper()
	found, err := s.Find(h, []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassPrivateKey)}, 2)
	if err != nil {
		tb.Fatal(err)
	}
	if len(found) == 1 {
		return found[0]
	}
	_, key, err := s.GenerateKeyPair(h, p11.MechGOSTKeyPair, []*p11.Attribute{
		p11.Attr(p11.AttrToken, true), p11.Attr(p11.AttrGOSTR3410Params, []byte{6, 7, 0x2a, 0x85, 3, 2, 2, 0x23, 1}),
	}, []*p11.Attribute{p11.Attr(p11.AttrToken, true), p11.Attr(p11.AttrSign, true)})
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (s *stand) sign(h p11.Session, key p11.Object) error {
	digest := make([]byte, 32)
	_, _ = rand.Read(digest)
	signature, err := s.Sign(nil, h, p11.MechGOST, key, digest)
	if err == nil && len(signature) != 64 {
		return errors.New("no signature")
	}
	return err
}

// Every call of the module travels, with its results and its errors.
func TestCalls(t *testing.T) {
	s := newStand(t, softhsm.New(t))
	t.Logf("%+v", s.Report())
	for _, weak := range s.Report().Weak() {
		t.Error(weak)
	}
	h := s.session(t)
	if in, err := s.LoggedIn(h); err != nil || !in {
		t.Error(in, err)
	}
	key := s.key(t, h)
	if err := s.sign(h, key); err != nil {
		t.Error(err)
	}
	if kind, err := s.Attribute(h, key, p11.AttrKeyType); err != nil || !bytes.Equal(kind, p11.Attr(0, p11.KeyTypeGOST).Value) {
		t.Error(kind, err)
	}
	if _, err := s.Attribute(h, key, p11.AttrValue); err != p11.AttributeSensitive {
		t.Error(err)
	}
	if list, err := s.Mechanisms(s.slot); err != nil || len(list) < 5 {
		t.Error(list, err)
	}
	if _, err := s.Sign(nil, h+1000, p11.MechGOST, key, make([]byte, 32)); err != p11.SessionHandleInvalid {
		t.Error(err)
	}
	if _, err := s.Sign(nil, h, p11.MechGOST, key, make([]byte, placeSize)); err != p11.DataLenRange {
		t.Error(err)
	}
	large := make([]byte, 20<<10)
	o, err := s.CreateObject(h, []*p11.Attribute{p11.Attr(p11.AttrClass, uint(0)), p11.Attr(p11.AttrToken, true),
		p11.Attr(p11.AttrValue, large)})
	if err != nil {
		t.Fatal(err)
	}
	if value, err := s.Attribute(h, o, p11.AttrValue); err != nil || !bytes.Equal(value, large) {
		t.Error(len(value), err)
	}
	if err := s.DestroyObject(h, o); err != nil {
		t.Error(err)
	}
	if err := s.Logout(h); err != nil {
		t.Error(err)
	}
	if err := s.Login(h, p11.User, s.soft.PIN); err != nil {
		t.Error(err)
	}
	if err := s.SetPIN(h, s.soft.PIN, s.soft.PIN+"9"); err != nil {
		t.Error(err)
	}
	if err := s.CloseSession(h); err != nil {
		t.Error(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Slots(); err != p11.ErrLost {
		t.Error("after the end:", err)
	}
}

// wantLost checks that the worker is gone, with all its threads, and leaves no zombie.
func (s *stand) wantLost(tb testing.TB, within time.Duration) {
	tb.Helper()
	select {
	case <-s.Lost():
	case <-time.After(within):
		tb.Fatal("still there")
	}
	select {
	case <-s.gone:
	case <-time.After(within):
		tb.Fatal("not reaped")
	}
	if err := unix.Kill(s.PID(), 0); err != unix.ESRCH {
		tb.Error("a process is left:", err)
	}
	if _, err := s.Slots(); err != p11.ErrLost {
		tb.Error(err)
	}
}

// Whatever ends the child, calls at work and later ones end with ErrLost, and the next worker takes over.
func TestDeath(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	s := newStand(t, soft.Token, func(o *Options) { o.CallTime = time.Second })
	whole := t
	for _, tc := range []struct {
		name, rule string
		reason     string
	}{
		{"crash", "call C_Sign segv", "segmentation fault"}, {"abort", "call C_Sign abort", "aborted"},
		{"killed", "call C_Sign kill", "signal: killed"},
		{"hang", "call C_Sign hang", "takes longer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := s.session(t)
			key := s.key(t, h)
			if err := s.sign(h, key); err != nil {
				t.Fatal(err)
			}
			var wait sync.WaitGroup
			var sessions []p11.Session
			for range 4 {
				another, err := s.OpenSession(s.slot, false)
				if err != nil {
					t.Fatal(err)
				}
				sessions = append(sessions, another)
			}
			soft.Set(tc.rule)
			for _, h := range sessions {
				wait.Go(func() {
					if err := s.sign(h, key); err != p11.ErrLost {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			s.wantLost(t, 20*time.Second)
			if !strings.Contains(s.Reason().Error()+s.log.String(), tc.reason) {
				t.Errorf("%v; %s", s.Reason(), s.log)
			}
			soft.Set()
			start := time.Now()
			s.take(whole)
			t.Logf("%v; the next one after %v", s.Reason(), time.Since(start))
		})
	}
	h := s.session(t)
	if err := s.sign(h, s.key(t, h)); err != nil {
		t.Error(err)
	}
	// A process that is stopped gives no sign of life.
	if err := unix.Kill(s.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.wantLost(t, 30*time.Second)
}

// A PIN that the token refused is not tried again by the next worker.
func TestWrongPINAcrossWorkers(t *testing.T) {
	soft := softhsm.New(t)
	s := newStand(t, soft)
	if err := os.WriteFile(s.login.Source.File, []byte("wrong-9021"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := s.OpenSession(s.slot, false)
	if err != nil {
		t.Fatal(err)
	}
	err = s.LogIn(t.Context(), h, s.slot, s.login)
	if e, ok := errors.AsType[*pin.Error](err); !ok || e.Kind != pin.Answered || !errors.Is(err, p11.PINIncorrect) {
		t.Fatal(err)
	}
	for range 2 {
		err = s.LogIn(t.Context(), h, s.slot, s.login)
		if e, ok := errors.AsType[*pin.Error](err); !ok || e.Kind != pin.Refused {
			t.Fatal(err)
		}
		s.Kill(errors.New("test"))
		s.wantLost(t, 10*time.Second)
		s.take(t)
		if h, err = s.OpenSession(s.slot, false); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.LogIn(ctx, h, s.slot, s.login)
	if e, ok := errors.AsType[*pin.Error](err); !ok || e.Kind != pin.Expired {
		t.Error(err)
	}
}

// A PIN without a file reaches every child, and only those that were made for it.
func TestPINInMemory(t *testing.T) {
	soft := softhsm.New(t)
	value := pin.Source{Value: pin.NewPIN([]byte(soft.PIN))}
	s := newStand(t, soft, func(o *Options) { o.Logins[0].Source = value })
	for range 3 {
		s.session(t)
		s.Kill(errors.New("test"))
		s.wantLost(t, 10*time.Second)
		s.take(t)
	}
	h, err := s.OpenSession(s.slot, false)
	if err != nil {
		t.Fatal(err)
	}
	other := s.login
	other.Source = pin.Source{Value: pin.NewPIN([]byte(soft.PIN))}
	err = s.LogIn(t.Context(), h, s.slot, other)
	if e, ok := errors.AsType[*pin.Error](err); !ok || e.Kind != pin.Config {
		t.Error(err)
	}
}

// A library that cannot be loaded or initialised is told, and no process is left.
func TestStartFails(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	faulty := softhsm.NewFaulty(t)
	for _, tc := range []struct {
		module, rule, want string
		code               p11.Error
	}{
		{text, "", "cannot be loaded", 0},
		{faulty.Module, "call C_Initialize return=0x5", "C_Initialize", p11.GeneralError},
		{faulty.Module, "call C_Initialize segv", "gone", 0},
	} {
		if tc.rule != "" {
			faulty.Set(tc.rule)
		}
		o, _ := options(t, faulty.Token)
		o.Module = tc.module
		supply, err := NewSupply(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = supply.Take(t.Context())
		if err == nil || !strings.Contains(err.Error(), tc.want) || tc.code != 0 && !errors.Is(err, tc.code) {
			t.Errorf("%s: %v", tc.rule, err)
		}
		supply.Close()
		if _, err := supply.Take(t.Context()); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

// More callers than places wait for each other.
func TestManyCallers(t *testing.T) {
	s := newStand(t, softhsm.NewNoop(t), func(o *Options) { o.Calls = 2 })
	key := s.key(t, s.session(t))
	var wait sync.WaitGroup
	for range 8 {
		h, err := s.OpenSession(s.slot, false)
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range 200 {
				if err := s.sign(h, key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestSignAllocatesNothing(t *testing.T) {
	s := newStand(t, softhsm.NewNoop(t))
	h := s.session(t)
	key := s.key(t, h)
	room, digest := make([]byte, 0, p11.MaxSignature), make([]byte, 32)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := s.Sign(room, h, p11.MechGOST, key, digest); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations a signature", n)
	}
}

// A library that takes its time to initialise is no hanging process, and one that hangs there is given up.
func TestSlowInitialize(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: longer than signs of life are waited for")
	}
	faulty := softhsm.NewFaulty(t)
	faulty.Set("call C_Initialize delay=7s")
	s := newStand(t, faulty.Token, func(o *Options) { o.CallTime = time.Second })
	if _, err := s.Slots(); err != nil {
		t.Error(err)
	}
	faulty.Set("call C_Initialize hang")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.supply.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
