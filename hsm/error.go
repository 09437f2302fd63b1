package hsm

import (
	"errors"
	"strings"
	"time"
)

// Kind says what a caller can do about an error.
type Kind int

const (
	Internal       Kind = iota // a fault of the token, its module or this package
	Config                     // the configuration names something that is not so
	KeyNotFound                // the token has no such key
	Ambiguous                  // the name fits several things; nothing is chosen by accident
	KeyUnusable                // the key is there and cannot serve: touch key, no public key, wrong curve
	Away                       // the token is absent or not answering; may come back
	Busy                       // too many callers, or no session free; retry later
	Expired                    // the caller's context ended first
	PINRefused                 // the PIN may not be tried (again); an operator must act
	WrongSignature             // the token's signature did not verify; the key is out of service
	Exists                     // there is one already, and it is not replaced unasked
	Invalid                    // the argument cannot be meant: length of a digest, form of an id
	Closed                     // the token was closed
)

var kinds = [...]string{
	Internal: "internal", Config: "config", KeyNotFound: "key-not-found", Ambiguous: "ambiguous", KeyUnusable: "key-unusable",
	Away: "away", Busy: "busy", Expired: "expired", PINRefused: "pin-refused", WrongSignature: "wrong-signature",
	Exists: "exists", Invalid: "invalid", Closed: "closed",
}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds) {
		return "unknown"
	}
	return kinds[k]
}

// Kinds lists every kind, for tables that must know them all.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Error is what every function of this package returns. Err may name vendors' return codes and is for logs; it never holds a
// PIN. A context's error can be found with errors.Is.
type Error struct {
	Kind  Kind
	Token string // the configured name, else the label
	Op    string // what was attempted
	Err   error

	// RetryAfter is when a caller may ask again with some hope; 0 where asking again does not help, or nothing is known.
	RetryAfter time.Duration
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("hsm: ")
	if e.Token != "" {
		b.WriteString("token " + e.Token + ": ")
	}
	b.WriteString(e.Op)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the first *Error in err's chain; Internal when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
