package daemon

import "github.com/epov-signer/epov/hsm"

// load is what balancers are told: how much of the tokens that can sign is at work or waited for.
func (d *Daemon) load() (signed uint64, busy float64) { return loadOf(d.tokens.Health().Tokens) }

func loadOf(tokens []hsm.TokenHealth) (signed uint64, busy float64) {
	wanted, limit := 0, 0
	for _, t := range tokens {
		signed += t.Signed
		if t.State == hsm.Ready {
			wanted, limit = wanted+t.Working+t.Queued, limit+t.Limit
		}
	}
	if limit == 0 {
		return signed, 1
	}
	return signed, float64(wanted) / float64(limit)
}
