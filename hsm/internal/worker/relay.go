package worker

import (
	"bufio"
	"io"
	"log/slog"
	"strings"
	"time"
)

// What the child writes is vendors' code speaking, or the Go runtime when it crashes: a line is cut at maxText octets, and
// only so many come into the log in a minute. The rest is read, for a full pipe would hold the child up, and counted.
const linesPerMinute = 60

func relay(r io.ReadCloser, log *slog.Logger) {
	defer r.Close()
	lines := bufio.NewReaderSize(r, maxText)
	var said, dropped int
	start := time.Now()
	for {
		line, err := lines.ReadSlice('\n')
		text := printable(strings.TrimSpace(string(line)))
		for err == bufio.ErrBufferFull { // the rest of a long line
			_, err = lines.ReadSlice('\n')
		}
		if time.Since(start) > time.Minute {
			if dropped > 0 {
				log.Warn("the module's process said more", "lines", dropped)
			}
			said, dropped, start = 0, 0, time.Now()
		}
		switch {
		case len(text) == 0:
		case said < linesPerMinute:
			said++
			log.Warn("the module's process says", "text", text)
		default:
			dropped++
		}
		if err != nil {
			if dropped > 0 {
				log.Warn("the module's process said more", "lines", dropped)
			}
			return
		}
	}
}
