package daemon

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func TestSameAddress(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tc := range []struct {
		passed  net.Addr
		address string
		same    bool
	}{
		{tcp("[::]:8443"), "0.0.0.0:8443", true},
		{tcp("0.0.0.0:8443"), ":8443", true},
		{tcp("127.0.0.1:8443"), "127.0.0.1:8443", true},
		{tcp("127.0.0.1:8443"), "127.0.0.1:0", true},
		{tcp("[::]:8443"), "0.0.0.0:9443", false},
		{tcp("[::]:8443"), "127.0.0.1:8443", false},
		{tcp("127.0.0.1:8443"), "0.0.0.0:8443", false},
		{tcp("127.0.0.1:8443"), "127.0.0.2:8443", false},
		{tcp("127.0.0.1:8443"), "127.0.0.1", false},
		{tcp("127.0.0.1:8443"), "/run/epovd/admin", false},
		{&net.UnixAddr{Name: "/run/epovd/admin", Net: "unix"}, "/run/epovd/admin", true},
		{&net.UnixAddr{Name: "/run/epovd/admin", Net: "unix"}, "/run/epovd/other", false},
		{&net.UnixAddr{Name: "/run/epovd/admin", Net: "unix"}, "127.0.0.1:8443", false},
	} {
		if got := sameAddress(tc.passed, tc.address); got != tc.same {
			t.Errorf("%s, %s: %v", tc.passed, tc.address, got)
		}
	}
}

// Who serves a listener can be asked for a sign of life, again and again; nobody answers for one who does not come back to it.
func TestListenerAnswers(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := narrow(tcp, 8, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := l.ask(soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("nobody serves, and yet:", err)
	}
	conns := make(chan net.Conn)
	go func() {
		defer close(conns)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	for range 3 {
		if err := l.ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		conn := <-conns // the questions took nothing away
		if err := conn.SetDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	busy := <-conns // taken up, and not looked after yet
	rested := make(chan error, 1)
	go func() { rested <- l.rest(t.Context()) }()
	select {
	case err := <-rested:
		t.Fatal("at rest while a connection waits to be looked after:", err)
	case <-time.After(20 * time.Millisecond):
	}
	_ = busy.SetDeadline(time.Time{})
	if err := <-rested; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal("refused at rest:", err)
	}
	select {
	case <-conns:
		t.Fatal("taken up at rest")
	case <-time.After(20 * time.Millisecond):
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	<-conns
}
