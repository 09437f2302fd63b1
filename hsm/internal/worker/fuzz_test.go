package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// calls are all calls that travel, with some arguments.
var calls = []func(w *Worker) error{
	func(w *Worker) error { _, err := w.Sign(nil, 1, p11.MechGOST, 2, make([]byte, 32)); return err },
	func(w *Worker) error { _, err := w.Slots(); return err },
	func(w *Worker) error { _, err := w.TokenInfo(7); return err },
	func(w *Worker) error { _, err := w.Mechanisms(7); return err },
	func(w *Worker) error { return w.InitToken(7, "12345678", "label") },
	func(w *Worker) error { return w.InitPIN(1, "12345678") },
	func(w *Worker) error { return w.SetPIN(1, "12345678", "87654321") },
	func(w *Worker) error { _, err := w.OpenSession(7, true); return err },
	func(w *Worker) error { return w.CloseSession(1) },
	func(w *Worker) error { _, err := w.LoggedIn(1); return err },
	func(w *Worker) error { return w.Login(1, p11.User, "12345678") },
	func(w *Worker) error { return w.Logout(1) },
	func(w *Worker) error {
		_, err := w.Find(1, []*p11.Attribute{p11.Attr(p11.AttrClass, p11.ClassPrivateKey)}, 10)
		return err
	},
	func(w *Worker) error { _, err := w.Attribute(1, 2, p11.AttrValue); return err },
	func(w *Worker) error {
		_, err := w.CreateObject(1, []*p11.Attribute{p11.Attr(p11.AttrID, "x")})
		return err
	},
	func(w *Worker) error { return w.DestroyObject(1, 2) },
	func(w *Worker) error { _, _, err := w.GenerateKeyPair(1, 2, nil, nil); return err },
	func(w *Worker) error {
		return w.LogIn(context.Background(), 1, 7, pin.Login{Source: pin.Source{File: "/nonexistent"}})
	},
	func(w *Worker) error {
		_, err := w.SignConfirmed(context.Background(), nil, 1, 7, p11.MechGOST, 2, make([]byte, 32),
			pin.Login{Source: pin.Source{File: "/nonexistent"}})
		return err
	},
}

// FuzzAnswers is a hostile child: whatever it answers, a call returns, and what cannot be read ends the child.
func FuzzAnswers(f *testing.F) {
	for i := range calls {
		for _, seed := range [][]byte{
			{}, {0}, make([]byte, 8), append([]byte{1}, make([]byte, 15)...), append([]byte{2}, make([]byte, 23)...),
			append([]byte{3}, make([]byte, 47)...), bytes.Repeat([]byte{0xff}, 64),
			append(make([]byte, 8), 1, 0, 0, 0, 0, 0, 0, 0, 'x'), append(make([]byte, 8), 64, 0, 0, 0, 0, 0, 0, 0),
		} {
			f.Add(byte(i), uint32(len(seed)), seed)
		}
	}
	f.Add(byte(0), uint32(1<<31), []byte{})
	f.Add(byte(1), uint32(placeSize+1), []byte{})
	f.Fuzz(func(t *testing.T, call byte, length uint32, answer []byte) {
		a, err := newArea(1)
		if err != nil {
			t.Fatal(err)
		}
		defer a.file.Close()
		var killed atomic.Bool
		w := &Worker{
			o: Options{CallTime: time.Minute, Log: slog.New(slog.DiscardHandler)}, area: a, lost: make(chan struct{}),
			process: &process{kill: func() { killed.Store(true) }},
		}
		w.vacant.L = &w.mutex
		w.places = []*place{{shared: a.places[0], opened: true}}
		w.free = w.places
		w.bell = os.NewFile(uintptr(a.bell), "bell")
		defer w.bell.Close()
		go w.attend()
		childs, err := mapArea(int(a.file.Fd()), a.bell, 1)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			p := childs.places[0]
			p.next()
			copy(p.data, answer)
			p.reply(int(length))
			childs.close()
		}()
		err = calls[int(call)%len(calls)](w)
		if length > placeSize && !errors.Is(err, p11.ErrLost) {
			t.Errorf("an answer of %d octets: %v", length, err)
		}
		if errors.Is(err, p11.ErrLost) != killed.Load() {
			t.Errorf("%v, killed: %v", err, killed.Load())
		}
		if err != nil && len(err.Error()) > 4*maxText {
			t.Errorf("an error of %d octets", len(err.Error()))
		}
		w.Kill(errors.New("done"))
	})
}

// FuzzRequests gives a child any request: it answers, within its place, with something that can be read.
func FuzzRequests(f *testing.F) {
	for op := opSign; op <= opSignConfirmed; op++ {
		for _, n := range []int{0, 8, 24, 64} {
			f.Add(append([]byte{byte(op), 0, 0, 0, 0, 0, 0, 0}, make([]byte, n)...))
			f.Add(append([]byte{byte(op), 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, n/8)...))
		}
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) > placeSize || len(request) > 0 && request[0] >= byte(opLogInGuarded) && bytes.IndexByte(request, '{') >= 0 {
			return // a login that can be read would touch files
		}
		fake := p11.NewFake(p11.TokenInfo{Label: "fake", Serial: "0f", Flags: p11.FlagUserPINSet}, "1234")
		fake.Add(p11.Attr(p11.AttrClass, p11.ClassPrivateKey), p11.Attr(p11.AttrID, "x"))
		fake.Signer = func([]byte) ([]byte, error) { return make([]byte, 64), nil }
		s, err := fake.OpenSession(7, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := fake.Login(s, p11.User, "1234"); err != nil {
			t.Fatal(err)
		}
		a := attendant{child: &child{module: fake}, data: make([]byte, placeSize)}
		copy(a.data, request)
		n := a.attend(len(request))
		if n < 8 || n > placeSize {
			t.Fatalf("an answer of %d octets", n)
		}
		r := reader{b: a.data[:n]}
		if r.word() > unreadable {
			t.Error("no outcome")
		}
	})
}

// FuzzControl gives both ends what the other should not say.
func FuzzControl(f *testing.F) {
	f.Add([]byte(`h{"version":1,"module":"/nonexistent","places":1}`))
	f.Add([]byte(`h{"error":{"text":"x","code":5}}`))
	f.Add([]byte("a"))
	f.Add([]byte("o\x00\x00"))
	f.Add([]byte("i{}"))
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) == 0 || len(m) > maxMessage {
			return
		}
		ours, theirs, err := controlPair()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.close()
		w := &Worker{
			o: Options{CallTime: time.Minute}, control: ours, lost: make(chan struct{}), gone: make(chan struct{}),
			answer: make(chan message, 1), drained: make(chan struct{}), process: &process{kill: func() {}}, area: &area{closed: true},
		}
		w.vacant.L = &w.mutex
		close(w.gone)
		go w.listen()
		if _, err := theirs.Write(m); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		var back welcome
		_ = w.ask(ctx, sayHello, hello{}, &back)
	})
}
