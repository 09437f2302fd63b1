package tlog

import (
	"testing"
	"time"
)

// TestPace holds groups apart when records come fast, and not otherwise.
func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	if d := p.wait(now); d != 0 {
		t.Error("the first record waits", d)
	}
	come := func(groups, count int, every time.Duration) {
		for range groups {
			p.begin(now, count)
			now = now.Add(every)
		}
	}
	come(50, 1, 2*time.Millisecond) // 500 in a second, each alone
	if d := p.wait(p.begun); d != 0 {
		t.Error("records that come slowly wait", d)
	}
	come(50, 1, 200*time.Microsecond) // 5000 in a second
	if d := p.wait(p.begun); d != groupEvery {
		t.Error("records that come fast wait", d)
	}
	if d := p.wait(p.begun.Add(time.Second)); d != 0 {
		t.Error("the next group is overdue, and waits", d)
	}
	now = now.Add(time.Hour)
	come(1, 1, 0)
	if d := p.wait(now); d != 0 {
		t.Error("a record after a long time waits", d)
	}
}
