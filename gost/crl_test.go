package gost_test

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
)

func readCRL(tb testing.TB, data []byte) *gost.RevocationList {
	tb.Helper()
	l, err := gost.ParseRevocationList(data)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func mustCertificate(tb testing.TB, data []byte) *gost.Certificate {
	tb.Helper()
	list, err := gost.ParseCertificates(data, gost.AllowTestParams())
	if err != nil || len(list) != 1 {
		tb.Fatalf("%d certificates, %v", len(list), err)
	}
	return list[0]
}

// TestRevocationListVectors: lists of OpenSSL, and the examples of RFC 9215 appendix D, which list nobody or one.
func TestRevocationListVectors(t *testing.T) {
	for crl, issuer := range map[string]string{
		"2012-256-cpA/int.crl": "2012-256-cpA/int.pem", "2012-512-tc26A/int.crl": "2012-512-tc26A/int.pem",
		"2001-cpA/int.crl":            "2001-cpA/int.pem",
		"rfc9215/D1-256-test-crl.pem": "rfc9215/D1-256-test-cert.pem", "rfc9215/D2-256-tc26A-crl.pem": "rfc9215/D2-256-tc26A-cert.pem",
		"rfc9215/D3-512-test-crl.pem": "rfc9215/D3-512-test-cert.pem",
	} {
		l := readCRL(t, vectors.Read(t, "gost/certs/"+crl))
		vectors.Outcome(t, "crls", crl, "valid", "valid")
		c := mustCertificate(t, vectors.Read(t, "gost/certs/"+issuer))
		if err := l.CheckSignatureFrom(c); err != nil {
			t.Errorf("%s: %v", crl, err)
		}
		if !l.Issuer.Equal(c.Subject) || l.ThisUpdate.IsZero() {
			t.Errorf("%s: issued by %s at %v", crl, l.Issuer, l.ThisUpdate)
		}
		other := mustCertificate(t, vectors.Read(t, "gost/certs/2012-256-cpB/int.pem"))
		if err := l.CheckSignatureFrom(other); err == nil {
			t.Errorf("%s: verifies with a foreign key", crl)
		}
	}
}

// TestRevocationListCorpus: lists that Russian CAs have published.
func TestRevocationListCorpus(t *testing.T) {
	lists := 0
	for _, row := range vectors.TSV(t, vectors.ReadOthers, "corpus/index.tsv") {
		if row["kind"] != "x509-crl" {
			continue
		}
		lists++
		files := strings.Fields(row["files"])
		vectors.Outcome(t, "corpus crls", row["id"], "valid", "valid")
		l := readCRL(t, vectors.ReadOthers(t, "corpus/"+files[0]))
		if !strings.Contains(row["notes"], fmt.Sprintf("%d revoked", l.Len())) {
			t.Errorf("%s: %d entries; %s", files[0], l.Len(), row["notes"])
		}
		if len(files) == 2 {
			if err := l.CheckSignatureFrom(mustCertificate(t, vectors.ReadOthers(t, "corpus/"+files[1]))); err != nil {
				t.Errorf("%s: %v", files[0], err)
			}
		}
	}
	if lists < 10 {
		t.Errorf("%d lists", lists)
	}
}

// TestRevocationListEntries: case 50 lists serial 1003, revoked on 2026-06-01.
func TestRevocationListEntries(t *testing.T) {
	found := 0
	for _, name := range []string{"50-revoked-leaf.crl1.pem", "50-revoked-leaf.crl2.pem"} {
		l := readCRL(t, vectors.Read(t, "gost/certs/bad/"+name))
		if r, ok := l.Find(big.NewInt(0x1003)); ok {
			found++
			if want := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC); !r.At.Equal(want) || !r.Since().Equal(want) {
				t.Errorf("revoked at %v", r.At)
			}
		}
		for _, serial := range []*big.Int{big.NewInt(0), big.NewInt(-1), big.NewInt(0x1004), new(big.Int).Lsh(big.NewInt(1), 200)} {
			if _, ok := l.Find(serial); ok {
				t.Errorf("%s lists %X", name, serial)
			}
		}
	}
	if found != 1 {
		t.Errorf("listed %d times", found)
	}
}

func FuzzRevocationList(f *testing.F) {
	for _, name := range []string{"2012-256-cpA/int.crl", "rfc9215/D1-256-test-crl.pem", "bad/50-revoked-leaf.crl2.pem",
		"bad/59-crl-unknown-critical-extension.crl1.pem"} {
		f.Add(vectors.Read(f, "gost/certs/"+name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := gost.ParseRevocationList(data)
		if err != nil {
			return
		}
		if _, ok := l.Find(big.NewInt(1)); ok && l.Len() == 0 {
			t.Error("found in an empty list")
		}
		if again, err := gost.ParseRevocationList(bytes.Clone(data)); err != nil || again.Fingerprint != l.Fingerprint {
			t.Error("not the same when read again")
		}
	})
}

// manyEntries is a CRL of n entries with serial numbers of 16 octets, in random order, as CAs that draw them at random
// write them.
func manyEntries(tb testing.TB, n int) ([]byte, []*big.Int) {
	tb.Helper()
	ca := testpki.NewCA(tb, gost.GOST2012_256, "CryptoPro-A")
	random := rand.New(rand.NewPCG(1, 2))
	serials := make([]*big.Int, n)
	entries := make([]testpki.Revocation, n)
	for i := range serials {
		serials[i] = new(big.Int).Add(new(big.Int).Lsh(new(big.Int).SetUint64(random.Uint64()|1<<62), 64),
			new(big.Int).SetUint64(random.Uint64()))
		entries[i] = testpki.Revocation{Serial: serials[i], Reason: i % 6}
	}
	return ca.NewCRL(tb, testpki.CRL{Revoked: entries}), serials
}

func TestRevocationListOrder(t *testing.T) {
	der, serials := manyEntries(t, 2000)
	l := readCRL(t, der)
	if l.Len() != len(serials) {
		t.Fatalf("%d entries", l.Len())
	}
	for i, s := range serials {
		r, ok := l.Find(s)
		if want := gost.Reason(i % 6); !ok || want != 0 && r.Reason != want || want == 0 && r.Reason != gost.NoReason {
			t.Fatalf("entry %d: %v, %v", i, r, ok)
		}
		if _, ok := l.Find(new(big.Int).Add(s, big.NewInt(1))); ok {
			t.Fatalf("entry %d: a neighbour is listed", i)
		}
	}
}

const million = 1_000_000

func BenchmarkParseRevocationList(b *testing.B) {
	der, _ := manyEntries(b, million)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := readCRL(b, der)
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(l.Len())
	runtime.KeepAlive(l)
	b.SetBytes(int64(len(der)))
	b.ReportAllocs()
	for b.Loop() {
		readCRL(b, der)
	}
	b.ReportMetric(size, "B/entry")
}

func BenchmarkFindRevoked(b *testing.B) {
	der, serials := manyEntries(b, million)
	l := readCRL(b, der)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := l.Find(serials[i%million]); !ok {
			b.Fatal("not found")
		}
	}
}
