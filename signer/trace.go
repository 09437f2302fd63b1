package signer

import (
	"context"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// Trace is a set of optional functions called as things happen, for metrics and traces. They run on the way of a request:
// they return at once and call nothing of this package. Concurrent calls are possible.
type Trace struct {
	// Signed is called at the end of each request for a signature, granted or refused, before its caller hears of it. The
	// context is the request's.
	Signed func(ctx context.Context, s Signing)
}

// Signing describes a request for a signature that has come to its end.
type Signing struct {
	Caller    string // empty: not recognised
	Operation Operation
	Key       string      // exact version once it was found; before that as asked for, and cut to a bounded length
	Profile   string      // as asked for, cut likewise; empty for bare digests
	Code      report.Code // why there is no signature; empty: signed

	// Moments in their order. Those that were not come to are zero.
	Begun     time.Time
	Prepared  time.Time // the digest is known; then the token signs
	Signed    time.Time // the token has signed, or failed; see Timings
	Completed time.Time // the message is made, and time-stamped where the profile says so; then it is recorded
	Ended     time.Time

	Timings Timings
}

// mark notes a moment where somebody wants to know.
func (s *Service) mark(at *time.Time) {
	if s.trace.Signed != nil {
		*at = s.now()
	}
}

// tellTrace tells of an act that has come to its end.
func (s *Service) tellTrace(ctx context.Context, a *act, err error) {
	if s.trace.Signed == nil {
		return
	}
	t := a.passed
	t.Caller, t.Operation, t.Key, t.Profile = a.caller.Name(), a.op, printable(a.name), printable(a.profile)
	t.Begun, t.Ended, t.Timings = a.begun, s.now(), a.took
	if err != nil {
		t.Code = asError(err).Code
	}
	s.trace.Signed(ctx, t)
}
