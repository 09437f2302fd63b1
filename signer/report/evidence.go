package report

import "time"

// Evidence is what the answer about a certificate rests on.
type Evidence struct {
	Time       time.Time         // the moment at which the certificates were judged
	Revocation string            // what the policy says of it: "off" (it was not looked at), "if-available" or "required"
	Path       []PathCertificate // the signer's first, the trust anchor last; only the signer's when there is no path
}

// PathCertificate is one certificate of a path.
type PathCertificate struct {
	Subject     string // RFC 4514 string
	Serial      string // hexadecimal, upper case
	Fingerprint string // Streebog-256 of the DER, hexadecimal
	Anchor      bool
	Revocation  *Revocation // what said whether it was revoked; nil: nothing did, or nobody asked
}

// Revocation is the CRL or OCSP response that said whether a certificate was revoked.
type Revocation struct {
	Kind       string    // "crl", "delta-crl" (with its base) or "ocsp"
	Source     string    // the file or address it came from
	Issuer     string    // who signed it, RFC 4514 string
	Number     string    // cRLNumber, hexadecimal, upper case; empty when absent and for OCSP
	ThisUpdate time.Time // of what it says
	NextUpdate time.Time // zero when absent
	Revoked    bool      // at Evidence.Time
	// RevokedAt is when the certificate was revoked, or became invalid by invalidityDate when that is earlier; zero when it
	// is not listed. After Evidence.Time the signature was made before, and Revoked is false.
	RevokedAt time.Time
	Reason    string // CRLReason as RFC 5280 section 5.3.1 names it; empty when not given
}
