// Package hsm keeps keys on PKCS#11 tokens at work: it finds and opens tokens, guards their PINs, signs digests, checks every
// signature before it leaves, and puts right what can be put right. It also provisions tokens, and [Examine] says what is
// wrong with them.
//
// [Start] takes tokens and keys into service; [Scheduler.Submit] is then all there is to it. Hashing is the caller's: the
// token gets the 32 or 64 octets that the hash emits, by CKM_GOSTR3410 or CKM_GOSTR3410_512 without a parameter, and gives
// s ‖ r in big-endian halves, the form that X.509, CMS and XMLDSig carry. A [Token] is another thing: one token in the hands
// of an officer or a tool.
//
// What it promises:
//   - A signature leaves only if it verifies under the public key; one that does not takes the key out of service there.
//   - A PIN that the token refused is not sent again, however often the process starts; the last try is never spent.
//   - Nothing is chosen by accident: two tokens of one label, two keys of one id, are refused.
//   - A session that met an error is closed; a handle is used only in the login in which it was found.
//   - A request that was admitted ends with a signature or with an error that says why not, by the end of its context.
//   - A module runs in a process of its own unless that is turned off; a program calls [WorkerMain] first of all for it.
//   - A C call in this process cannot be cancelled: a context that ends frees the caller, and the session stays taken until
//     the call returns. A module is finalised only when no call is under way.
//
// After a module was loaded into this process it must not fork without exec: modules do not survive it.
package hsm
