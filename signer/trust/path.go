package trust

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// A hostile message may bring many certificates of one name; the search ends at these limits.
const (
	maxPath       = 10 // certificates, leaf and anchor included
	maxSignatures = 64 // signatures verified for one leaf
	maxExtra      = 64 // certificates of a message that are considered
)

// checkPath looks for a path from leaf to an anchor. When there is none, the message tells about the attempt that came
// furthest.
func (s *Store) checkPath(q Question) ([]*gost.Certificate, report.Check) {
	check := report.Check{Code: report.CertPath}
	if s == nil {
		check.Status, check.Message = report.NotChecked, "no trust anchors are configured"
		return nil, check
	}
	search := &search{
		store: s, set: s.set.Load(), extra: q.Extra[:min(len(q.Extra), maxExtra)], at: q.Time, budget: maxSignatures,
		accredited: s.policy.Accredited && q.Purpose == Documents, work: q.Work,
	}
	if search.work == nil {
		search.work = new(Work)
	}
	path := search.extend([]*gost.Certificate{q.Certificate})
	if path == nil {
		check.Status, check.Message = report.Failed, "no path to a trust anchor: "+search.reason
		return nil, check
	}
	if len(path) == 1 {
		check.Message = "the certificate itself is a trust anchor"
		return path, check
	}
	anchor := path[len(path)-1]
	check.Message = fmt.Sprintf("the path of %d certificates ends at the trust anchor %s", len(path), anchor.SubjectString())
	return path, check
}

// search is one depth-first search for a path.
type search struct {
	store  *Store
	set    *set
	extra  []*gost.Certificate
	at     time.Time
	budget int // signatures that may still be verified
	work   *Work

	accredited bool // the issuer of the first certificate must be

	reason   string // why the attempt that came furthest failed
	progress int
}

// fail notes why an attempt failed. depth is the length of the path that held; a link whose signature is right says more
// than one whose signature is wrong, and that more than a missing issuer. What is not told is not put into words: names may
// be long, and attempts many.
func (s *search) fail(depth, strength int, format string, args ...any) {
	if p := depth*10 + strength; s.reason == "" || p > s.progress {
		s.reason, s.progress = fmt.Sprintf(format, args...), p
	}
}

// extend returns a whole path that begins with path, whose links are all sound, or nil.
func (s *search) extend(path []*gost.Certificate) []*gost.Certificate {
	last := path[len(path)-1]
	if s.set.anchors[string(last.Raw)] {
		if err := s.whole(path); err != nil {
			s.fail(len(path), 8, "%v", err)
			return nil
		}
		return path
	}
	if len(path) == maxPath {
		s.fail(len(path), 1, "it would be longer than %d certificates", maxPath)
		return nil
	}
	found := false
	for _, issuer := range s.candidates(last) {
		if slices.ContainsFunc(path, sameHolder(issuer)) {
			continue
		}
		found = true
		if s.budget == 0 {
			s.fail(len(path), 9, "not found within %d signatures", maxSignatures)
			return nil
		}
		s.budget--
		if err := s.set.check(last.Fingerprint(), issuer, func() error { return s.verify(last, issuer) }); err != nil {
			s.fail(len(path), 1, "%v, issued by %s: %v", titled(path), issuer.Subject, err)
			continue
		}
		if err := s.mayIssue(issuer, path); err != nil {
			s.fail(len(path), 5, "%v, issued by %s: the issuer %v", titled(path), issuer.Subject, err)
			continue
		}
		if whole := s.extend(append(slices.Clone(path), issuer)); whole != nil {
			return whole
		}
	}
	switch {
	case found:
	case last.SelfIssued():
		s.fail(len(path), 0, "%v is self-signed and no trust anchor", titled(path))
	default:
		s.fail(len(path), 0, "the issuer of %v is not known: %s", titled(path), last.Issuer)
	}
	return nil
}

func (s *search) verify(c, issuer *gost.Certificate) error {
	if s.work.verified++; s.work.verified > maxWork {
		return fmt.Errorf("not looked at: %d signatures of certificates were verified for this message", maxWork)
	}
	return s.store.keys.CheckSignature(c, issuer)
}

// whole checks what takes a whole path to be checked.
func (s *search) whole(path []*gost.Certificate) error {
	if err := checkNames(path); err != nil {
		return err
	}
	if s.accredited && len(path) > 1 {
		if _, listed := s.set.accredited[string(path[1].Raw)]; !listed {
			return fmt.Errorf("the issuer %s is in no list of accredited CAs", path[1].Subject)
		}
	}
	_, err := policies(path)
	return err
}

func same(c *gost.Certificate) func(*gost.Certificate) bool {
	return func(d *gost.Certificate) bool { return bytes.Equal(c.Raw, d.Raw) }
}

// title names the last certificate of a path for a message.
func title(path []*gost.Certificate) string {
	if len(path) == 1 {
		return "the signer's certificate"
	}
	return "the certificate of " + path[len(path)-1].Subject.String()
}

// titled is a path that says title when it is put into words.
type titled []*gost.Certificate

func (t titled) String() string { return title(t) }

// candidates lists the certificates whose subject is the issuer of c, the likeliest first. The authority key identifier
// does no more than order them (RFC 5280 section 4.2.1.1): the signature decides.
func (s *search) candidates(c *gost.Certificate) []*gost.Certificate {
	list := slices.Clone(s.set.known[string(c.RawIssuer)])
	for _, x := range s.extra {
		if bytes.Equal(x.RawSubject, c.RawIssuer) && !slices.ContainsFunc(list, same(x)) {
			list = append(list, x)
		}
	}
	slices.SortStableFunc(list, func(a, b *gost.Certificate) int { return s.rank(c, a) - s.rank(c, b) })
	return list
}

func (s *search) rank(c, issuer *gost.Certificate) int {
	r := 0
	if !s.set.anchors[string(issuer.Raw)] {
		r++
	}
	if len(c.AuthorityKeyID) > 0 && !bytes.Equal(c.AuthorityKeyID, issuer.SubjectKeyID) {
		r += 2
	}
	return r
}

// sameHolder recognises a name with a key that is on the path already; going through it again would be a loop.
func sameHolder(c *gost.Certificate) func(*gost.Certificate) bool {
	return func(d *gost.Certificate) bool {
		return bytes.Equal(c.RawSubject, d.RawSubject) && bytes.Equal(c.RawSubjectPublicKeyInfo, d.RawSubjectPublicKeyInfo)
	}
}

// mayIssue checks that issuer was entitled to sign the last certificate of path (RFC 5280 section 6.1.4).
func (s *search) mayIssue(issuer *gost.Certificate, path []*gost.Certificate) error {
	anchor := s.set.anchors[string(issuer.Raw)]
	if why := outside(s.at, issuer.NotBefore, issuer.NotAfter); why != "" {
		return errors.New(why)
	}
	if periods, listed := s.set.accredited[string(issuer.Raw)]; listed &&
		!slices.ContainsFunc(periods, func(p Period) bool { return p.contains(s.at) }) {
		return fmt.Errorf("was not accredited at %s", stamp(s.at))
	}
	switch {
	case len(issuer.UnknownCritical) > 0:
		return fmt.Errorf("has a critical extension that is not understood: %v", issuer.UnknownCritical)
	case issuer.Version < 3 && !anchor:
		return fmt.Errorf("is a v%d certificate, which is no CA unless it is the anchor", issuer.Version)
	case issuer.Version == 3 && !issuer.HasBasicConstraints:
		return errors.New("has no basicConstraints, so it is no CA")
	case issuer.Version == 3 && !issuer.IsCA:
		return errors.New("is no CA: basicConstraints say cA FALSE")
	case issuer.HasKeyUsage && issuer.KeyUsage&gost.UsageCertSign == 0:
		return errors.New("may not sign certificates: its key usage lacks keyCertSign")
	}
	below := 0 // intermediates between the issuer and the leaf, self-issued ones not counted
	for _, c := range path[1:] {
		if !c.SelfIssued() {
			below++
		}
	}
	if issuer.MaxPathLen >= 0 && below > issuer.MaxPathLen {
		return fmt.Errorf("allows %d CAs below it (pathLenConstraint), here are %d", issuer.MaxPathLen, below)
	}
	return nil
}
