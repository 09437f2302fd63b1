package daemon

import (
	"testing"

	"github.com/epov-signer/epov/hsm"
)

func TestLoad(t *testing.T) {
	ready := hsm.TokenHealth{State: hsm.Ready, Limit: 4, Working: 4, Queued: 2, Signed: 10}
	for _, c := range []struct {
		tokens []hsm.TokenHealth
		signed uint64
		busy   float64
	}{
		{nil, 0, 1},
		{[]hsm.TokenHealth{ready}, 10, 1.5},
		{[]hsm.TokenHealth{ready, {State: hsm.Ready, Limit: 8, Signed: 5}}, 15, 0.5},
		{[]hsm.TokenHealth{ready, {State: hsm.Absent, Limit: 8, Queued: 100, Signed: 5}}, 15, 1.5},
	} {
		if signed, busy := loadOf(c.tokens); signed != c.signed || busy != c.busy {
			t.Errorf("%v: %d, %v", c.tokens, signed, busy)
		}
	}
}
