package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// What the sides say by the control socket: packets of one octet and a body.
const (
	sayHello      byte = 'h' // hello; the answer is a reply with a welcome
	sayInitialise byte = 'i' // C_Initialize; the answer is a reply
	sayEnd        byte = 'e' // C_Finalize and exit; the answer is a reply
	sayOpen       byte = 'o' // attend to the place of this number, two octets
	sayAlive      byte = 'a' // asks for the same
)

// maxMessage bounds a message by the control socket, in octets.
const maxMessage = 64 << 10

type message struct {
	kind byte
	body []byte
}

type hello struct {
	Version int     `json:"version"`
	Module  string  `json:"module"`
	Serial  bool    `json:"serial"`
	Places  int     `json:"places"`
	Sandbox Sandbox `json:"sandbox"`
}

type welcome struct {
	Version int    `json:"version"`
	Report  Report `json:"report"`
}

// reply answers a message of the handshake.
type reply struct {
	Error *failure        `json:"error,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// failure is an error that has travelled: its text, and the return code in its chain if there is one.
type failure struct {
	Text string    `json:"text"`
	Code p11.Error `json:"code,omitempty"`
}

const maxText = 1024

func newFailure(err error) *failure {
	code, _ := errors.AsType[p11.Error](err)
	text := err.Error()
	return &failure{text[:min(len(text), maxText)], code}
}

func (f *failure) error() error {
	text := printable(f.Text)
	switch {
	case f.Code != 0 && text == f.Code.Error():
		return f.Code
	case f.Code != 0:
		return &codedError{text, f.Code}
	}
	return errors.New(text)
}

// codedError has the text of an error in the child, and its return code.
type codedError struct {
	text string
	code p11.Error
}

func (e *codedError) Error() string { return e.text }
func (e *codedError) Unwrap() error { return e.code }

// control is one end of the socket pair. One goroutine receives; any may send.
type control struct {
	file   *os.File
	buffer []byte // of receive
}

func newControl(fd int) *control {
	return &control{os.NewFile(uintptr(fd), "control"), make([]byte, maxMessage)}
}

// controlPair makes a socket of packets; theirs is to be inherited.
func controlPair() (ours *control, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("worker: socket pair: %w", err)
	}
	return newControl(fds[0]), os.NewFile(uintptr(fds[1]), "control"), nil
}

func (c *control) send(kind byte, body []byte) error {
	if len(body) >= maxMessage {
		return errors.New("worker: a message is too long")
	}
	_ = c.file.SetWriteDeadline(time.Now().Add(startTime)) // a stopped child takes nothing
	_, err := c.file.Write(append([]byte{kind}, body...))
	return err
}

// nudge asks for a sign of life, and waits for nothing: the watch must not be held up by a child that does not listen, whose
// buffer is full, nor by another's send. It reports whether the question is on its way; the socket's end shows to who receives.
func (c *control) nudge() (sent bool) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		n, err := unix.SendmsgN(int(fd), []byte{sayAlive}, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		sent = err == nil && n == 1
	})
	return sent && err == nil
}

// receive waits for a message. One that is longer than maxMessage is cut off by the kernel, and then no JSON.
func (c *control) receive() (message, error) {
	n, err := c.file.Read(c.buffer)
	if err != nil {
		return message{}, err
	}
	return message{c.buffer[0], bytes.Clone(c.buffer[1:n])}, nil
}

func (c *control) close() { c.file.Close() }

// printable replaces what could disturb a log.
func printable(s string) string {
	b := []byte(s[:min(len(s), maxText)])
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}
