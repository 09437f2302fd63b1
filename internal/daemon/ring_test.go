package daemon

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestWarnOfValidity(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	until := from.AddDate(1, 0, 0)
	for _, tc := range []struct {
		now  time.Time
		want string
	}{
		{from.Add(-time.Second), "has not begun"}, {from, ""}, {until.AddDate(0, 0, -31), ""}, {until.AddDate(0, 0, -29), "ends soon"},
		{until.Add(time.Second), "is over"},
	} {
		log := &logBuffer{}
		warnOfValidity(slog.New(slog.NewTextHandler(log, nil)), "keys/EXMP01/ov/versions/1", from, until, tc.now)
		if got := log.String(); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.now, got, tc.want)
		}
	}
}
