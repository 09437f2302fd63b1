// Package xmldsig makes and verifies XML signatures (XMLDSig, WS-Security, XAdES-BES) with GOST keys.
package xmldsig

import (
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Profile says how a signature is made, and what a verifier must find: what it covers, through which transforms, where it
// sits, what KeyInfo holds. Profiles are data: see profiles.go.
type Profile struct {
	Name string
}

// ProfileByName finds a profile; nil when there is none.
func ProfileByName(name string) *Profile { panic("skeleton") }

// Input is what to sign.
type Input struct {
	Document    []byte
	Certificate *gost.Certificate // of the signing key
	Target      string            // Id of the element to sign, where the profile leaves a choice; for a detached signature its URI
	Time        time.Time         // claimed signing time (XAdES); zero leaves it out where optional
	Limits      xmltext.Limits
}

// Prepared is a signature that awaits its value.
type Prepared struct{}

// Prepare checks everything that can be checked before a key is touched. Errors are *report.Error.
func (p *Profile) Prepare(in Input) (*Prepared, error) { panic("skeleton") }

// Digest is what the key must sign: the digest of the canonical SignedInfo, in wire order.
func (p *Prepared) Digest() []byte { panic("skeleton") }

// Complete checks the value (s ‖ r) with the certificate's key and returns the signed document: the caller's octets plus
// insertions.
func (p *Prepared) Complete(signature []byte) ([]byte, error) { panic("skeleton") }

// Policy is what a verifier demands.
type Policy struct {
	Profile *Profile     // nil: recognised from the message (SMEV 3, SMEV 2) or plain XMLDSig
	Trust   *trust.Store // nil: trust is reported as not checked
	Time    time.Time    // when to judge certificates; zero: now
	Content []byte       // content of a detached signature that is not in the document
	Limits  xmltext.Limits
	// Trace, when set, receives the octets that were digested: name is "signature-0/signed-info" or "signature-0/reference-1".
	Trace func(name string, octets []byte)
}

// Verify examines every ds:Signature of the document. The error is nil when it could be examined, whatever the verdict:
// look at the report, or use its Err. Otherwise it is a *report.Error.
func Verify(doc []byte, policy Policy) (*report.Report, error) { panic("skeleton") }
