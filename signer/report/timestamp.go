package report

import "time"

// TimeStamp is what a time-stamp token says about a signature (RFC 3161).
type TimeStamp struct {
	Place     Place
	Time      time.Time     // when the signature existed at the latest; UTC
	Accuracy  time.Duration // how far off that may be; 0 when not stated
	Policy    string        // identifier of the authority's policy
	Serial    string        // of the token, hexadecimal, upper case
	Digest    string        // identifier of the digest of the imprint
	Algorithm string        // of the authority's key: "gost2012-256", "rsa-2048", "ecdsa-P-256"
	Signer    *Signer       // the authority; nil when its certificate was not found
	Evidence  *Evidence     // what the judgement of its certificate rests on; nil without a certificate
	Trusted   bool          // every check about it passed, so its time counts
}

// StampedTime is the earliest time at which a trusted time-stamp is certain to have seen the signature, otherwise the given
// one: the moment at which the signer's certificate is to be judged. The token was made at the latest at the time stated and
// its accuracy (RFC 3161 section 2.4.2).
func (s *Signature) StampedTime(otherwise time.Time) time.Time {
	at := otherwise
	for _, ts := range s.TimeStamps {
		if latest := ts.Time.Add(ts.Accuracy); ts.Trusted && latest.Before(at) {
			at = latest
		}
	}
	return at
}
