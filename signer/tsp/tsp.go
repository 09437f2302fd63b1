// Package tsp asks time-stamping authorities for tokens: the requests and responses of RFC 3161 over HTTP, a [Client] with
// bounds that tries several authorities, and a small [Authority] for tests and demonstrations. Tokens themselves belong to
// package cms.
package tsp

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Request is TimeStampReq (RFC 3161 section 2.4.1).
type Request struct {
	Digest       asn1.ObjectIdentifier // that made Imprint
	Imprint      []byte
	Policy       asn1.ObjectIdentifier // nil: any
	Nonce        *big.Int              // nil: none
	Certificates bool                  // the token shall hold the authority's certificate
}

// Media types, RFC 3161 section 3.4.
const (
	mediaQuery = "application/timestamp-query"
	mediaReply = "application/timestamp-reply"
)

// Bounds of what is read, in octets.
const (
	maxRequest  = 4 << 10
	maxResponse = 1<<20 + 4<<10
	maxNonce    = 64
)

// Marshal returns DER.
func (r *Request) Marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(r.Digest)
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(r.Imprint)
		})
		if r.Policy != nil {
			b.AddASN1ObjectIdentifier(r.Policy)
		}
		if r.Nonce != nil {
			b.AddASN1BigInt(r.Nonce)
		}
		if r.Certificates {
			b.AddASN1Boolean(true)
		}
	})
	return b.Bytes()
}

// Errors of [ParseRequest] that an authority answers with a failure of its own.
var (
	errRequest   = errors.New("tsp: not a TimeStampReq in DER")
	errVersion   = errors.New("tsp: the version of the request is not 1")
	errExtension = errors.New("tsp: extensions of requests are not understood")
)

// ParseRequest reads DER with nothing after it.
func ParseRequest(der []byte) (*Request, error) {
	in := cryptobyte.String(der)
	var body, imprint, algorithm cryptobyte.String
	var version int64
	r := new(Request)
	if len(der) > maxRequest || !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Integer(&version) {
		return nil, errRequest
	}
	if version != 1 {
		return nil, errVersion
	}
	if !body.ReadASN1(&imprint, cbasn1.SEQUENCE) || !imprint.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&r.Digest) || !imprint.ReadASN1Bytes(&r.Imprint, cbasn1.OCTET_STRING) || !imprint.Empty() {
		return nil, errRequest
	}
	if body.PeekASN1Tag(cbasn1.OBJECT_IDENTIFIER) && !body.ReadASN1ObjectIdentifier(&r.Policy) {
		return nil, errRequest
	}
	if body.PeekASN1Tag(cbasn1.INTEGER) {
		r.Nonce = new(big.Int)
		if !body.ReadASN1Integer(r.Nonce) || r.Nonce.BitLen() > maxNonce*8 {
			return nil, errRequest
		}
	}
	if body.PeekASN1Tag(cbasn1.BOOLEAN) && !body.ReadASN1Boolean(&r.Certificates) {
		return nil, errRequest
	}
	if body.PeekASN1Tag(cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return nil, errExtension
	}
	if !body.Empty() {
		return nil, errRequest
	}
	return r, nil
}

// Status is PKIStatus (RFC 3161 section 2.4.2).
type Status int

const (
	Granted Status = iota
	GrantedWithMods
	Rejection
	Waiting
	RevocationWarning
	RevocationNotification
)

var statusNames = []string{"granted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification"}

func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status %d", int(s))
	}
	return statusNames[s]
}

// Failure is a bit of PKIFailureInfo (RFC 3161 section 2.4.2).
type Failure int

const (
	NoFailure           Failure = -1
	BadAlg              Failure = 0
	BadRequest          Failure = 2
	BadDataFormat       Failure = 5
	TimeNotAvailable    Failure = 14
	UnacceptedPolicy    Failure = 15
	UnacceptedExtension Failure = 16
	AddInfoNotAvailable Failure = 17
	SystemFailure       Failure = 25
)

var failureNames = map[Failure]string{
	BadAlg: "badAlg", BadRequest: "badRequest", BadDataFormat: "badDataFormat", TimeNotAvailable: "timeNotAvailable",
	UnacceptedPolicy: "unacceptedPolicy", UnacceptedExtension: "unacceptedExtension", AddInfoNotAvailable: "addInfoNotAvailable",
	SystemFailure: "systemFailure",
}

func (f Failure) String() string {
	if name := failureNames[f]; name != "" {
		return name
	}
	if f == NoFailure {
		return "no failure"
	}
	return fmt.Sprintf("failure %d", int(f))
}

// Response is TimeStampResp (RFC 3161 section 2.4.2).
type Response struct {
	Status  Status
	Text    string  // what the authority adds, for people; at most 256 octets, printable
	Failure Failure // NoFailure when not stated
	Token   []byte  // nil when there is none
}

// Marshal returns DER.
func (r *Response) Marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(int64(r.Status))
			if r.Text != "" {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(r.Text)) })
				})
			}
			if r.Failure != NoFailure {
				octets := make([]byte, r.Failure/8+1)
				octets[r.Failure/8] = 0x80 >> (r.Failure % 8)
				b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
					b.AddUint8(uint8(7 - r.Failure%8)) // a named bit list: no zero bits at its end
					b.AddBytes(octets)
				})
			}
		})
		b.AddBytes(r.Token)
	})
	return b.Bytes()
}

// ParseResponse reads DER with nothing after it; the token in it is not read.
func ParseResponse(der []byte) (*Response, error) {
	bad := errors.New("tsp: not a TimeStampResp in DER")
	in := cryptobyte.String(der)
	var body, status, token cryptobyte.String
	var n int64
	if len(der) > maxResponse || !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1(&status, cbasn1.SEQUENCE) ||
		!status.ReadASN1Integer(&n) || n < 0 || n > 255 {
		return nil, bad
	}
	r := &Response{Status: Status(n), Failure: NoFailure}
	if status.PeekASN1Tag(cbasn1.SEQUENCE) {
		var list, text cryptobyte.String
		if !status.ReadASN1(&list, cbasn1.SEQUENCE) {
			return nil, bad
		}
		if list.ReadASN1(&text, cbasn1.UTF8String) {
			r.Text = printable(string(text))
		}
	}
	if status.PeekASN1Tag(cbasn1.BIT_STRING) {
		var bits asn1.BitString
		if !status.ReadASN1BitString(&bits) || bits.BitLength > 256 {
			return nil, bad
		}
		for i := range bits.BitLength {
			if bits.At(i) == 1 {
				r.Failure = Failure(i)
				break
			}
		}
	}
	if !status.Empty() {
		return nil, bad
	}
	if !body.Empty() {
		if !body.ReadASN1Element(&token, cbasn1.SEQUENCE) || !body.Empty() {
			return nil, bad
		}
		r.Token = token
	}
	return r, nil
}

// printable is what of a text may be shown.
func printable(s string) string {
	const most = 256
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7F || c == utf8.RuneError {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, " "))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
