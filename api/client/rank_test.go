package client

import (
	"fmt"
	"testing"
)

// Ids are spread evenly, and a daemon that leaves moves only its own.
func TestRank(t *testing.T) {
	all := []string{"10.0.0.1:8443", "10.0.0.2:8443", "10.0.0.3:8443"}
	first := func(id string, nodes []string) string {
		best := nodes[0]
		for _, n := range nodes {
			if rank(id, n) > rank(id, best) {
				best = n
			}
		}
		return best
	}
	count := map[string]int{}
	for i := range 9000 {
		id := fmt.Sprint("request ", i)
		to := first(id, all)
		count[to]++
		if left := first(id, all[:2]); to != all[2] && left != to {
			t.Fatalf("%s moved from %s to %s", id, to, left)
		}
	}
	for _, n := range all {
		if count[n] < 2700 || count[n] > 3300 {
			t.Errorf("%s gets %d of 9000", n, count[n])
		}
	}
}
