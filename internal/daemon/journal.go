package daemon

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// systemd's journal takes the priority of a line from its beginning, "<3>" and so on (sd-daemon(3)), so that `journalctl -p err`
// finds what is an error. Nobody else wants to read that.

// toJournal tells whether what is written goes to the journal: the service manager says which stream does (systemd.exec(5)), and
// the variable may have come down to a process whose output goes elsewhere.
func toJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	stream := os.Getenv("JOURNAL_STREAM")
	if !ok || stream == "" {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// marks are the priorities of slog's levels, from low to high.
var marks = [...]struct {
	from slog.Level
	mark string
}{{slog.LevelDebug, "<7>"}, {slog.LevelInfo, "<6>"}, {slog.LevelWarn, "<4>"}, {slog.LevelError, "<3>"}}

// markOf is the place of a level among marks.
func markOf(level slog.Level) int {
	for i := len(marks) - 1; i > 0; i-- {
		if level >= marks[i].from {
			return i
		}
	}
	return 0
}

// marked begins every line with a mark.
type marked struct {
	to   io.Writer
	mark string
}

func (m marked) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for line := range bytes.Lines(p) {
		b.WriteString(m.mark)
		b.Write(line)
	}
	if _, err := m.to.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Errors is where to write whole lines about errors that come before there is a log.
func Errors(w io.Writer) io.Writer {
	if toJournal(w) {
		return marked{w, marks[markOf(slog.LevelError)].mark}
	}
	return w
}
