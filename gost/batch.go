package gost

// VerifyBatch verifies digests[i] and signatures[i] with keys[i] for every i and sets errs[i] to what keys[i].Verify
// returns. The slices must be of one length, which may be any. On processors with AVX-512 IFMA the signatures on the curve
// of CryptoPro-A, CryptoPro-XchA and tc26-256-B are computed eight at a time, each some four times as fast; the others,
// and elsewhere all, one by one. It allocates nothing but for the errors that are wrapped.
func VerifyBatch(keys []*PreparedKey, digests, signatures [][]byte, errs []error) {
	if len(digests) != len(keys) || len(signatures) != len(keys) || len(errs) != len(keys) {
		panic("gost: VerifyBatch of slices of different lengths")
	}
	if verifyBatchAssembly(keys, digests, signatures, errs) {
		return
	}
	for i, k := range keys {
		errs[i] = k.Verify(digests[i], signatures[i])
	}
}
