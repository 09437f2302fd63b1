package hsm

import (
	"math/rand/v2"
	"testing"
)

// push adds a new request.
func push(q *queue, name string, weight int) (r, out *request) {
	r = &request{from: Flow{Client: name, Weight: weight}}
	return r, q.push(r, name, weight)
}

// Flows that always have requests waiting are served by their weights.
func TestQueueShares(t *testing.T) {
	q := newQueue(1000, 1000)
	weights := map[string]int{"a": 1, "b": 1, "c": 3, "d": 20}
	for name, w := range weights {
		for range 50 {
			push(&q, name, w)
		}
	}
	got := map[string]int{}
	for range 2500 {
		r := q.pop()
		got[r.from.Client]++
		push(&q, r.from.Client, r.from.Weight)
	}
	for name, w := range weights {
		if want := 100 * w; got[name] < want-2 || got[name] > want+2 {
			t.Errorf("%s got %d, want %d", name, got[name], want)
		}
	}
}

// A request of a light flow waits no longer than its share demands, whatever others send: nobody starves.
func TestQueueStarvesNobody(t *testing.T) {
	q := newQueue(10000, 10000)
	for range 1000 {
		push(&q, "heavy", 64)
	}
	poor, _ := push(&q, "poor", 1)
	for n := 0; ; n++ {
		r := q.pop()
		if r == poor {
			if n > 130 {
				t.Errorf("taken after %d others of weight 64", n)
			}
			return
		}
		push(&q, "heavy", 64)
	}
}

// First come, first served within a flow; those that come back are before all.
func TestQueueOrder(t *testing.T) {
	q := newQueue(100, 100)
	var rs []*request
	for range 10 {
		r, _ := push(&q, "a", 1)
		rs = append(rs, r)
	}
	first := q.pop()
	if first != rs[0] {
		t.Fatal("not the first")
	}
	q.pushAgain(first)
	q.remove(rs[3])
	q.remove(rs[9])
	want := append([]*request{first, rs[1], rs[2]}, rs[4:9]...)
	for i, w := range want {
		if r := q.pop(); r != w {
			t.Fatalf("at %d another", i)
		}
	}
	if q.pop() != nil || q.size != 0 {
		t.Error("not empty")
	}
}

// A client that left and comes back has gained nothing; one that was idle has lost nothing but its past.
func TestQueueForgivesNothing(t *testing.T) {
	q := newQueue(100, 100)
	for range 3 {
		push(&q, "a", 1)
		push(&q, "b", 1)
	}
	if r := q.pop(); r.from.Client != "a" && r.from.Client != "b" {
		t.Fatal(r.from)
	}
	// Whoever takes turns by asking for one at a time gets the same share as who has three waiting.
	n := map[string]int{}
	for range 60 {
		r := q.pop()
		n[r.from.Client]++
		push(&q, r.from.Client, 1)
	}
	if n["a"] < 29 || n["a"] > 31 {
		t.Errorf("%v", n)
	}
	push(&q, "late", 1)
	got := 0
	for range 12 {
		r := q.pop()
		if r.from.Client == "late" {
			got++
		}
		push(&q, r.from.Client, 1)
	}
	if got < 3 || got > 5 {
		t.Errorf("a newcomer got %d of 12 among three", got)
	}
}

// When the queue is full the newest request of the flow that is most over its share gives way, and never one of a flow that
// has no more than its share.
func TestQueueEvicts(t *testing.T) {
	q := newQueue(10, 10)
	var last *request
	for range 10 {
		last, _ = push(&q, "flood", 1)
	}
	if r, out := push(&q, "flood", 1); out != r {
		t.Error("the flood evicts others of its own")
	}
	for i := range 4 {
		if _, out := push(&q, "calm", 1); out == nil || out.from.Client != "flood" || i == 0 && out != last {
			t.Errorf("%d: gave way %+v", i, out)
		}
	}
	if _, out := push(&q, "calm", 1); out == nil || out.from.Client != "flood" {
		t.Error("five and five are equal shares")
	}
	if r, out := push(&q, "calm", 1); out != r {
		t.Error("more than its share, at another's cost")
	}
	if _, out := push(&q, "heavy", 8); out == nil {
		t.Error("nobody gave way to a flow with nothing waiting")
	}
	if q.size != 10 {
		t.Errorf("size %d", q.size)
	}
	small := newQueue(10, 2)
	push(&small, "a", 1)
	push(&small, "a", 1)
	if r, out := push(&small, "a", 1); out != r {
		t.Error("a third of two")
	}
	none := newQueue(0, 0)
	if r, out := push(&none, "a", 1); out != r {
		t.Error("a queue of no places took one")
	}
}

// TestQueueAhead: ahead says how many are taken before a request, were no other to come.
func TestQueueAhead(t *testing.T) {
	for range 200 {
		q := newQueue(1000, 1000)
		names := []string{"a", "b", "c", "d"}
		weights := []int{1, 2, 5, 16}
		for range rand.IntN(60) {
			if i := rand.IntN(4); rand.IntN(4) > 0 {
				push(&q, names[i], weights[i])
			} else if r := q.pop(); r != nil && rand.IntN(8) == 0 {
				q.pushAgain(r)
			}
		}
		i := rand.IntN(4)
		said := q.ahead(names[i], weights[i])
		mine, out := push(&q, names[i], weights[i])
		if out != nil {
			t.Fatal("turned away")
		}
		n := 0
		for q.pop() != mine {
			n++
		}
		if said < n || said > n+4 { // of equal tags any may be the first
			t.Fatalf("%d were ahead, %d were said to be", n, said)
		}
	}
}

// A queue that has seen many clients remembers only those that matter.
func TestQueueForgetsClients(t *testing.T) {
	q := newQueue(10, 10)
	for i := range 10_000 {
		push(&q, string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676)), 1)
		q.pop()
	}
	if len(q.flows) > 2*idleFlows {
		t.Errorf("%d flows", len(q.flows))
	}
}

// Whatever is done to a queue, nothing is lost and nothing comes twice.
func FuzzQueue(f *testing.F) {
	f.Add([]byte("abcdpppABCDrrxxpfg"))
	f.Fuzz(func(t *testing.T, script []byte) {
		q := newQueue(16, 8)
		in := map[*request]bool{}
		var taken []*request
		for _, c := range script {
			switch {
			case c >= 'a' && c <= 'o':
				r, out := push(&q, string(c), int(c-'a')*3)
				in[r] = true
				if out != nil {
					if !in[out] {
						t.Fatal("what gave way was not there")
					}
					delete(in, out)
				}
			case c == 'p':
				r := q.pop()
				if (r == nil) != (len(in) == 0) || r != nil && !in[r] {
					t.Fatal("taken what was not there, or not what was")
				}
				delete(in, r)
				if r != nil {
					taken = append(taken, r)
				}
			case c == 'r':
				if n := len(taken); n > 0 {
					q.pushAgain(taken[n-1])
					in[taken[n-1]] = true
					taken = taken[:n-1]
				}
			case c == 'x':
				for r := range in {
					q.remove(r)
					delete(in, r)
					break
				}
			case c == 'f':
				q.filter(func(r *request) bool { return r.from.Client < "h" }, func(r *request) { delete(in, r) })
			}
			for r := range in {
				if !r.queued {
					t.Fatal("not queued")
				}
			}
			if q.size != len(in) {
				t.Fatalf("size %d, %d are in", q.size, len(in))
			}
			for i, g := range q.heap {
				if g.place != i || g.count == 0 || i > 0 && q.heap[(i-1)/2].start > g.start {
					t.Fatal("the heap is none")
				}
			}
		}
	})
}

func BenchmarkQueue(b *testing.B) {
	q := newQueue(4096, 4096)
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for i := range 1024 {
		push(&q, names[i%8], i%8+1)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := q.pop()
		_ = q.ahead(r.from.Client, r.from.Weight)
		q.push(r, r.from.Client, r.from.Weight)
	}
}
