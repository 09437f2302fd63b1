// Package testpki issues GOST certificates for tests with keys in software.
package testpki

import (
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
)

// CA issues certificates.
type CA struct {
	Certificate *gost.Certificate
	Key         *gost.PrivateKey
}

// Template says what to issue; the zero value of a field means its default.
type Template struct {
	CommonName          string        // default "Test"
	NotBefore, NotAfter time.Time     // default: an hour ago, a year ahead
	KeyUsage            gost.KeyUsage // default digitalSignature and contentCommitment
	CA                  bool
}

// NewCA makes a self-signed CA.
func NewCA(tb testing.TB, a *gost.Algorithm, params string) *CA { panic("skeleton") }

// Issue issues a certificate for a public key, such as one on a token.
func (ca *CA) Issue(tb testing.TB, key *gost.PublicKey, t Template) *gost.Certificate {
	panic("skeleton")
}

// NewSigner makes a key and its certificate.
func (ca *CA) NewSigner(tb testing.TB, a *gost.Algorithm, params string, t Template) (*gost.PrivateKey, *gost.Certificate) {
	panic("skeleton")
}
