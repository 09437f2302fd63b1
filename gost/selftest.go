package gost

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
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

// signatureAnswers are signatures that OpenSSL with the gost engine and BouncyCastle verify too. Integers are
// hexadecimal as the formats carry them: x ‖ y little-endian, digest in wire order, s ‖ r big-endian.
var signatureAnswers = []struct {
	algorithm              *Algorithm
	params                 string
	key, digest, signature string
}{
	{
		GOST2012_256, "tc26-256-A",
		"742795d4bee884ddf2850fec03ea3faf1844e01d9da60b645093a55e26dfc39978f596cf4d4d0c6cf1d18943d94493d1" +
			"6b9ec0a16d512d2e127cc4691a6318e2",
		"3097e63ef17d750112c8bf79ac487567493d2a4c23ae69c27585f65a9a0bf8a9",
		"0acfd8fb57c8f9c23dc86f0da8521c5a1036c8e16d24ece399b094e6d0d978693eb64a702bbbee69ae2d3651e51da9db" +
			"3df398c0d866a7f66aa5f4295e69ced9",
	},
	{
		GOST2012_256, "tc26-256-B",
		"35b4737ecef4734df8805cfbef33bf73c7b2aad1722aa6fc03673bff069e1417751ae59cc84ff34366aa07dd6a8f1698" +
			"174687c4f1e60211e87dc293ce8c80a7",
		"bec9012a3e44bb227dcf707b1b60c5c87a82509093a919e1037b93f8aa55f5e3",
		"26311f5dd4195e6ce250b110c94de36edf9c9f0641884f5c86e6df7baa4466ddc10adee399e920ea16bb2e89a1bf4ee5" +
			"a05642ac6244ea3cfd9a262cc827f8b2",
	},
	{
		GOST2012_512, "tc26-512-A",
		"4dd5e814148743f0e9b3dfc698c5c4dc6769e72be697d92884e23588fa51e8de7986f728005941d9d474af17d4ae6a5a" +
			"b9de4c13c9e2654620fc93485f4a5597aa36fea8728a6cf4250efdecbc728721defe50446865b0f32dcff76658a5f315" +
			"8f63607c19d0575252e5ef9ea4bdb1360515171cfd6f04a0e2512a74dde713d3",
		"202360fdde4ca7e59d0fc3fd2187b8a47fbb00b330d92580472e3b8b63a9355b0f9c4e4d516c8bb62c578a68669a6c60" +
			"6fb57d49d80e367c6067d30c513e4c49",
		"c9ceae9cc321adff0cbd7d38a501344f5620a603c364108fa24388fb936b880cf8f89b943fe577e2194cf6ff083eddac" +
			"ddf323a24c2c52d923ddcc2f318910b985ed7dfd8f8eb52e4196464621e5330b1e1c8778944ee7db5d6aec7f70597afa" +
			"c08b31cf0706471036a9c45c2c13b8c0300c8978f5d7fa8923f97773ac275467",
	},
	{
		GOST2001, "CryptoPro-A",
		"3e82dd86fc602c930511422678018bbcbf4e9b0642d61ebb614ac462388d55577c6b9288ccc95710b6dda54a682bce37" +
			"134644cac05e74012d533bdff4bb07a2",
		"96c17d72d53a71fc1b2c194fe4e9133d412a45c79654ae6601a4df673d17f67b",
		"20890b26e8da179a4497143693339014fc79d87d6c268e39b0de0c01a179fb2110078b560355aab62952d230ba7527be" +
			"d495a71251cff18513e35e8687158a8e",
	},
}

// SelfTest checks the hashes and the verification of signatures against known answers: each hash, and for each
// algorithm a good and two bad signatures. It takes a few milliseconds. A program that trusts this package's verdicts
// may refuse to start on an error: it means that the program or the machine is broken.
func SelfTest() error {
	for _, v := range hashAnswers {
		h := v.digest.New()
		h.Write([]byte(v.message))
		if got := hex.EncodeToString(h.Sum(nil)); got != v.hex {
			return fmt.Errorf("gost: self-test of %s failed: digest is %s", v.digest.Name, got)
		}
	}
	for _, v := range signatureAnswers {
		if err := selfTestVerify(v.algorithm, v.params, v.key, v.digest, v.signature); err != nil {
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
	if err := key.Verify(digest, signature); err != nil {
		return err
	}
	otherDigest, otherSignature := bytes.Clone(digest), bytes.Clone(signature)
	otherDigest[0] ^= 1
	otherSignature[len(signature)-1] ^= 1
	if key.Verify(otherDigest, signature) == nil || key.Verify(digest, otherSignature) == nil {
		return errors.New("a bad signature verifies")
	}
	return nil
}
