package oracle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os/exec"
	"sync"
)

// pipe is a process that canonicalizes documents one after the other. It lives as long as the test binary: it ends when its
// input does.
type pipe struct {
	sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

var errRefused = errors.New("refused")

func startPipe(cmd *exec.Cmd) (*pipe, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &pipe{in: in, out: bufio.NewReader(out)}, cmd.Start()
}

// ask has a document canonicalized. The error is errRefused when the program does not take the document, else that of the
// pipe.
func (p *pipe) ask(form byte, doc []byte) ([]byte, error) {
	p.Lock()
	defer p.Unlock()
	request := append(binary.BigEndian.AppendUint32([]byte{form}, uint32(len(doc))), doc...)
	if _, err := p.in.Write(request); err != nil {
		return nil, err
	}
	var head [5]byte
	if _, err := io.ReadFull(p.out, head[:]); err != nil {
		return nil, err
	}
	if head[0] != 0 {
		return nil, errRefused
	}
	out := make([]byte, binary.BigEndian.Uint32(head[1:]))
	_, err := io.ReadFull(p.out, out)
	return out, err
}
