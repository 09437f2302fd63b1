// Package hsm keeps keys on PKCS#11 tokens at work: it finds and opens tokens, guards their PINs, lends sessions, signs
// digests and checks every signature before it leaves. It also provisions tokens.
//
// Open finds a token by label or serial and logs in once. Key finds a GOST R 34.10 key by the text of its CKA_ID and proves
// it; SignDigest is then all there is to it. Hashing is the caller's: the token gets the 32 or 64 octets that the hash
// emits, by CKM_GOSTR3410 or CKM_GOSTR3410_512 without a parameter, and gives s ‖ r in big-endian halves, the form that
// X.509, CMS and XMLDSig carry.
//
// What it promises:
//   - A signature leaves only if it verifies under the public key; one that does not takes the key out of service.
//   - A PIN that the token refused is not sent again, however often the process starts; the last try is never spent.
//   - Nothing is chosen by accident: two tokens of one label, two keys of one id, are refused.
//   - A session that met an error is closed; a handle is used only in the login in which it was found.
//   - A C call cannot be cancelled: a context that ends frees the caller, and the session stays taken until the call returns.
//     The module is finalised only when no call is under way.
//
// After Open the process must not fork without exec: modules do not survive it.
package hsm
