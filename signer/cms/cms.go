// Package cms makes and verifies CMS SignedData (RFC 5652, RFC 4490), CAdES-BES and CAdES-T (RFC 5126) with GOST keys, and
// verifies time-stamp tokens (RFC 3161) with GOST, RSA and ECDSA keys.
//
// Making is in two steps around the key: [Profile.Prepare] checks everything and yields a digest, the key signs it wherever
// it lives, [Prepared.Complete] checks the signature and assembles the message. What is made is DER, the same octets that
// OpenSSL writes. A finished message takes more: [Merge] further signers, [Countersignature] signatures over a signature,
// [AddTimeStamp] time-stamps, [Attach] its content; what is there keeps its octets.
//
// Contents may be of any size: [Input.Reader] and [Profile.NewStream] sign, [Policy.Reader] and [VerifyStream] verify them
// while they go by, in memory that does not grow with them.
//
// [Verify] reads BER, within [Limits], and is strict where leniency would be guessing: signed attributes must be DER and in
// its order, signatures must have exactly the length of their algorithm, identifiers must belong to the certificate's key,
// nothing may follow the message. It tolerates what cannot mislead: wrong versions, any order of certificates, a
// digestAlgorithms set that misses a digest, parameters of signature algorithms, unsigned attributes it does not know, which
// count for nothing. Time-stamps and countersignatures it knows: they are examined, and must be in order.
package cms

import "encoding/asn1"

// Content types, RFC 5652 sections 4 and 5.1.
var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
)

// Attributes that have a meaning here: RFC 5652 section 11, RFC 5035, RFC 6211.
var (
	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidAlgorithmProtection  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 52}
)
