// Package trust decides whether a certificate can be relied upon: it builds a path to a trust anchor and checks it as RFC
// 5280 section 6 says for GOST certificates.
package trust

import (
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Store holds trust anchors, which are trusted by configuration only, and intermediates, which are merely known. Immutable,
// safe for concurrent use. A nil *Store trusts nobody and says NotChecked.
type Store struct{}

// New makes a store.
func New(anchors, intermediates []*gost.Certificate) *Store { panic("skeleton") }

// Check judges a certificate that signed a document at time at, with further certificates from the message to build the
// path from. It returns the path, leaf first, nil when there is none, and one check per rule (report.Cert*): time, key
// usage, key period, critical extensions, path.
func (s *Store) Check(leaf *gost.Certificate, extra []*gost.Certificate, at time.Time) ([]*gost.Certificate, []report.Check) {
	panic("skeleton")
}
