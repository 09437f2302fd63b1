package signer

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// canaryText begins what a canary signature signs. Nothing else that is signed begins so: canonical XML begins with "<", signed
// attributes of CMS with 0x31; and should somebody present the text as a document of its own, it says what it is. So whoever
// may ask for canary signatures, may have nothing else signed. The words are part of the API's documentation.
const canaryText = "epov canary: this text is no document, and its signature means nothing\n"

// maxNonce bounds what a caller adds to it.
const maxNonce = 64

// Canary says how a canary signature went. There is one only if the signature verified; the signature itself does not leave.
type Canary struct {
	Key       string // exact version
	Algorithm string
	Timings   Timings
	Total     time.Duration
}

// SignCanary has a key sign a text that is no document, with the caller's nonce and octets of our own. It goes the way of every
// other signature: through the caller's quota, the key's queue and the audit log. Needs OpCanary on the key, which needs no
// certificate.
func (s *Service) SignCanary(ctx context.Context, caller *Caller, key string, nonce []byte) (Canary, error) {
	begun := s.now()
	a := &act{caller: caller, op: OpCanary, name: key, octets: len(nonce)}
	out, err := s.sign(ctx, a, false, "", func(key Key) (prepared, error) {
		if len(nonce) > maxNonce {
			return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "nonce"},
				"%d bytes, at most %d go in", len(nonce), maxNonce)
		}
		return newCanary(key.Public(), nonce), nil
	})
	if err != nil {
		return Canary{}, err
	}
	return Canary{Key: out.Key, Algorithm: out.Algorithm, Timings: out.Timings, Total: s.now().Sub(begun)}, nil
}

// canary is a digest whose signature is looked at and dropped.
type canary struct {
	digest []byte
	by     *gost.PublicKey
}

func newCanary(by *gost.PublicKey, nonce []byte) canary {
	h := by.Algorithm.Digest.New()
	own := make([]byte, 32)
	_, _ = rand.Read(own) // never fails
	h.Write([]byte(canaryText))
	h.Write(nonce)
	h.Write(own)
	return canary{h.Sum(nil), by}
}

func (c canary) Digest() []byte     { return c.digest }
func (c canary) Contents() [][]byte { return nil }

func (c canary) CompleteVerified(value gost.Verified) ([]byte, error) {
	if !value.Of(c.by, c.digest) {
		return nil, &report.Error{Code: report.TokenFault, Message: "the canary signature does not verify", Err: errors.New("canary")}
	}
	return nil, nil
}

// Monitor runs f on behalf of a caller who looks at the service's state. Needs OpMonitor.
func (s *Service) Monitor(ctx context.Context, caller *Caller, f func() error) error {
	in, err := s.enter(ctx, caller, OpMonitor, 0)
	if err != nil {
		return err
	}
	defer func() { in.leave(s.now()) }()
	return f()
}

// MayMonitor is nil while a caller may look at the service's state.
func (s *Service) MayMonitor(caller *Caller) error {
	_, err := caller.authorize(right{op: OpMonitor, anyProfile: true})
	return err
}
