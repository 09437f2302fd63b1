// Package trust decides whether a certificate can be relied upon: it builds a path to a trust anchor and checks it as RFC
// 5280 section 6 says, for GOST certificates and for RSA and ECDSA ones among them.
//
// A path is judged at one moment: signatures with exactly the algorithm of the issuer's key, name chaining, validity, key
// usage, basic constraints with path lengths, name constraints, critical extensions, acceptable keys. What a [Policy]
// demands comes on top: certificate policies, key purposes, accreditation of the CA, and revocation.
//
// # Revocation
//
// Whether a certificate was revoked is asked of [Revocations], which holds CRLs and OCSP responses as data: nothing here
// reaches for the network. What counts is the moment of judgement, which is that of a trusted time-stamp or now: a
// certificate that was revoked later was good then. Evidence may be younger than that moment, but not so young that the
// certificate had expired before it was made, for CAs drop expired certificates from their lists.
package trust

import (
	"encoding/asn1"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Certificates is what a store knows of certificates.
type Certificates struct {
	// Anchors are trusted by configuration only. An anchor may be any certificate: a self-signed CA, of v1 too; an
	// intermediate CA; or the very certificate of a signer, which then is trusted itself but vouches for no other.
	Anchors []*gost.Certificate
	// Intermediates are merely known.
	Intermediates []*gost.Certificate
	// Accredited says for certificates, by their DER, when their CA was accredited. Such a certificate vouches for others at
	// those times only, be it an anchor or not. One that is not named here is not bound by it.
	Accredited map[string][]Period
}

// Period is a time with both ends; a zero To is still to come.
type Period struct{ From, To time.Time }

func (p Period) contains(t time.Time) bool {
	return !t.Before(p.From) && (p.To.IsZero() || !t.After(p.To))
}

// Policy is what a store demands beyond RFC 5280. The zero Policy demands nothing.
type Policy struct {
	Revocation Mode
	// Freshness is how old evidence about revocation may be at the moment of judgement, counted from its thisUpdate; 0: until
	// its nextUpdate. Evidence without nextUpdate, against RFC 5280, counts only under a Freshness.
	Freshness time.Duration
	// Grace is how long evidence still counts after its nextUpdate, so that the work goes on while a CA cannot be reached.
	Grace time.Duration
	// Policies, when not empty, are certificate policies of which the signer's certificate must name one, and under one of
	// which every CA of the path must issue. Policy mappings are not followed.
	Policies []asn1.ObjectIdentifier
	// Purposes, when not empty, are key purposes (extKeyUsage) of which the signer's certificate must name one.
	Purposes []asn1.ObjectIdentifier
	// Accredited demands that the CA that issued the signer's certificate is among Certificates.Accredited.
	Accredited bool
}

// Mode says whether revocation is looked at.
type Mode uint8

const (
	RevocationOff         Mode = iota // not looked at, and the evidence says so
	RevocationIfAvailable             // what is revoked fails; what nothing is known about passes
	RevocationRequired                // what nothing fresh is known about fails too
)

func (m Mode) String() string { return [...]string{"off", "if-available", "required"}[m] }

// Config is what a store is made of.
type Config struct {
	Certificates
	Policy      Policy
	Revocations Revocations      // nil: none are known
	Now         func() time.Time // the clock; nil: time.Now
}

// Store decides about certificates. Safe for concurrent use. A nil *Store trusts nobody and says NotChecked.
type Store struct {
	set         atomic.Pointer[set]
	policy      Policy
	revocations Revocations
	now         func() time.Time
	keys        *gost.KeyCache // of issuers
}

// set is an immutable set of certificates, and what was found out about them.
type set struct {
	anchors    map[string]bool // by DER
	known      map[string][]*gost.Certificate
	accredited map[string][]Period
	members    map[*gost.Certificate]bool // all that are known
	links      links
}

// issuers bounds the issuers whose keys a store keeps prepared, in up to 4 MiB.
const issuers = 64

// New makes a store without a policy.
func New(anchors, intermediates []*gost.Certificate) *Store {
	return NewStore(Config{Certificates: Certificates{Anchors: anchors, Intermediates: intermediates}})
}

// NewStore makes a store.
func NewStore(c Config) *Store {
	s := &Store{policy: c.Policy, revocations: c.Revocations, now: c.Now, keys: gost.NewKeyCache(issuers)}
	if s.now == nil {
		s.now = time.Now
	}
	s.Replace(c.Certificates)
	return s
}

// Replace puts other certificates in the place of all that the store knows. Judgements at work end with the set that they
// began with.
func (s *Store) Replace(c Certificates) {
	n := &set{
		anchors: make(map[string]bool), known: make(map[string][]*gost.Certificate), accredited: c.Accredited,
		members: make(map[*gost.Certificate]bool),
	}
	seen := make(map[string]bool)
	add := func(c *gost.Certificate) {
		if der := string(c.Raw); !seen[der] {
			seen[der] = true
			n.known[string(c.RawSubject)] = append(n.known[string(c.RawSubject)], c)
			n.members[c] = true
		}
	}
	for _, c := range c.Anchors {
		n.anchors[string(c.Raw)] = true
		add(c)
	}
	for _, c := range c.Intermediates {
		add(c)
	}
	s.set.Store(n)
}

// Purpose is what a certificate was used for.
type Purpose uint8

const (
	Documents Purpose = iota // to sign a document, with a GOST key
	// TimeStamping is to sign time-stamps, with a key of any kind. What a policy demands of signers it does not demand of
	// authorities, and that the certificate is for this alone (RFC 3161 section 2.3) is for whoever reads the token.
	TimeStamping
)

// Question asks about a certificate.
type Question struct {
	Certificate *gost.Certificate
	Purpose     Purpose
	Extra       []*gost.Certificate // further ones to build the path from, such as those of the message
	Time        time.Time           // when the certificate was used: of a trusted time-stamp, or now
	Work        *Work               // of the message that asks; nil: each question is bounded alone
}

// Work bounds what all questions about one message may cost together: a hostile message has many signers and time-stamps, each
// with certificates that look like a path and are none. Not safe for concurrent use.
type Work struct{ verified int }

// maxWork is so many signatures of certificates verified for one message; those that are remembered do not count.
const maxWork = 1024

// Judgement is what a store has to say about a certificate.
type Judgement struct {
	Path     []*gost.Certificate // the certificate first, the anchor last; nil when there is no path
	Checks   []report.Check      // one per rule, passed ones too
	Evidence *report.Evidence    // never nil
}

// Check is Judge for a certificate that signed a document.
func (s *Store) Check(leaf *gost.Certificate, extra []*gost.Certificate, at time.Time) Judgement {
	return s.Judge(Question{Certificate: leaf, Extra: extra, Time: at})
}

// Judge judges a certificate. Checks are CertKey, CertTime, CertUsage, CertKeyPeriod and CertExtension about the certificate
// itself and CertPath about everything above it; CertPolicy when policies are demanded; CertRevoked and CertRevocation when
// revocation is looked at.
func (s *Store) Judge(q Question) Judgement {
	leaf, at := q.Certificate, q.Time
	var policy Policy
	if s != nil {
		policy = s.policy
	}
	j := Judgement{Checks: append(make([]report.Check, 0, 8),
		checkKey(leaf, q.Purpose),
		checkTime(leaf, at),
		checkUsage(leaf, q.Purpose, policy.Purposes),
		checkKeyPeriod(leaf, at),
		checkExtensions(leaf),
	)}
	path, check := s.checkPath(q)
	j.Path, j.Checks = path, append(j.Checks, check)
	j.Evidence = s.evidence(leaf, path, at)
	if s == nil {
		return j
	}
	if q.Purpose == Documents && len(policy.Policies) > 0 {
		j.Checks = append(j.Checks, checkPolicies(path, policy.Policies))
	}
	if policy.Revocation != RevocationOff {
		j.Checks = append(j.Checks, s.checkRevocation(path, at, j.Evidence)...)
	}
	return j
}

func (s *Store) evidence(leaf *gost.Certificate, path []*gost.Certificate, at time.Time) *report.Evidence {
	if s == nil {
		return &report.Evidence{Time: at, Revocation: RevocationOff.String(), Path: []report.PathCertificate{show(leaf)}}
	}
	e := &report.Evidence{Time: at, Revocation: s.policy.Revocation.String()}
	if path == nil {
		e.Path = []report.PathCertificate{show(leaf)}
		return e
	}
	e.Path = make([]report.PathCertificate, len(path))
	for i, c := range path {
		e.Path[i] = show(c)
	}
	e.Path[len(path)-1].Anchor = true
	return e
}

func show(c *gost.Certificate) report.PathCertificate {
	return report.PathCertificate{Subject: c.SubjectString(), Serial: c.SerialString(), Fingerprint: c.FingerprintString()}
}

// Signer says in a report whose a certificate is. Certificate is c.Raw itself, which is not to be changed.
func Signer(c *gost.Certificate) *report.Signer {
	return &report.Signer{
		Subject: c.SubjectString(), Issuer: c.IssuerString(), Serial: c.SerialString(),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Fingerprint: c.FingerprintString(), Certificate: c.Raw,
	}
}
