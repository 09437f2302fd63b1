package gost

import (
	"bytes"
	"cmp"
	"encoding/asn1"
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"sort"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Reason is a CRLReason (RFC 5280 section 5.3.1).
type Reason uint8

// The reasons with a meaning of their own; NoReason stands for an entry that gives none.
const (
	ReasonHold          Reason = 6
	ReasonRemoveFromCRL Reason = 8
	NoReason            Reason = 255
)

var reasonNames = []string{"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
	"cessationOfOperation", "certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise"}

func (r Reason) known() bool { return int(r) < len(reasonNames) && reasonNames[r] != "" }

// String names the reason as RFC 5280 does; NoReason is "".
func (r Reason) String() string {
	if !r.known() {
		return ""
	}
	return reasonNames[r]
}

// Revoked is what a CRL or OCSP response says of a revoked certificate.
type Revoked struct {
	At      time.Time // when the CA revoked it
	Invalid time.Time // invalidityDate: since when it is known or suspected not to be valid; zero when absent
	Reason  Reason
}

// Since is the moment from which the certificate must not be relied upon: the earlier of both times.
func (r Revoked) Since() time.Time {
	if !r.Invalid.IsZero() && r.Invalid.Before(r.At) {
		return r.Invalid
	}
	return r.At
}

// revocations is the set of entries, sorted by the octets of the serial number: no pointer per entry, so that a million of
// them cost the garbage collector nothing. Times are seconds since 1970 in 32 bits, which last until 2106; what lies outside
// is moved to the end that it is beyond.
type revocations struct {
	serials []byte   // one after the other, content octets of the INTEGER
	starts  []uint32 // of each in serials
	times   []uint32
	reasons []Reason
	invalid map[uint32]int64 // invalidityDate by place; few entries have one
}

func (r *revocations) len() int { return len(r.starts) }

func (r *revocations) serial(i int) []byte {
	if i+1 < len(r.starts) {
		return r.serials[r.starts[i]:r.starts[i+1]]
	}
	return r.serials[r.starts[i]:]
}

func (r *revocations) at(i int) Revoked {
	out := Revoked{At: time.Unix(int64(r.times[i]), 0).UTC(), Reason: r.reasons[i]}
	if t, ok := r.invalid[uint32(i)]; ok {
		out.Invalid = time.Unix(t, 0).UTC()
	}
	return out
}

// Find says what the list has about a serial number.
func (l *RevocationList) Find(serial *big.Int) (Revoked, bool) {
	var octets [maxSerialSize]byte
	n := serial.BitLen()/8 + 1
	if n > len(octets) {
		return Revoked{}, false
	}
	want := octets[:n] // content octets of the INTEGER
	if serial.Sign() >= 0 {
		serial.FillBytes(want)
	} else {
		var b cryptobyte.Builder
		b.AddASN1BigInt(serial)
		want = b.BytesOrPanic()[2:] // the length is a short one
	}
	r := &l.entries
	i, found := sort.Find(r.len(), func(i int) int { return bytes.Compare(want, r.serial(i)) })
	if !found {
		return Revoked{}, false
	}
	return r.at(i), true
}

// parseEntries reads the content of revokedCertificates.
func (l *RevocationList) parseEntries(list cryptobyte.String) error {
	fail := func(format string, args ...any) error { return derError("CRL", "revokedCertificates", format, args...) }
	r := &l.entries
	const shortest = 20 // octets of an entry, about
	r.starts, r.times = make([]uint32, 0, len(list)/shortest), make([]uint32, 0, len(list)/shortest)
	for !list.Empty() {
		var in, serial cryptobyte.String
		if !list.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1(&serial, cbasn1.INTEGER) || !shortestInteger(serial) {
			return fail("entry %d does not begin with an INTEGER in its shortest encoding", r.len()+1)
		}
		seconds, err := readSeconds(&in)
		if err != nil {
			return fail("entry %d: %v", r.len()+1, err)
		}
		reason := NoReason
		if !in.Empty() {
			if l.Version != 2 {
				return fail("entry %d: extensions are not allowed in v1", r.len()+1)
			}
			if reason, err = l.parseEntryExtensions(in); err != nil {
				return fail("entry %d: %v", r.len()+1, err)
			}
		}
		r.starts = append(r.starts, uint32(len(r.serials)))
		r.serials = append(r.serials, serial...)
		r.times = append(r.times, uint32(min(max(seconds, 0), math.MaxUint32)))
		r.reasons = append(r.reasons, reason)
	}
	r.sort()
	return nil
}

// shortestInteger reports whether in is the content of a DER INTEGER of bounded size.
func shortestInteger(in []byte) bool {
	switch {
	case len(in) == 0, len(in) > maxSerialSize:
		return false
	case len(in) == 1:
		return true
	}
	return !(in[0] == 0 && in[1] < 0x80 || in[0] == 0xFF && in[1] >= 0x80)
}

// Object identifiers of entry extensions (RFC 5280 section 5.3).
var (
	oidReason         = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate = asn1.ObjectIdentifier{2, 5, 29, 24}
)

// plainReason is the DER of extensions with a reason only, all but its last octet: nearly every entry with extensions is
// like this.
var plainReason = []byte{0x30, 0x0C, 0x30, 0x0A, 0x06, 0x03, 0x55, 0x1D, 0x15, 0x04, 0x03, 0x0A, 0x01}

// parseEntryExtensions notes invalidityDate and critical extensions that are not processed, certificateIssuer of indirect
// lists among them, and returns the reason.
func (l *RevocationList) parseEntryExtensions(in cryptobyte.String) (Reason, error) {
	if n := len(plainReason); len(in) == n+1 && bytes.Equal(in[:n], plainReason) && Reason(in[n]).known() {
		return Reason(in[n]), nil
	}
	extensions, err := readExtensions(&in)
	if err == nil && !in.Empty() {
		err = derError("CRL", "crlEntryExtensions", "octets follow them")
	}
	reason := NoReason
	for _, e := range extensions {
		oid, s := asn1.ObjectIdentifier(e.OID), cryptobyte.String(e.Value)
		switch {
		case oid.Equal(oidReason):
			var v int
			if !s.ReadASN1Enum(&v) || !s.Empty() || v < 0 || v > math.MaxUint8 || !Reason(v).known() {
				return 0, derError("CRL", "reasonCode", "not a CRLReason")
			}
			reason = Reason(v)
		case oid.Equal(oidInvalidityDate):
			if !s.PeekASN1Tag(cbasn1.GeneralizedTime) {
				return 0, derError("CRL", "invalidityDate", "not a GeneralizedTime")
			}
			seconds, err := readSeconds(&s)
			if err != nil || !s.Empty() {
				return 0, derError("CRL", "invalidityDate", "not a GeneralizedTime")
			}
			if l.entries.invalid == nil {
				l.entries.invalid = map[uint32]int64{}
			}
			l.entries.invalid[uint32(l.entries.len())] = seconds
		case e.Critical && !slices.ContainsFunc(l.UnknownCritical, oid.Equal):
			l.UnknownCritical = append(l.UnknownCritical, slices.Clone(oid))
		}
	}
	return reason, err
}

// sort puts the entries in order, unless the CA has, and trims what was allocated. Of entries with one serial number the one
// that revokes first comes first and is the one found.
func (r *revocations) sort() {
	type place struct {
		key uint64 // the first octets, which settle nearly every comparison
		i   uint32
	}
	n := r.len()
	order := make([]place, n)
	for i := range order {
		var head [8]byte
		copy(head[:], r.serial(i))
		order[i] = place{binary.BigEndian.Uint64(head[:]), uint32(i)}
	}
	less := func(a, b place) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Or(bytes.Compare(r.serial(int(a.i)), r.serial(int(b.i))), r.at(int(a.i)).Since().Compare(r.at(int(b.i)).Since()))
	}
	if !slices.IsSortedFunc(order, less) {
		slices.SortFunc(order, less)
	}
	out := revocations{
		serials: make([]byte, 0, len(r.serials)), starts: make([]uint32, 0, n), times: make([]uint32, 0, n), reasons: make([]Reason, 0, n),
	}
	for _, p := range order {
		i := p.i
		if t, ok := r.invalid[i]; ok {
			if out.invalid == nil {
				out.invalid = map[uint32]int64{}
			}
			out.invalid[uint32(out.len())] = t
		}
		out.starts = append(out.starts, uint32(len(out.serials)))
		out.serials = append(out.serials, r.serial(int(i))...)
		out.times = append(out.times, r.times[i])
		out.reasons = append(out.reasons, r.reasons[i])
	}
	*r = out
}
