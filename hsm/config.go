package hsm

import (
	"errors"
	"log/slog"
	"reflect"
	"time"

	"github.com/epov-signer/epov/hsm/internal/pin"
)

// Defaults of TokenConfig.
const (
	DefaultQueue = 256
	maxSessions  = 1024
)

// TokenConfig says which token to open and how to use it.
type TokenConfig struct {
	Name   string // how errors, logs and Trace call the token; default: its label
	Module string // path of the PKCS#11 library

	// Label or Serial selects the token; with both, both must fit. The slot number is never used: it changes.
	Label, Serial string

	PIN PINSource // read when the token is opened, and kept for as long as it is open

	// KeyPIN confirms each signature of keys with CKA_ALWAYS_AUTHENTICATE; often it is that of PIN. Without it such keys are refused,
	// for whoever made them wanted to be asked.
	KeyPIN PINSource

	Vendor    *Vendor       // how it differs from others; nil: found by what the token says of itself
	Isolation Isolation     // where the module runs
	Sandbox   Sandbox       // what its own process may reach besides what the vendor's profile says
	CallTime  time.Duration // after which a call of the module counts as hung; default: the vendor's

	Sessions  int // most sessions at work at once, the anchor apart; default: the vendor's
	Queue     int // most requests that wait; default DefaultQueue; negative: none waits
	FlowQueue int // most requests of one client that wait; default: Queue

	// StateDir keeps what must survive a restart: which PINs the token has refused. Required; made when it is missing.
	StateDir string

	// AllowFinalTry spends the last try before the token locks. For an operator's hands only.
	AllowFinalTry bool

	Trace *Trace // may be nil
}

func (c TokenConfig) checked() (TokenConfig, error) {
	switch {
	case c.Module == "":
		return c, errors.New("no module given")
	case c.Label == "" && c.Serial == "":
		return c, errors.New("neither label nor serial of the token given")
	case c.PIN.IsZero():
		return c, errors.New("no source of the PIN given")
	case c.StateDir == "":
		return c, errors.New("no state directory given")
	case c.Sessions < 0 || c.Sessions > maxSessions:
		return c, errors.New("sessions out of range")
	case c.CallTime < 0:
		return c, errors.New("the time of a call is negative")
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	c.Queue = max(c.Queue, 0)
	if c.FlowQueue <= 0 {
		c.FlowQueue = c.Queue
	}
	c.FlowQueue = min(c.FlowQueue, c.Queue)
	if c.Name == "" {
		c.Name = c.Label
	}
	if c.Name == "" {
		c.Name = c.Serial
	}
	if c.Trace == nil {
		c.Trace = &Trace{}
	}
	return c, nil
}

// Isolation says where a module runs.
type Isolation int

const (
	Separate  Isolation = iota // in a process of its own, see WorkerMain: a crash or hang there costs a retry
	InProcess                  // in this process: a crash of the module is one of the service
)

func (c TokenConfig) login(serial string) pin.Login {
	return pin.Login{Serial: serial, Source: c.PIN, StateDir: c.StateDir, AllowFinalTry: c.AllowFinalTry}
}

// Equal reports whether two tokens are configured alike, in everything.
func (c TokenConfig) Equal(other TokenConfig) bool { return reflect.DeepEqual(c, other) }

// keyLogin is with what a signature is confirmed.
func (c TokenConfig) keyLogin(serial string) pin.Login {
	l := c.login(serial)
	l.Source = c.KeyPIN
	return l
}

// logins are those that the token's process is to be able to make.
func (c TokenConfig) logins() []pin.Login {
	list := []pin.Login{c.login(c.Serial)}
	if !c.KeyPIN.IsZero() && c.KeyPIN != c.PIN {
		list = append(list, c.keyLogin(c.Serial))
	}
	return list
}

// DefaultCallTime is used while the vendor is not known.
const DefaultCallTime = 10 * time.Second

// callsBeside are those of a token that no worker makes: logging in, looking after it, listing keys.
const callsBeside = 8

// optionsOf is what the tokens of one module want of it.
func optionsOf(tokens []TokenConfig, log *slog.Logger) hostOptions {
	o := hostOptions{Log: log}
	for _, t := range tokens {
		o.Logins = append(o.Logins, t.logins()...)
		o.Calls += t.Sessions + callsBeside
		o.Sandbox = o.Sandbox.join(sandboxOf(t.Vendor, t.Sandbox))
		o.Serial = o.Serial || t.Vendor != nil && t.Vendor.Serialise
		o.CallTime = max(o.CallTime, t.CallTime)
		if t.Vendor != nil && t.CallTime == 0 {
			o.CallTime = max(o.CallTime, t.Vendor.CallTime)
		}
	}
	if o.CallTime == 0 {
		o.CallTime = DefaultCallTime
	}
	return o
}
