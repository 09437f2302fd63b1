package gost_test

import (
	"bytes"
	"errors"
	"math/big"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
)

func TestOCSPResponse(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	_, leaf := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	_, other := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	nonce := []byte("0123456789abcdef")
	r, err := gost.ParseOCSPResponse(ca.NewOCSP(t, testpki.OCSP{Serial: leaf.Serial, Nonce: nonce}))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckSignatureFrom(ca.Certificate); err != nil {
		t.Error(err)
	}
	if err := r.CheckSignatureFrom(leaf); err == nil {
		t.Error("verifies with a foreign key")
	}
	if !bytes.Equal(r.Nonce, nonce) || len(r.Answers) != 1 || r.Answers[0].Status != gost.OCSPGood {
		t.Errorf("%+v", r)
	}
	if !r.Answers[0].Is(leaf, ca.Certificate) || r.Answers[0].Is(other, ca.Certificate) || r.Answers[0].Is(leaf, leaf) {
		t.Error("the answer is about another certificate")
	}
	if _, err := gost.ParseOCSPResponse([]byte{0x30, 3, 0x0A, 1, 3}); !errors.Is(err, gost.OCSPError(3)) {
		t.Errorf("tryLater: %v", err)
	}
}

func FuzzOCSPResponse(f *testing.F) {
	ca := testpki.NewCA(f, gost.GOST2012_256, "CryptoPro-A")
	f.Add(ca.NewOCSP(f, testpki.OCSP{Serial: big.NewInt(5), Nonce: []byte("nonce"), Certificates: []*gost.Certificate{ca.Certificate}}))
	f.Add(ca.NewOCSP(f, testpki.OCSP{Serial: big.NewInt(5), ByName: true, RevokedAt: ca.Certificate.NotBefore}))
	f.Add([]byte{0x30, 3, 0x0A, 1, 3})
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := gost.ParseOCSPResponse(der)
		if err != nil {
			return
		}
		for i := range r.Answers {
			r.Answers[i].Is(ca.Certificate, ca.Certificate)
		}
		r.IsBy(ca.Certificate)
		_ = r.CheckSignatureFrom(ca.Certificate) // it must not panic; random signatures do not verify
	})
}
