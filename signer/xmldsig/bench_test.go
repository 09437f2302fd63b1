package xmldsig

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
)

// tenKB is a SendRequestRequest of about 10 KB.
func tenKB() []byte {
	row := `<q:Row xmlns:q="urn://example.ru/q" number="12" kind="a &amp; b"><q:Name>Иванов Иван Иванович</q:Name><q:Sum>100.00</q:Sum></q:Row>` + "\n      "
	doc := messagesToSign()[1].doc
	return []byte(strings.Replace(doc, "<q:Note>", strings.Repeat(row, (10<<10-len(doc))/len(row))+"<q:Note>", 1))
}

// BenchmarkPrepareComplete is one SMEV 3 signature but for the key's work; Complete checks the value.
func BenchmarkPrepareComplete(b *testing.B) {
	p, doc := newPair(b, gost.GOST2012_256, "CryptoPro-A"), tenKB()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		prepared, err := SMEV3.Prepare(Input{Document: doc, Certificate: p.cert})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := prepared.Complete(value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	p, doc := newPair(b, gost.GOST2012_256, "CryptoPro-A"), tenKB()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SMEV3.Prepare(Input{Document: doc, Certificate: p.cert}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	p := newPair(b, gost.GOST2012_256, "CryptoPro-A")
	doc := p.sign(b, SMEV3, Input{Document: tenKB()})
	policy := Policy{Trust: p.store, Keys: gost.NewKeyCache(64)}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Verify(doc, policy)
		if err != nil || r.Err() != nil {
			b.Fatal(err, r.Err())
		}
	}
}

// BenchmarkVerifyDelivered is a message as SMEV delivers it, signed by the sender and by SMEV.
func BenchmarkVerifyDelivered(b *testing.B) {
	p := newPair(b, gost.GOST2012_256, "CryptoPro-A")
	signed := p.sign(b, SMEV3, Input{Document: tenKB()})
	doc := p.sign(b, SMEV3Node, Input{Document: []byte(delivered(string(signed)))})
	policy := Policy{Trust: p.store, Node: p.store, Keys: gost.NewKeyCache(64)}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Verify(doc, policy)
		if err != nil || r.Err() != nil {
			b.Fatal(err, r.Err())
		}
	}
}
