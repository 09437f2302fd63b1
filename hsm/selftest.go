package hsm

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/epov-signer/epov/gost"
)

// selfTest has a key sign random octets, and verifies: this decides on the order of octets, the curve and the key.
func (r reader) selfTest(p pair, id string) error {
	digest := make([]byte, p.public.Algorithm.Digest.Size)
	_, _ = rand.Read(digest) // never fails
	signature, err := r.sign(p, digest)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if err := p.public.Verify(digest, signature); err != nil {
		return wrongSignature(id, err, p.public, digest, signature)
	}
	return nil
}

// wrongSignature is the error about a signature that did not verify.
func wrongSignature(id string, err error, public *gost.PublicKey, digest, signature []byte) *Error {
	return &Error{Kind: WrongSignature, Op: fmt.Sprintf("check a signature of key %q", id),
		Err: errors.Join(err, errors.New(nameFault(public, digest, signature)))}
}

// nameFault looks for the known ways in which a module may deviate, only to give the operator a name for it.
func nameFault(key *gost.PublicKey, digest, signature []byte) string {
	if len(signature) != key.Algorithm.SignatureSize() {
		return fmt.Sprintf("the token gave %d octets instead of %d", len(signature), key.Algorithm.SignatureSize())
	}
	reversed := func(b []byte) []byte { b = bytes.Clone(b); slices.Reverse(b); return b }
	half := len(signature) / 2
	first, second := signature[:half], signature[half:]
	for _, form := range []struct {
		name      string
		signature []byte
	}{
		{"the token gives r ‖ s instead of s ‖ r", slices.Concat(second, first)},
		{"the token gives the whole signature reversed", reversed(signature)},
		{"the token gives each half of the signature reversed", slices.Concat(reversed(first), reversed(second))},
	} {
		if key.Verify(digest, form.signature) == nil {
			return form.name
		}
	}
	if key.Verify(reversed(digest), signature) == nil {
		return "the token takes the digest in reversed order"
	}
	return fmt.Sprintf("the token signs with another key or on another curve than %s", key.Params.Name)
}
