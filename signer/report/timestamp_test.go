package report

import (
	"testing"
	"time"
)

// TestStampedTime: a token says that the signature existed at the end of its accuracy, not before.
func TestStampedTime(t *testing.T) {
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	stamp := func(ago, accuracy time.Duration, trusted bool) TimeStamp {
		return TimeStamp{Time: now.Add(-ago), Accuracy: accuracy, Trusted: trusted}
	}
	for name, c := range map[string]struct {
		stamps []TimeStamp
		ago    time.Duration
	}{
		"none":               {nil, 0},
		"not trusted":        {[]TimeStamp{stamp(time.Hour, 0, false)}, 0},
		"exact":              {[]TimeStamp{stamp(time.Hour, 0, true)}, time.Hour},
		"within a minute":    {[]TimeStamp{stamp(time.Hour, time.Minute, true)}, 59 * time.Minute},
		"within a year":      {[]TimeStamp{stamp(time.Hour, 365*24*time.Hour, true)}, 0},
		"from a clock ahead": {[]TimeStamp{stamp(-time.Minute, 0, true)}, 0},
		"the earliest of several": {[]TimeStamp{stamp(2*time.Hour, 90*time.Minute, true), stamp(time.Hour, 0, true),
			stamp(3*time.Hour, 0, false)}, time.Hour},
	} {
		s := Signature{TimeStamps: c.stamps}
		if at := s.StampedTime(now); !at.Equal(now.Add(-c.ago)) {
			t.Errorf("%s: %v", name, at)
		}
	}
}
