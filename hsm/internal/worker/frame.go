package worker

import (
	"encoding/binary"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// A request is the operation and its arguments, an answer the outcome and its results. All are words of 64 bits,
// little-endian, and octets with their length before them.
type operation uint64

const (
	opSign operation = iota + 1
	opSlots
	opTokenInfo
	opMechanisms
	opInitToken
	opInitPIN
	opSetPIN
	opOpenSession
	opCloseSession
	opLoggedIn
	opLogin
	opLogout
	opFind
	opAttribute
	opCreateObject
	opDestroyObject
	opGenerateKeyPair
	opLogInGuarded
	opSignConfirmed
)

// Outcomes.
const (
	done       uint64 = iota
	withCode          // a return code
	withText          // a return code, 0 for none, and a text
	withPIN           // an error of package pin: kind, operation, whether the context ended, return code, text
	unreadable        // the request was no request
)

// writer fills a place. What does not fit spoils it.
type writer struct {
	b        []byte // the whole place
	n        int
	overflow bool
}

func (w *writer) word(v uint64) {
	if w.n+8 > len(w.b) {
		w.overflow = true
		return
	}
	binary.LittleEndian.PutUint64(w.b[w.n:], v)
	w.n += 8
}

func (w *writer) flag(v bool) {
	if v {
		w.word(1)
	} else {
		w.word(0)
	}
}

func (w *writer) text(s string) {
	w.word(uint64(len(s)))
	if w.overflow || w.n+len(s) > len(w.b) {
		w.overflow = true
		return
	}
	w.n += copy(w.b[w.n:], s)
}

func (w *writer) octets(v []byte) {
	w.word(uint64(len(v)))
	if w.overflow || w.n+len(v) > len(w.b) {
		w.overflow = true
		return
	}
	w.n += copy(w.b[w.n:], v)
}

func (w *writer) attributes(list []*p11.Attribute) {
	w.word(uint64(len(list)))
	for _, a := range list {
		w.word(uint64(a.Type))
		w.octets(a.Value)
	}
}

// reader takes a frame apart. Once something is missing, everything is empty and bad says so.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) word() uint64 {
	if len(r.b) < 8 {
		r.b, r.bad = nil, true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) flag() bool {
	v := r.word()
	if v > 1 {
		r.bad = true
	}
	return v == 1
}

// octets are part of the frame.
func (r *reader) octets() []byte {
	n := r.word()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// count reads how many things of at least size octets follow.
func (r *reader) count(size int) int {
	n := r.word()
	if n > uint64(len(r.b)/size) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

func (r *reader) attributes() []*p11.Attribute {
	list := make([]*p11.Attribute, r.count(16))
	for i := range list {
		list[i] = &p11.Attribute{Type: uint(r.word())}
		list[i].Value = r.octets()
	}
	return list
}

// end reports whether the frame was whole, and nothing is left of it.
func (r *reader) end() bool { return !r.bad && len(r.b) == 0 }
