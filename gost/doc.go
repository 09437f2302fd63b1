// Package gost implements the Russian signature standards as X.509, CMS and XMLDSig use them: GOST R 34.10-2001 and
// 34.10-2012 with their hashes and keys, and the forms of X.509 around them: certificates, certification requests, CRLs and
// OCSP.
//
// An [Algorithm] is a kind of key with its digest and identifiers, a [ParamSet] its curve; both are looked up by the names and
// identifiers of the standards, and an unknown one is nil. A [PublicKey] verifies s ‖ r over a digest, both in wire order;
// [PreparedKey] and [KeyCache] make that faster for keys that come again, [VerifyBatch] for several signatures at once. A [Verified]
// is a signature that has been verified: nothing else makes one. A [PrivateKey] is in software, for tests and tools.
//
// What is parsed keeps its octets and has bounds. Arithmetic has a portable form, and faster ones that are chosen by what the
// processor can do; [SelfTest] holds those in use against known answers.
package gost
