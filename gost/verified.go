package gost

// Verified is a signature that has been verified: whoever is given one knows that it is good without verifying it again. Nothing
// makes one but verifying, so it tells the truth wherever it comes from. The zero value is no signature. Immutable.
type Verified struct {
	key               *PublicKey
	digest, signature string
}

// Prove is Verify, and returns the signature as one that has been verified. Both arguments are copied before they are looked at.
func (k *PublicKey) Prove(digest, signature []byte) (Verified, error) {
	var room [192]byte
	own := append(append(room[:0], digest...), signature...)
	if err := k.Verify(own[:len(digest)], own[len(digest):]); err != nil {
		return Verified{}, err
	}
	return evidence(k, own, len(digest)), nil
}

// Prove is PublicKey.Prove, faster.
func (k *PreparedKey) Prove(digest, signature []byte) (Verified, error) {
	var room [192]byte
	own := append(append(room[:0], digest...), signature...)
	if err := k.Verify(own[:len(digest)], own[len(digest):]); err != nil {
		return Verified{}, err
	}
	return evidence(k.public, own, len(digest)), nil
}

// evidence takes the digest and the signature that follows it.
func evidence(k *PublicKey, both []byte, digest int) Verified {
	all := string(both)
	return Verified{k, all[:digest], all[digest:]}
}

// Signature returns s ‖ r, each half big-endian; nil of the zero value.
func (v Verified) Signature() []byte {
	if v.key == nil {
		return nil
	}
	return []byte(v.signature)
}

// Of reports whether it is a signature over this digest, in the order the hash emits it, that this key verifies.
func (v Verified) Of(k *PublicKey, digest []byte) bool {
	return v.key != nil && k != nil && (v.key == k || v.key.Equal(k)) && v.digest == string(digest)
}
