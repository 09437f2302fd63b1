package client

import (
	"hash/fnv"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/pickfirst"
	_ "google.golang.org/grpc/balancer/roundrobin"
	_ "google.golang.org/grpc/balancer/weightedroundrobin"
	"google.golang.org/grpc/connectivity"
)

func init() { balancer.Register(byRequest{}) }

// byRequest is the balancer of ByRequest. Each request id ranks all daemons (rendezvous hashing) and goes to the one that it
// ranks first, among those that are not known to be away or unhealthy; it waits for one that is only just being connected to.
// A daemon that leaves moves only its own ids, and gets them back when it returns.
type byRequest struct{}

func (byRequest) Name() string { return string(ByRequest) }

func (byRequest) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	return &byRequestBalancer{endpointsharding.NewBalancer(
		ranked{cc}, opts, balancer.Get(pickfirst.Name).Build, endpointsharding.Options{})}
}

type byRequestBalancer struct{ balancer.Balancer }

func (b *byRequestBalancer) UpdateClientConnState(s balancer.ClientConnState) error {
	s.ResolverState = pickfirst.EnableHealthListener(s.ResolverState)
	return b.Balancer.UpdateClientConnState(s)
}

// ranked puts a ranking in place of every picker, which takes calls in turns.
type ranked struct{ balancer.ClientConn }

func (r ranked) UpdateState(s balancer.State) {
	s.Picker = &ranking{turns: s.Picker, nodes: endpointsharding.ChildStatesFromPicker(s.Picker)}
	r.ClientConn.UpdateState(s)
}

type ranking struct {
	turns balancer.Picker
	nodes []endpointsharding.ChildState
}

func (p *ranking) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	id, _ := info.Ctx.Value(requestKey{}).(string)
	if id == "" {
		return p.turns.Pick(info)
	}
	best, most := -1, uint64(0)
	for i, n := range p.nodes {
		if n.State.ConnectivityState == connectivity.TransientFailure || len(n.Endpoint.Addresses) == 0 {
			continue
		}
		if r := rank(id, n.Endpoint.Addresses[0].Addr); best < 0 || r > most {
			best, most = i, r
		}
	}
	if best < 0 {
		return p.turns.Pick(info) // which knows why there is none
	}
	return p.nodes[best].State.Picker.Pick(info)
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
