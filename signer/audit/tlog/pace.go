package tlog

import "time"

// pace holds groups apart while records come fast. To make a group durable costs the processors more than all else about a
// record, the more so the faster the disk is: when it answers within a fraction of a millisecond each record would get a group
// of its own. A record that comes alone waits for nothing.
type pace struct {
	begun            time.Time // of the last group
	records, seconds float64   // of the last groups, the older the less
}

const (
	groupEvery = 3 * time.Millisecond
	crowd      = 6   // records expected within groupEvery, from which on groups are held apart
	fades      = 0.9 // a group's weight against the next one's
	longAgo    = 1.0 // seconds that say as much as more of them
)

// begin takes note of a group.
func (p *pace) begin(now time.Time, count int) {
	p.records = p.records*fades + float64(count)
	p.seconds = p.seconds*fades + min(now.Sub(p.begun).Seconds(), longAgo)
	p.begun = now
}

// wait is how long the next group is still held open.
func (p *pace) wait(now time.Time) time.Duration {
	if p.records*groupEvery.Seconds() < crowd*p.seconds {
		return 0
	}
	return max(groupEvery-now.Sub(p.begun), 0)
}
