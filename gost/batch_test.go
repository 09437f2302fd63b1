package gost

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// item is one signature for VerifyBatch.
type item struct {
	key               *PreparedKey
	digest, signature []byte
}

// checkBatch compares VerifyBatch with Verify, errors included.
func checkBatch(t testing.TB, items []item) {
	t.Helper()
	keys, digests, signatures := make([]*PreparedKey, len(items)), make([][]byte, len(items)), make([][]byte, len(items))
	errs := make([]error, len(items))
	for i, v := range items {
		keys[i], digests[i], signatures[i] = v.key, v.digest, v.signature
		errs[i] = errors.New("left over")
	}
	VerifyBatch(keys, digests, signatures, errs)
	for i, v := range items {
		want := v.key.Verify(v.digest, v.signature)
		same := fmt.Sprint(errs[i]) == fmt.Sprint(want)
		for _, kind := range []error{ErrVerification, ErrSignatureLength, ErrDigestLength} {
			same = same && errors.Is(errs[i], kind) == errors.Is(want, kind)
		}
		if !same {
			t.Errorf("%d of %d: %v in the batch, %v alone", i, len(items), errs[i], want)
		}
	}
}

// batchItems are the rows of sign.json, special cases included, by whether their curve is the one for eight lanes.
func batchItems(t *testing.T) (fast, slow []item) {
	for _, g := range loadSign(t).Groups {
		shared := Prepare(mustPublicKey(t, g.SPKI))
		for _, v := range g.Tests {
			key := shared
			if v.SPKI != nil {
				key = Prepare(mustPublicKey(t, v.SPKI))
			}
			if key.public.Params.curve == curveA {
				fast = append(fast, item{key, v.Digest, v.Sig})
			} else {
				slow = append(slow, item{key, v.Digest, v.Sig})
			}
		}
	}
	return fast, slow
}

// TestVerifyBatch: batches of the vectors' rows in any order, every length and mixture of curves, give what Verify gives.
func TestVerifyBatch(t *testing.T) { paths(t, testVerifyBatch) }

func testVerifyBatch(t *testing.T) {
	fast, slow := batchItems(t)
	t.Logf("%d rows on the curve for eight lanes, %d others", len(fast), len(slow))
	r := source()
	for range 4 {
		r.Shuffle(len(fast), func(i, j int) { fast[i], fast[j] = fast[j], fast[i] })
		checkBatch(t, fast)
	}
	for n := range 20 {
		checkBatch(t, fast[:n])
	}
	good := slices.IndexFunc(fast, func(v item) bool { return v.key.Verify(v.digest, v.signature) == nil })
	bad := fast[good]
	bad.signature = slices.Clone(bad.signature)
	bad.signature[63] ^= 1
	for lane := range 8 { // one good among bad ones, one bad among good ones
		for _, v := range [][2]item{{fast[good], bad}, {bad, fast[good]}} {
			batch := slices.Repeat([]item{v[1]}, 8)
			batch[lane] = v[0]
			checkBatch(t, batch)
		}
	}
	mixed := slices.Concat(fast[:40], slow[:min(40, len(slow))])
	mixed = append(mixed, item{fast[0].key, fast[0].digest[1:], fast[0].signature}, item{fast[0].key, fast[0].digest, nil})
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	checkBatch(t, mixed)
}

func TestVerifyBatchLengths(t *testing.T) {
	VerifyBatch(nil, nil, nil, nil)
	defer func() {
		if recover() == nil {
			t.Error("slices of different lengths pass")
		}
	}()
	VerifyBatch(nil, nil, nil, make([]error, 1))
}

func TestVerifyBatchAllocates(t *testing.T) {
	keys, digests, signatures := batchOf8(t)
	errs := make([]error, len(keys))
	if n := testing.AllocsPerRun(10, func() { VerifyBatch(keys, digests, signatures, errs) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// batchOf8 are good signatures by eight keys.
func batchOf8(t testing.TB) (keys []*PreparedKey, digests, signatures [][]byte) {
	for range 8 {
		key, err := GenerateKey(rand.Reader, GOST2012_256, ParamSetByName("CryptoPro-A"))
		if err != nil {
			t.Fatal(err)
		}
		digest := make([]byte, 32)
		rand.Read(digest)
		signature, err := key.Sign(nil, digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys, digests, signatures = append(keys, Prepare(key.public)), append(digests, digest), append(signatures, signature)
	}
	return keys, digests, signatures
}

// TestVerifyBatchConcurrently: keys are shared, all else is each call's own.
func TestVerifyBatchConcurrently(t *testing.T) {
	keys, digests, signatures := batchOf8(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			errs := make([]error, len(keys))
			for range 10 {
				VerifyBatch(keys, digests, signatures, errs)
				if err := errors.Join(errs...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// FuzzVerifyBatch puts any octets at any place among good signatures.
func FuzzVerifyBatch(f *testing.F) {
	keys, digests, signatures := batchOf8(f)
	f.Add(uint8(0), uint8(0), digests[0], signatures[0])
	f.Add(uint8(7), uint8(1), digests[1], make([]byte, 64))
	f.Add(uint8(8), uint8(2), make([]byte, 32), signatures[2])
	f.Add(uint8(3), uint8(3), digests[3][:31], signatures[3])
	f.Fuzz(func(t *testing.T, place, key uint8, digest, signature []byte) {
		var batch []item
		for i := range 9 {
			batch = append(batch, item{keys[i%8], digests[i%8], signatures[i%8]})
		}
		batch[place%9] = item{keys[key%8], digest, signature}
		checkBatch(t, batch)
		checkBatch(t, batch[place%9:])
	})
}

func BenchmarkVerifyBatch(b *testing.B) {
	keys, digests, signatures := batchOf8(b)
	errs := make([]error, len(keys))
	b.ReportAllocs()
	for b.Loop() {
		VerifyBatch(keys, digests, signatures, errs)
		if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
			b.Fatal(errs[i])
		}
	}
}
