package main

import (
	"crypto/rand"

	"github.com/epov-signer/epov/gost"
)

// gostComparisons compares with OpenSSL's gost engine. Built with the tag purego, this is the portable code's turn and only
// what then differs is compared; the hashes show all their implementations in one build.
func gostComparisons() ([]comparison, error) {
	message := make([]byte, 1<<20)
	rand.Read(message)
	digest256, digest512 := message[:32], message[:64]
	var list []comparison
	if !portable {
		list = hashComparisons(message)
	}
	for _, k := range []struct {
		name, params, peer string
		algorithm          *gost.Algorithm
		digest             []byte
	}{
		{"256", "CryptoPro-A", "256", gost.GOST2012_256, digest256},
		{"256tc26", "tc26-256-A", "256tc26", gost.GOST2012_256, digest256},
		{"512", "tc26-512-A", "512", gost.GOST2012_512, digest512},
	} {
		private, err := gost.GenerateKey(rand.Reader, k.algorithm, gost.ParamSetByName(k.params))
		if err != nil {
			return nil, err
		}
		sig, err := private.Sign(rand.Reader, k.digest, nil)
		if err != nil {
			return nil, err
		}
		public := private.Public().(*gost.PublicKey)
		verify := comparison{
			name: "gost/verify" + k.name + "-cold", ours: func() { must(public.Verify(k.digest, sig)) }, peer: "verify" + k.peer,
		}
		if portable {
			verify.name = "gost/verify" + k.name + "-portable"
			list = append(list, verify)
			continue
		}
		prepared := gost.Prepare(public)
		list = append(list, verify, comparison{
			name: "gost/verify" + k.name + "-prepared", ours: func() { must(prepared.Verify(k.digest, sig)) }, peer: "verify" + k.peer,
		})
		if k.name == "256" {
			list = append(list, comparison{name: "gost/sign256", peer: "sign256", ours: func() {
				_, err := private.Sign(rand.Reader, k.digest, nil)
				must(err)
			}})
		}
	}
	if !portable {
		batch, err := batchComparison()
		if err != nil {
			return nil, err
		}
		list = append(list, batch)
	}
	return list, nil
}

// batchComparison verifies signatures by eight keys together. A call counts for one of them: the eighth does the work.
func batchComparison() (comparison, error) {
	const n = 8
	var keys [n]*gost.PreparedKey
	var digests, signatures [n][]byte
	var errs [n]error
	for i := range n {
		private, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
		if err != nil {
			return comparison{}, err
		}
		digests[i] = make([]byte, gost.GOST2012_256.Digest.Size)
		rand.Read(digests[i])
		if signatures[i], err = private.Sign(rand.Reader, digests[i], nil); err != nil {
			return comparison{}, err
		}
		keys[i] = gost.Prepare(private.Public().(*gost.PublicKey))
	}
	calls := 0
	return comparison{name: "gost/verify256-batch", peer: "verify256", ours: func() {
		if calls++; calls%n != 0 {
			return
		}
		gost.VerifyBatch(keys[:], digests[:], signatures[:], errs[:])
		for _, err := range errs {
			must(err)
		}
	}}, nil
}
