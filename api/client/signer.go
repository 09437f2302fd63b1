package client

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
)

// Signer is a key of the service as a crypto.Signer. It stays with the version that was primary when it was made.
type Signer struct {
	client *Client
	name   string
	public *gost.PublicKey
	cert   *gost.Certificate
	verify *gost.PreparedKey
}

var _ crypto.MessageSigner = (*Signer)(nil)

// Signer makes one for a key or key version; the caller needs the operations "list" and "sign-digest" on it.
func (c *Client) Signer(ctx context.Context, key string) (*Signer, error) {
	answer, err := c.Keys.GetKey(ctx, &epovpb.GetKeyRequest{Key: key})
	if err != nil {
		return nil, err
	}
	k := answer.GetKey()
	if err := sameKey(key, k.GetName()); err != nil {
		return nil, err
	}
	s := &Signer{client: c, name: k.GetName()}
	if s.public, err = gost.ParsePublicKey(k.GetPublicKey()); err != nil {
		return nil, fmt.Errorf("client: the public key of %s: %w", s.name, err)
	}
	if der := k.GetCertificate(); len(der) > 0 {
		if s.cert, err = gost.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("client: the certificate of %s: %w", s.name, err)
		}
		if !s.public.Equal(s.cert.PublicKey) {
			return nil, fmt.Errorf("client: the certificate of %s is of another key", s.name)
		}
	}
	s.verify = gost.Prepare(s.public)
	return s, nil
}

// Name is the exact key version.
func (s *Signer) Name() string { return s.name }

// Certificate is the key's; nil when it has none yet.
func (s *Signer) Certificate() *gost.Certificate { return s.cert }

// Public returns a *gost.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer as gost.PrivateKey does: digest is Streebog in wire order, of the size that the key asks for
// (Public().(*gost.PublicKey).Algorithm), the result s || r. opts may be nil and must name no hash, as package crypto has no
// number for Streebog; random is not used, the token has its own. The call takes the client's default time; SignContext
// takes a context.
func (s *Signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.SignContext(context.Background(), digest, opts)
}

// SignMessage implements crypto.MessageSigner: it hashes the message with the key's Streebog first.
func (s *Signer) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	h := s.public.Algorithm.Digest.New()
	h.Write(message)
	return s.Sign(random, h.Sum(nil), opts)
}

// SignContext is Sign with a context.
func (s *Signer) SignContext(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts.HashFunc() != 0 {
		return nil, fmt.Errorf("client: hash %v does not belong to %s", opts.HashFunc(), s.public.Algorithm.Name)
	}
	answer, err := s.client.SignDigest(ctx, &epovpb.SignDigestRequest{
		Key: s.name, Digest: digest, DigestAlgorithm: s.public.Algorithm.Digest.Name,
	})
	if err != nil {
		return nil, err
	}
	if err := s.verify.Verify(digest, answer.GetSignature()); err != nil {
		return nil, errors.Join(errors.New("client: the service gave a signature that does not verify"), err)
	}
	return answer.GetSignature(), nil
}
