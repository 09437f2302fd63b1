package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Lines that go to systemd's journal begin with their priority, in either format, and no others do.
func TestJournalPriorities(t *testing.T) {
	for _, test := range []struct {
		name    string
		stream  func(own string) string // JOURNAL_STREAM
		journal bool
	}{
		{"the journal", func(own string) string { return own }, true},
		{"another stream", func(string) string { return "1:1" }, false},
		{"no journal", func(string) string { return "" }, false},
	} {
		for _, text := range []bool{false, true} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			info, err := w.Stat()
			if err != nil {
				t.Fatal(err)
			}
			s := info.Sys().(*syscall.Stat_t)
			t.Setenv("JOURNAL_STREAM", test.stream(fmt.Sprintf("%d:%d", s.Dev, s.Ino)))
			c := &Config{log: logConfig{level: slog.LevelDebug, text: text}}
			log := c.Logger(w).With("token", "t0")
			log.Debug("a call")
			log.Info("listening")
			log.Warn("token needs attention", "error", "two\nlines")
			log.WithGroup("g").Error("token is away", "retry", 1)
			fmt.Fprint(Errors(w), "epovd.yaml:1:1: tokens: is missing\nepovd.yaml:2:1: unknown\n")
			w.Close()
			out, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			if len(lines) != 6 {
				t.Fatalf("%q", lines)
			}
			for i, mark := range []string{"<7>", "<6>", "<4>", "<3>", "<3>", "<3>"} {
				rest, marked := strings.CutPrefix(lines[i], mark)
				if i < 4 && (strings.HasPrefix(rest, "{") == text || !strings.Contains(rest, "t0")) ||
					strings.HasPrefix(rest, "<") || marked != test.journal {
					t.Errorf("%s: %s", test.name, lines[i])
				}
			}
		}
	}
}
