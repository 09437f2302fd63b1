package gost

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// hashAnswers are example M1 of RFC 6986 section 10.1, in wire order, and the usual example of GOST R 34.11-94, 50
// octets, with the CryptoPro S-box.
var hashAnswers = []struct {
	digest       *Digest
	message, hex string
}{
	{Streebog256, "012345678901234567890123456789012345678901234567890123456789012",
		"9d151eefd8590b89daa6ba6cb74af9275dd051026bb149a452fd84e5e57b5500"},
	{Streebog512, "012345678901234567890123456789012345678901234567890123456789012",
		"1b54d01a4af5b9d5cc3d86d68d285462b19abc2475222f35c085122be4ba1ffa00ad30f8767b3a82384c6574f024c311" +
			"e2a481332b08ef7f41797891c1646f48"},
	{GOSTR341194, "Suppose the original message has length = 50 bytes",
		"c3730c5cbccacf915ac292676f21e8bd4ef75331d9405e5f1a61dc3130a65011"},
}

// SelfTest checks the hashes and the signatures against known answers, on the code that this processor takes: each hash;
// for each algorithm and kind of arithmetic that the given nonce signs as it must, and that one good and two bad
// signatures are told apart, with tables and without, and in a batch. It takes some twenty milliseconds. A program that
// trusts this package's verdicts may refuse to start on an error: it means that the program or the machine is broken.
func SelfTest() error {
	for _, v := range hashAnswers {
		h := v.digest.New()
		h.Write([]byte(v.message))
		if got := hex.EncodeToString(h.Sum(nil)); got != v.hex {
			return fmt.Errorf("gost: self-test of %s failed: digest is %s", v.digest.Name, got)
		}
	}
	for _, v := range signatureAnswers {
		err := selfTestVerify(v.algorithm, v.params, v.key, v.digest, v.signature)
		if err == nil {
			err = selfTestSign(v.algorithm, v.params, v.d, v.k, v.digest, v.signature)
		}
		if err != nil {
			return fmt.Errorf("gost: self-test of %s with %s failed: %w", v.algorithm.Name, v.params, err)
		}
	}
	return nil
}

func selfTestVerify(a *Algorithm, params, keyHex, digestHex, signatureHex string) error {
	raw, err1 := hex.DecodeString(keyHex)
	digest, err2 := hex.DecodeString(digestHex)
	signature, err3 := hex.DecodeString(signatureHex)
	if err1 != nil || err2 != nil || err3 != nil {
		return errors.New("known answer is not hexadecimal")
	}
	key, err := NewPublicKey(a, ParamSetByName(params), raw)
	if err != nil {
		return err
	}
	otherDigest, otherSignature := bytes.Clone(digest), bytes.Clone(signature)
	otherDigest[0] ^= 1
	otherSignature[len(signature)-1] ^= 1
	prepared := Prepare(key)
	for _, verify := range []func(digest, signature []byte) error{key.Verify, prepared.Verify} {
		if err := verify(digest, signature); err != nil {
			return err
		}
		if verify(otherDigest, signature) == nil || verify(digest, otherSignature) == nil {
			return errors.New("a bad signature verifies")
		}
	}
	for turn := range 2 { // good and bad ones by turns, so that each lane meets both
		var digests, signatures [8][]byte
		var errs [8]error
		for i := range errs {
			digests[i], signatures[i] = digest, signature
			if i%2 == turn {
				signatures[i] = otherSignature
			}
		}
		VerifyBatch(slices.Repeat([]*PreparedKey{prepared}, 8), digests[:], signatures[:], errs[:])
		for i, err := range errs {
			if (err != nil) != (i%2 == turn) {
				return fmt.Errorf("the verdict in a batch is %v", err)
			}
		}
	}
	return nil
}

func selfTestSign(a *Algorithm, params, dHex, kHex, digestHex, want string) error {
	octets, err1 := hex.DecodeString(dHex)
	nonce, err2 := hex.DecodeString(kHex)
	digest, err3 := hex.DecodeString(digestHex)
	if err1 != nil || err2 != nil || err3 != nil {
		return errors.New("known answer is not hexadecimal")
	}
	var d, k fe
	d.setBytes(octets)
	k.setBytes(nonce)
	private, err := newPrivateKey(a, ParamSetByName(params), &d, nil)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(private.signWithNonce(digest, &k)); got != want {
		return fmt.Errorf("signature is %s", got)
	}
	return nil
}
