// Package client calls epovd: mutual TLS with certificates that are exchanged while it runs, several equal daemons balanced
// and watched, deadlines, repeated calls that never sign twice by accident, and errors with a stable reason.
//
//	c, err := client.Dial(client.Config{
//		Addresses: []string{"epovd-1.example:8443", "epovd-2.example:8443"},
//		TLS:       client.Files("client.pem", "client.key", "daemons-ca.pem"),
//	})
//	signed, err := c.SignSMEV3(ctx, "keys/EXMP01/ov", message)
//
// Repeating. A call is made again only where that can help and cannot harm: the service has said so (RetryInfo), or the
// connection broke and the call either changes nothing or carries a request id. The helpers of [Client] give every request
// without an id one, which all its repetitions share, so that the service answers a repetition with the stored signature.
// Whoever sends the same request message again, after a crash of his own for instance, sends the same id again.
//
// What is checked. Every answer must name a version of the key that was asked for. Signatures of [Signer] are verified with
// the public key before they are handed out.
//
// A [Client], a [Signer] and a batch are safe for concurrent use.
package client
