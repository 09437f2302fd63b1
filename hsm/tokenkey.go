package hsm

import (
	"context"
	"fmt"

	"github.com/epov-signer/epov/gost"
)

// TokenKey is a GOST private key on a [Token], for the little that is signed while keys are made ready: requests for
// certificates and tests. Safe for concurrent use.
type TokenKey struct {
	token       *Token
	id          string
	public      *gost.PublicKey
	certificate *gost.Certificate
}

// Key finds a key by the text of its CKA_ID and proves it: the token signs random octets, and the signature must verify
// under the public key. One that does not is refused with its fault named; nothing is adapted to it.
//
// A 256-bit key without a certificate is taken for GOST R 34.10-2012; a certificate says itself what it is for.
func (t *Token) Key(ctx context.Context, id string) (*TokenKey, error) {
	if err := checkID(id); err != nil {
		return nil, t.fail("find the key", err, Invalid)
	}
	var k *TokenKey
	err := t.withSession(ctx, fmt.Sprintf("find key %q", id), func(s session) error {
		r := t.reader(ctx, s.handle)
		p, err := r.pair(id)
		if err != nil {
			return err
		}
		if err := r.selfTest(p, id); err != nil {
			return err
		}
		k = &TokenKey{token: t, id: id, public: p.public, certificate: p.certificate}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// ID is the text of CKA_ID.
func (k *TokenKey) ID() string { return k.id }

// Public is the key that every signature is checked with.
func (k *TokenKey) Public() *gost.PublicKey { return k.public }

// Certificate is the one on the token under the same id; nil when there is none.
func (k *TokenKey) Certificate() *gost.Certificate { return k.certificate }

// SignDigest signs a digest of exactly Public().Algorithm.Digest.Size octets, in the order the hash emits them, and returns
// s ‖ r, each half big-endian. The signature has been verified with Public. When ctx ends the call returns, though a call of
// the module may go on behind it.
func (k *TokenKey) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	if err := checkDigest(k.public, digest); err != nil {
		return nil, k.token.fail("sign", err, Invalid)
	}
	digest = append([]byte(nil), digest...) // the call may outlive this one
	var signature []byte
	err := k.token.withSession(ctx, "sign", func(s session) error {
		r := k.token.reader(ctx, s.handle)
		p, err := r.pair(k.id)
		if err != nil {
			return err
		}
		out, err := r.sign(p, digest)
		if err != nil {
			return err
		}
		if err := k.public.Verify(digest, out); err != nil {
			return wrongSignature(k.id, err, k.public, digest, out)
		}
		signature = out
		return nil
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

func checkDigest(public *gost.PublicKey, digest []byte) error {
	if want := public.Algorithm.Digest.Size; len(digest) != want {
		return &Error{Kind: Invalid, Op: "sign",
			Err: fmt.Errorf("the digest has %d octets, %s takes %d", len(digest), public.Algorithm.Name, want)}
	}
	return nil
}
