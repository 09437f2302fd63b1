package tsl

import (
	"errors"
	"fmt"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// ErrUnsigned says that a list carries no signature at all.
var ErrUnsigned = errors.New("tsl: the list is not signed")

// Verify checks that the whole list is covered by an enveloped signature of a signer that the store trusts, and returns the
// signer's certificate. With a nil store it names the signer of a sound signature, whoever that is, for a person to decide.
// The error is ErrUnsigned when there is no signature.
func Verify(doc []byte, signers *trust.Store, at time.Time) (*gost.Certificate, error) {
	r, err := xmldsig.Verify(doc, xmldsig.Policy{
		Profile: xmldsig.ProfileByName("enveloped"), Trust: signers, Time: at, Limits: xmltext.Limits{Size: MaxSize},
	})
	if err != nil {
		return nil, fmt.Errorf("tsl: %w", err)
	}
	if len(r.Signatures) == 0 {
		return nil, ErrUnsigned
	}
	verdict := r.Verdict()
	if signers == nil {
		verdict = r.Integrity()
	}
	if verdict != report.Valid || len(r.Signatures) != 1 || r.Signatures[0].Signer == nil {
		for _, f := range r.Failures() {
			return nil, fmt.Errorf("tsl: the signature of the list is %s: %s: %s", verdict, f.Code, f.Message)
		}
		return nil, fmt.Errorf("tsl: the signature of the list is %s, or it is not the only one", verdict)
	}
	return gost.ParseCertificate(r.Signatures[0].Signer.Certificate)
}
