package hsm

import "errors"

// Defaults of TokenConfig.
const (
	DefaultSessions = 4
	DefaultQueue    = 256
	maxSessions     = 1024
)

// TokenConfig says which token to open and how to use it.
type TokenConfig struct {
	Name   string // how errors, logs and Trace call the token; default: its label
	Module string // path of the PKCS#11 library

	// Label or Serial selects the token; with both, both must fit. The slot number is never used: it changes.
	Label, Serial string

	PIN PINSource // read when the token is opened, and kept for as long as it is open

	Sessions int // most sessions at work at once, the anchor apart; default DefaultSessions
	Queue    int // most callers waiting for a session; default DefaultQueue; negative: none wait

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
	}
	if c.Sessions == 0 {
		c.Sessions = DefaultSessions
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	c.Queue = max(c.Queue, 0)
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
