package client

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	_ "google.golang.org/grpc/balancer/roundrobin"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"
)

func init() {
	balancer.Register(base.NewBalancerBuilder(string(ByRequest), byRequest{}, base.Config{HealthCheck: true}))
}

// byRequest builds pickers of ByRequest. Each request id ranks all daemons (rendezvous hashing): it goes to the healthy one
// that it ranks first. A daemon that leaves moves only its own ids, and gets them back when it returns.
type byRequest struct{}

func (byRequest) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	p := &ranking{}
	for conn, of := range info.ReadySCs {
		p.nodes = append(p.nodes, node{of.Address.Addr, conn})
	}
	slices.SortFunc(p.nodes, func(a, b node) int { return strings.Compare(a.address, b.address) })
	p.next.Store(rand.Uint32())
	return p
}

type node struct {
	address string
	conn    balancer.SubConn
}

type ranking struct {
	nodes []node
	next  atomic.Uint32
}

func (p *ranking) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	id, _ := info.Ctx.Value(requestKey{}).(string)
	if id == "" {
		return balancer.PickResult{SubConn: p.nodes[p.next.Add(1)%uint32(len(p.nodes))].conn}, nil
	}
	best, most := 0, uint64(0)
	for i, n := range p.nodes {
		if r := rank(id, n.address); i == 0 || r > most {
			best, most = i, r
		}
	}
	return balancer.PickResult{SubConn: p.nodes[best].conn}, nil
}

// rank is what a request id gives to a daemon. FNV-1a alone hardly mixes the last octets, in which addresses differ.
func rank(id, address string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write([]byte(address))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd // finalizer of MurmurHash3
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
