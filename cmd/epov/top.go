package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
)

type topCmd struct {
	connection
	Once     bool          `help:"Show the state once, as long as it is, and end."`
	JSON     bool          `name:"json" help:"Write it as JSON, one text to a line."`
	Interval time.Duration `default:"1s" placeholder:"DURATION" help:"Between two looks, 200ms to 1m; default 1s."`
}

func (c *topCmd) Run(ctx context.Context, con *console) error {
	if c.Interval < 200*time.Millisecond || c.Interval > time.Minute {
		return usagef("--interval must be from 200ms to 1m")
	}
	terminal, _ := con.out.(*os.File)
	if terminal != nil && (!isTerminal(terminal) || os.Getenv("TERM") == "dumb") {
		terminal = nil
	}
	if c.Once || terminal == nil && !c.JSON {
		return c.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
			answer, err := pb.NewMonitorServiceClient(service.Conn()).GetState(ctx, &pb.GetStateRequest{})
			if err != nil {
				return err
			}
			if c.JSON {
				return writeState(con.out, answer.GetState())
			}
			s := &screen{}
			s.state(answer.GetState())
			_, err = fmt.Fprintln(con.out, strings.Join(s.text(), "\n"))
			return err
		})
	}
	return c.connect(func(service *client.Client, _ *clientConfig) error {
		var show viewer = &lines{con.out}
		if !c.JSON {
			t := &terminalView{file: terminal, color: os.Getenv("NO_COLOR") == ""}
			t.begin()
			defer t.end()
			show = t
		}
		return c.watch(ctx, pb.NewMonitorServiceClient(service.Conn()), show)
	})
}

// viewer shows states as they come.
type viewer interface {
	show(*pb.ServiceState) error
	wait(err error) error // while there is none
	resized() <-chan os.Signal
}

// watch shows states until ctx ends. A daemon that is away is waited for; one that refuses is not.
func (c *topCmd) watch(ctx context.Context, monitor pb.MonitorServiceClient, to viewer) error {
	var last *pb.ServiceState
	states, failed := make(chan *pb.ServiceState), make(chan error)
	go func() {
		for ctx.Err() == nil {
			err := follow(ctx, monitor, c.Interval, states)
			select {
			case failed <- err:
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case last = <-states:
			err = to.show(last)
		case <-to.resized():
			if last != nil {
				err = to.show(last)
			}
		case gone := <-failed:
			switch status.Code(gone) {
			case codes.OK, codes.Unavailable, codes.ResourceExhausted:
				err = to.wait(gone)
			default:
				if ctx.Err() != nil {
					return nil
				}
				err = gone
			}
		}
		if err != nil {
			return err
		}
	}
}

// follow passes states on; nil when the service ended the call in order.
func follow(ctx context.Context, monitor pb.MonitorServiceClient, interval time.Duration, to chan<- *pb.ServiceState) error {
	watch, err := monitor.WatchState(ctx, &pb.WatchStateRequest{Interval: durationpb.New(interval)})
	if err != nil {
		return err
	}
	for {
		answer, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case to <- answer.GetState():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lines writes JSON texts.
type lines struct{ to io.Writer }

func (l *lines) show(s *pb.ServiceState) error { return writeState(l.to, s) }
func (l *lines) wait(err error) error          { return err }
func (l *lines) resized() <-chan os.Signal     { return nil }

func writeState(to io.Writer, s *pb.ServiceState) error {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(s)
	if err == nil {
		_, err = fmt.Fprintln(to, string(data))
	}
	return err
}

// terminalView is the picture on a terminal. It has a screen of its own, and leaves the user's as it was.
type terminalView struct {
	file  *os.File
	color bool
	size  chan os.Signal
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
)

func (t *terminalView) begin() {
	t.size = make(chan os.Signal, 1)
	signal.Notify(t.size, syscall.SIGWINCH)
	fmt.Fprint(t.file, enterScreen)
}

func (t *terminalView) end() {
	signal.Stop(t.size)
	fmt.Fprint(t.file, leaveScreen)
}

func (t *terminalView) resized() <-chan os.Signal { return t.size }

func (t *terminalView) show(state *pb.ServiceState) error {
	s := &screen{color: t.color}
	s.width, s.height = terminalSize(t.file)
	s.state(state)
	return t.draw(s.text())
}

func (t *terminalView) wait(err error) error {
	if err == nil {
		return nil // the next call follows
	}
	s := &screen{color: t.color}
	s.width, s.height = terminalSize(t.file)
	s.line(bad, "%s; waiting for the daemon", describe(err))
	return t.draw(s.text())
}

// draw writes a picture over the one before, without the flicker of an empty screen between them.
func (t *terminalView) draw(lines []string) error {
	_, err := io.WriteString(t.file, home+strings.Join(lines, clearRight+"\r\n")+clearRight+clearBelow)
	return err
}

// terminalSize is 80 by 24 where the terminal does not say.
func terminalSize(f *os.File) (width, height int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}
