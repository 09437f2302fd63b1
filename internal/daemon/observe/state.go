package observe

import (
	"time"

	"github.com/epov-signer/epov/internal/sandbox"
)

// State is what there is to see of the daemon at one moment, as far as it is known without asking a token.
type State struct {
	Now      time.Time
	Started  time.Time
	Version  string
	Serving  bool
	Draining bool

	Connections, ConnectionsLimit int

	Tokens       []Token
	Keys         []Key
	Certificates []Certificate
	Revocations  Revocations
	Audit        *Audit           // nil: no log
	Reloads      map[string]int64 // refused, by the part of the configuration
	Usage        []Usage
	Sandbox      sandbox.Report // what the process is confined by; nil: nobody confined it

	// The following are filled in here.

	Active    int64   // calls at work
	Rate      float64 // signatures per second lately
	Refusals  float64 // requests for signatures refused per second lately
	Queue     Latency // waits for tokens lately
	Token     Latency // times on tokens lately
	Verify    Latency // verifications before release lately
	Total     Latency // requests for signatures as a whole lately
	Signed    uint64  // signatures since the start
	NotSigned uint64  // requests for signatures refused since the start
}

// Token is the state of a token.
type Token struct {
	Name, Vendor, Model, Serial string
	State                       string // ready, recovering, away, operator, closed
	Since                       time.Time
	Reason                      string // why it is not ready
	PIN                         string // ok, low, final, locked, refused, unknown
	Sessions, Limit, Working    int
	Queued, Hanging             int
	Service                     time.Duration // 0: unknown
	Signed                      uint64

	// The following are filled in here.

	Rate     float64 // signatures per second lately
	Offered  float64 // signatures and refusals for want of capacity per second lately
	Headroom float64 // 1 - offered/capacity; NaN: unknown
	Latency  Latency // on the token, lately
	Restarts uint64  // of its module
}

// Capacity is how many signatures per second all sessions allowed would make at the pace of late; 0: unknown.
func (t *Token) Capacity() float64 {
	if t.Service <= 0 {
		return 0
	}
	return float64(t.Limit) / t.Service.Seconds()
}

// Key is the state of a key version.
type Key struct {
	Name     string
	Primary  bool
	State    string // active, staged, retired
	Reason   string // why it would not sign now; empty: it would
	Until    time.Time
	Replicas []Replica

	Rate    float64 // signatures per second lately; filled in here
	Latency Latency // wait, token and verification together, lately; filled in here
}

// Replica is the state of a key on a token.
type Replica struct {
	Token        string
	Reason       string        // why it would not sign now; empty: it would
	OutOfService bool          // it made a wrong signature
	Signed       time.Time     // last verified signature; zero: none yet
	Tested       time.Time     // last test signature, whatever came of it; zero: none yet
	Took         time.Duration // of that
	Failure      string        // of that; empty: it was good
}

// Certificate is one whose end matters.
type Certificate struct {
	Kind  string // key, tls, client-ca
	Name  string // of the key, or of the subject
	Until time.Time
}

// Days is the time left, negative when it is over.
func (c *Certificate) Days(now time.Time) float64 { return c.Until.Sub(now).Hours() / 24 }

// Revocations says how fresh the lists in memory are.
type Revocations struct {
	Lists   int
	Overdue int       // their next update is past
	Oldest  time.Time // thisUpdate; zero: no list
	Failing int       // sources whose last fetch failed
}

// Audit is the state of the audit log.
type Audit struct {
	Records uint64
	Lag     uint64 // records that no checkpoint covers yet
	Waiting int    // octets of records that are not durable yet
	Reason  string // why no records are taken; empty: they are

	Followers []Follower
}

// Follower is a system that the audit log is passed on to.
type Follower struct {
	Name string
	Lag  uint64 // records that it has not got yet
	Up   bool   // the last attempt succeeded
}

// Usage is what a client has asked for under a role, and what for under none: see signer.Usage.
type Usage struct {
	Client, Role           string
	Calls                  int64
	Rate, Concurrent, Size int64
	Denied                 int64
	Running                int
}
