package daemon

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/signer/report"
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
		log := &await.Log{}
		warnOfValidity(slog.New(slog.NewTextHandler(log, nil)), "keys/EXMP01/ov/versions/1", from, until, tc.now)
		if got := log.String(); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", tc.now, got, tc.want)
		}
	}
}

func TestTranslateKeepsTheHint(t *testing.T) {
	e := translate(fmt.Errorf("sign: %w", &hsm.Error{Kind: hsm.Busy, RetryAfter: 70 * time.Millisecond}))
	if e.Code != report.Overload || e.RetryAfter != 70*time.Millisecond {
		t.Errorf("%+v", e)
	}
}
