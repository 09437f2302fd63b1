package cms

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/trust"
)

var benchSizes = []int{10 << 10, 1 << 20}

// BenchmarkSign is the work around the key: the signature itself is made once.
func BenchmarkSign(b *testing.B) {
	for _, p := range messageProfiles {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%dKB", p.Name, size>>10), func(b *testing.B) {
				ca := testpki.NewCA(b, gost.GOST2012_256, "CryptoPro-A")
				key, certificate := ca.NewSigner(b, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
				in := Input{Content: make([]byte, size), Certificate: certificate, Time: time.Now()}
				prepared, err := p.Prepare(in)
				if err != nil {
					b.Fatal(err)
				}
				signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					prepared, err := p.Prepare(in)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := prepared.Complete(signature); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"pkcs7-detached", "cades-bes-attached"} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				message, ca, policy := signAs(b, identities[0], ProfileByName(name), make([]byte, size))
				policy.Trust = trust.New([]*gost.Certificate{ca.Certificate}, nil)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					r, err := Verify(message, policy)
					if err != nil {
						b.Fatal(err)
					}
					if err := r.Err(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
