package worker

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// file tells a file from another that takes its name; zero: there is none.
type file struct{ device, number uint64 }

func fileAt(path string) file {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return file{}
	}
	return file{st.Dev, st.Ino}
}

// pinFiles are those that a worker started now may read. Landlock goes by the file, not by its name.
func (o Options) pinFiles() map[string]file {
	files := map[string]file{}
	for _, l := range o.Logins {
		for _, path := range l.Source.Paths() {
			files[path] = fileAt(path)
		}
	}
	return files
}

// replaced makes way for a successor when an operator has put another file in the place of one with a PIN that was of no use:
// this worker cannot read the new one.
func (w *Worker) replaced(s pin.Source, err error) error {
	e, ok := errors.AsType[*pin.Error](err)
	if !ok || e.Kind != pin.Refused && e.Kind != pin.Config {
		return err
	}
	for _, path := range s.Paths() {
		if now := fileAt(path); now != (file{}) && now != w.files[path] {
			w.Kill(errors.New("there is a new file with the PIN"))
			return &pin.Error{Kind: pin.Answered, Op: "log in", Err: p11.ErrLost}
		}
	}
	return err
}
