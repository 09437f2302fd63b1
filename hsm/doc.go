// Package hsm keeps keys on PKCS#11 tokens at work: it finds and opens tokens, guards their PINs, lends sessions, signs
// digests and checks every signature before it leaves. It also provisions tokens.
package hsm
