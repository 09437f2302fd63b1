package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// A token as slow as hardware: each signature takes so long, in so many sessions at once. Callers wait a few times as long.
const (
	tokenTime  = 20 * time.Millisecond
	tokenWidth = 8
	callerTime = 4 * tokenTime // of those who look for the knee
)

// outcome is what came of a load.
type outcome struct {
	offered, good float64       // a second; good in time
	p99           time.Duration // of those
	refused       time.Duration // the median time in which others were told no
}

// measureOverload keeps such a token busy, beside a bare loop in C that does; then it finds the knee, the highest load of
// which 99 in 100 are signed in time, and doubles it, with callers that give each signature twice the p99 at the knee. Whoever
// is admitted must then be done in that time, with the token as busy as it can be.
func measureOverload(tb *oracle.Program, peers string, rounds int) {
	slow := softhsm.NewFaulty(tb)
	generate(tb, slow.Token)
	slow.Set(fmt.Sprintf("call C_Sign delay=%v", tokenTime))
	p := startPlant(tb, slow.Token, hsmKey, hsm.TokenConfig{Isolation: hsm.InProcess, Sessions: tokenWidth}, nil)
	defer p.close()
	p.load(100, time.Second, callerTime) // opens the sessions
	peer, err := startLoop(filepath.Join(peers, "tokenloop"), slow.Token, tokenWidth)
	must(err)
	var ours, theirs []float64
	for range rounds {
		ours = append(ours, p.throughput(2*tokenWidth, time.Second).perSecond)
		theirs = append(theirs, peer.throughput(time.Second).perSecond)
	}
	peer.end()
	most, bare := median(ours), median(theirs)
	fmt.Printf("ratio hsm/submit-slow %.3f (ours %.0f/s, peer %.0f/s; a token of %v, %d sessions)\n", most/bare, most, bare, tokenTime,
		tokenWidth)
	var knee outcome
	for _, share := range []float64{0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1} {
		if o := p.load(share*most, 3*time.Second, callerTime); o.good >= 0.99*o.offered {
			knee = o
		}
	}
	patience := 2 * knee.p99
	over := p.load(2*knee.offered, 6*time.Second, patience)
	fmt.Printf("ratio hsm/overload-goodput %.3f (twice the knee %.0f/s, the knee %.0f/s; at most %.0f/s)\n",
		over.good/knee.good, over.good, knee.good, most)
	fmt.Printf("ratio hsm/overload-p99 %.2f (twice the knee %v, the knee %v; a token of %v, callers that wait %v; refused after %v)\n",
		float64(over.p99)/float64(knee.p99), over.p99.Round(time.Millisecond), knee.p99.Round(time.Millisecond),
		tokenTime, patience.Round(time.Millisecond),
		over.refused.Round(time.Microsecond))
}

func (p *plant) load(rate float64, d, patience time.Duration) outcome {
	return offer(p.submit, rate, d, patience)
}

// offer asks at a rate for a time, whatever becomes of it. Each signature has a deadline.
func offer(sign signing, rate float64, d, patience time.Duration) outcome {
	var mutex sync.Mutex
	var took, refused []time.Duration
	var group sync.WaitGroup
	begun, asked := time.Now(), 0
	for now := time.Duration(0); now < d; now = time.Since(begun) {
		for ; float64(asked) < rate*now.Seconds(); asked++ {
			group.Go(func() {
				start := time.Now()
				ctx, cancel := context.WithDeadline(context.Background(), start.Add(patience))
				defer cancel()
				err := sign(ctx)
				mutex.Lock()
				defer mutex.Unlock()
				if one := time.Since(start); err == nil && one <= patience {
					took = append(took, one)
				} else if err != nil {
					refused = append(refused, one)
				}
			})
		}
		time.Sleep(500 * time.Microsecond)
	}
	seconds := time.Since(begun).Seconds()
	group.Wait()
	return outcome{
		offered: float64(asked) / seconds, good: float64(len(took)) / seconds, p99: percentile(took, 0.99),
		refused: percentile(refused, 0.5),
	}
}
