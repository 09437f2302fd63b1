package main

import (
	"context"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

// pacer spreads the requests over the events.
type pacer struct {
	n       int
	tickets chan int
	mutex   sync.Mutex
	base    int // requests released before since
	goal    int
	since   time.Time
	within  time.Duration
}

func newPacer(n int) *pacer {
	p := &pacer{n: n, tickets: make(chan int, 64), since: time.Now(), within: time.Millisecond}
	go p.run()
	return p
}

// release lets requests go until there are goal of them, evenly within a time.
func (p *pacer) release(goal int, within time.Duration) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.base, p.goal, p.since, p.within = p.goal, goal, time.Now(), max(within, time.Millisecond)
}

func (p *pacer) rest() { p.release(p.n, time.Millisecond) }

func (p *pacer) run() {
	for sent := 0; sent < p.n; {
		p.mutex.Lock()
		share := min(float64(time.Since(p.since))/float64(p.within), 1)
		due := p.base + int(share*float64(p.goal-p.base))
		p.mutex.Unlock()
		for ; sent < due; sent++ {
			p.tickets <- sent
		}
		time.Sleep(time.Millisecond)
	}
	close(p.tickets)
}

// client is one identity.
type client struct {
	name    string
	weight  int
	callers int
}

var clients = []client{{"registry", 8, 6}, {"portal", 4, 6}, {"archive", 1, 8}, {"batch", 1, 8}}

func (x *exercise) startClients() *sync.WaitGroup {
	var group sync.WaitGroup
	for _, c := range clients {
		for range c.callers {
			group.Go(func() {
				for number := range x.pace.tickets {
					x.ask(c, number)
				}
			})
		}
	}
	return &group
}

// margin is the time after its deadline within which a request must have its answer, on a machine that has other work.
const margin = 2 * time.Second

// longest is the longest that a caller waits.
const longest = 10 * time.Second

// ask makes one request. What it asks follows from the seed and its number.
func (x *exercise) ask(c client, number int) {
	r := mathrand.New(mathrand.NewPCG(x.seed, uint64(number)))
	within := 5*time.Second + time.Duration(r.Int64N(int64(longest-5*time.Second)))
	switch r.IntN(8) {
	case 0:
		within = 20*time.Millisecond + time.Duration(r.Int64N(int64(60*time.Millisecond)))
	case 1, 2:
		within = 200*time.Millisecond + time.Duration(r.Int64N(int64(800*time.Millisecond)))
	}
	k := x.keys[0]
	if r.IntN(10) == 0 {
		k = x.keys[1]
	}
	message := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, x.seed), uint64(number))
	hash := k.public.Algorithm.Digest.New()
	hash.Write(message)
	digest := hash.Sum(nil)

	begun := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), begun.Add(within))
	defer cancel()
	x.book.open.Add(1)
	key, err := x.s.Key(k.name)
	var signature gost.Verified
	if err == nil {
		signature, err = x.s.Submit(ctx, key, digest, hsm.Flow{Client: c.name, Weight: c.weight})
	}
	x.book.open.Add(-1)
	if took := time.Since(begun); took > within+margin {
		x.book.late(number, took, within)
	}
	if err != nil {
		x.book.refusal(err, begun, within)
		return
	}
	x.book.signed.Add(1)
	if value := signature.Signature(); x.book.verify(k.public, digest, value) {
		x.book.sample.offer(number, k, message, value)
	}
}

// await waits for the callers. Whoever has no answer long after the last deadline will never have one.
func (x *exercise) await(group *sync.WaitGroup) {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	last := time.Now()
	for before := int64(-1); ; {
		select {
		case <-done:
			return
		case <-time.After(time.Second):
		}
		if now := x.book.answers(); now != before {
			before, last = now, time.Now()
		}
		if time.Since(last) > 2*longest {
			x.book.abandoned(int(x.book.open.Load()))
			buffer := make([]byte, 1<<20)
			fmt.Printf("%s\n", buffer[:runtime.Stack(buffer, true)])
			return
		}
	}
}

// journal reads the scheduler's log.
type journal struct {
	seen  func(line []byte)
	aloud bool
	mutex sync.Mutex
}

func (j *journal) Write(line []byte) (int, error) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.aloud {
		fmt.Printf("%s", line)
	}
	if j.seen != nil {
		j.seen(line)
	}
	return len(line), nil
}
