package trust

import (
	"sync"

	"github.com/epov-signer/epov/gost"
)

// maxLinks bounds the signatures that a set remembers, in up to 1 MiB.
const maxLinks = 8192

// links remembers which certificates and CRLs bear the good signature of which known certificate, so that each is verified
// once and not for every document. Whether a signature verifies depends on these octets alone; everything else about a path
// is judged each time. Signatures that do not verify are not remembered: a stranger could fill the memory with them.
type links struct {
	mutex sync.RWMutex
	good  map[link]struct{}
}

type link struct {
	child  [32]byte // fingerprint
	issuer *gost.Certificate
}

// check verifies unless that is known to succeed. Only issuers that the set knows are remembered, for others come and go.
func (s *set) check(child [32]byte, issuer *gost.Certificate, verify func() error) error {
	if !s.members[issuer] {
		return verify()
	}
	l, k := &s.links, link{child, issuer}
	l.mutex.RLock()
	_, good := l.good[k]
	l.mutex.RUnlock()
	if good {
		return nil
	}
	if err := verify(); err != nil {
		return err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.good == nil || len(l.good) >= maxLinks {
		l.good = make(map[link]struct{})
	}
	l.good[k] = struct{}{}
	return nil
}
