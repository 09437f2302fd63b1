// Package cms makes and verifies CMS SignedData (RFC 5652, RFC 4490) and CAdES-BES (RFC 5126) with GOST keys.
package cms

import (
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Profile is the shape of a message that we make.
type Profile struct {
	Name     string // "pkcs7-detached", "pkcs7-attached", "cades-bes-detached", "cades-bes-attached"
	Detached bool
	CAdES    bool // add signingCertificateV2
}

// Profiles is the whole list.
var Profiles []*Profile

// ProfileByName finds a profile; nil when there is none.
func ProfileByName(name string) *Profile { panic("skeleton") }

// Input is what to sign.
type Input struct {
	Content     []byte
	Digest      []byte // instead of Content, for detached profiles: digest of the content with the key's hash, wire order
	Certificate *gost.Certificate
	Chain       []*gost.Certificate // further certificates to include; the root is left out
	Time        time.Time           // signingTime
}

// Prepared is a message that awaits its signature.
type Prepared struct{}

// Prepare checks everything that can be checked before a key is touched. Errors are *report.Error.
func (p *Profile) Prepare(in Input) (*Prepared, error) { panic("skeleton") }

// Digest is what the key must sign, in wire order.
func (p *Prepared) Digest() []byte { panic("skeleton") }

// Complete checks the signature (s ‖ r) with the certificate's key and returns the DER message.
func (p *Prepared) Complete(signature []byte) ([]byte, error) { panic("skeleton") }

// Policy is what a verifier demands.
type Policy struct {
	Trust        *trust.Store        // nil: trust is reported as not checked
	Time         time.Time           // when to judge certificates; zero: now
	Certificates []*gost.Certificate // to look for signers in, besides the message's own
	Detached     bool                // Content is the content of a detached signature (which may be empty)
	Content      []byte
	Limits       Limits
	// Trace, when set, receives the octets that were digested: name is "signer-0/signed-attributes" or "signer-0/content".
	Trace func(name string, octets []byte)
}

// Limits bound what a message may hold. The zero value of a field means its default.
type Limits struct {
	Size    int // octets of the message, default 256 MiB
	Depth   int // nesting, default 16
	Signers int // default 64
}

// Verify examines every SignerInfo. The error is nil when the message could be examined, whatever the verdict. Otherwise it
// is a *report.Error.
func Verify(message []byte, policy Policy) (*report.Report, error) { panic("skeleton") }
