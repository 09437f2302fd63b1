package testpki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
)

// algorithm writes the AlgorithmIdentifier of the CA's signatures.
func (ca *CA) algorithm(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if ca.Other == nil {
			b.AddASN1ObjectIdentifier(ca.Key.Public().(*gost.PublicKey).Algorithm.Signature)
			return
		}
		if _, ok := ca.Other.Public().(*ecdsa.PublicKey); ok {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
			return
		}
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11})
		b.AddASN1NULL()
	})
}

// signed is SIGNED{tbs}, with further fields that come after the signature.
func (ca *CA) signed(tb testing.TB, tbs []byte, further ...cryptobyte.BuilderContinuation) []byte {
	tb.Helper()
	var signature []byte
	var err error
	if ca.Other != nil {
		digest := sha256.Sum256(tbs)
		signature, err = ca.Other.Sign(rand.Reader, digest[:], crypto.SHA256)
	} else {
		h := ca.Key.Public().(*gost.PublicKey).Algorithm.Digest.New()
		h.Write(tbs)
		signature, err = ca.Key.Sign(rand.Reader, h.Sum(nil), nil)
	}
	if err != nil {
		tb.Fatal(err)
	}
	var out cryptobyte.Builder
	out.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		ca.algorithm(b)
		b.AddASN1BitString(signature)
		for _, f := range further {
			f(b)
		}
	})
	return out.BytesOrPanic()
}

// Revocation is an entry of a CRL.
type Revocation struct {
	Serial     *big.Int
	At         time.Time // default: an hour ago
	Reason     int       // 0: none is written
	Extensions []gost.Extension
}

// CRL says what list to issue; the zero value of a field means its default.
type CRL struct {
	Number                 int64     // default 1
	Base                   int64     // of a delta CRL; 0: complete
	ThisUpdate, NextUpdate time.Time // default: a minute ago, a day ahead
	Revoked                []Revocation
	Extensions             []gost.Extension
}

// NewCRL issues a CRL (RFC 5280 section 5) and returns its DER.
func (ca *CA) NewCRL(tb testing.TB, t CRL) []byte {
	tb.Helper()
	from, to := t.ThisUpdate, t.NextUpdate
	if from.IsZero() {
		from = time.Now().Add(-time.Minute)
	}
	if to.IsZero() {
		to = time.Now().AddDate(0, 0, 1)
	}
	number := func(n int64) []byte {
		var b cryptobyte.Builder
		b.AddASN1Int64(max(n, 1))
		return b.BytesOrPanic()
	}
	extensions := []gost.Extension{{OID: []int{2, 5, 29, 20}, Value: number(t.Number)}}
	if t.Base != 0 {
		extensions = append(extensions, gost.Extension{OID: []int{2, 5, 29, 27}, Critical: true, Value: number(t.Base)})
	}
	list, err := gost.MarshalExtensions(append(extensions, t.Extensions...))
	if err != nil {
		tb.Fatal(err)
	}
	var tbs cryptobyte.Builder
	tbs.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		ca.algorithm(b)
		b.AddBytes(ca.Certificate.Subject)
		addTime(b, from)
		addTime(b, to)
		if len(t.Revoked) > 0 {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, r := range t.Revoked {
					r.marshal(tb, b)
				}
			})
		}
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(list) })
	})
	return ca.signed(tb, tbs.BytesOrPanic())
}

func (r *Revocation) marshal(tb testing.TB, b *cryptobyte.Builder) {
	tb.Helper()
	at, extensions := r.At, slices.Clone(r.Extensions)
	if at.IsZero() {
		at = time.Now().Add(-time.Hour)
	}
	if r.Reason != 0 {
		extensions = append(extensions, gost.Extension{OID: []int{2, 5, 29, 21}, Value: []byte{0x0A, 1, byte(r.Reason)}})
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r.Serial)
		addTime(b, at)
		if len(extensions) == 0 {
			return
		}
		der, err := gost.MarshalExtensions(extensions)
		if err != nil {
			tb.Fatal(err)
		}
		b.AddBytes(der)
	})
}

// InvalidityDate makes the entry extension of RFC 5280 section 5.3.2.
func InvalidityDate(t time.Time) gost.Extension {
	var b cryptobyte.Builder
	b.AddASN1GeneralizedTime(t.UTC())
	return gost.Extension{OID: []int{2, 5, 29, 24}, Value: b.BytesOrPanic()}
}

// DistributionPoints makes cRLDistributionPoints with one point of these addresses.
func DistributionPoints(addresses ...string) gost.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, addresses) })
	})
	return gost.Extension{OID: []int{2, 5, 29, 31}, Value: b.BytesOrPanic()}
}

func addPointName(b *cryptobyte.Builder, addresses []string) {
	context := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
	b.AddASN1(context(0), func(b *cryptobyte.Builder) {
		b.AddASN1(context(0), func(b *cryptobyte.Builder) {
			for _, a := range addresses {
				b.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(a)) })
			}
		})
	})
}

// IssuingPoint makes the critical CRL extension issuingDistributionPoint: an address, which may be empty, and the tag of a
// flag: 1 for users, 2 for CAs, 4 indirect, 5 attributes; 0 for none.
func IssuingPoint(address string, flag uint8) gost.Extension {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if address != "" {
			addPointName(b, []string{address})
		}
		if flag != 0 {
			b.AddASN1(cbasn1.Tag(flag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xFF) })
		}
	})
	return gost.Extension{OID: []int{2, 5, 29, 28}, Critical: true, Value: b.BytesOrPanic()}
}

// OCSP says what response to make; the zero value of a field means its default.
type OCSP struct {
	Issuer                 *gost.Certificate // of the certificate asked about; default: the CA
	Serial                 *big.Int
	RevokedAt              time.Time // zero: good
	Unknown                bool
	ThisUpdate, NextUpdate time.Time // default: a minute ago, an hour ahead
	ProducedAt             time.Time // default: ThisUpdate
	Nonce                  []byte
	ByName                 bool                // responderID byName; default byKey
	Certificates           []*gost.Certificate // sent along
}

// NewOCSP makes an OCSP response (RFC 6960 section 4.2), signed by the CA, and returns its DER.
func (ca *CA) NewOCSP(tb testing.TB, t OCSP) []byte {
	tb.Helper()
	context := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).Constructed().ContextSpecific() }
	issuer, from, to := t.Issuer, t.ThisUpdate, t.NextUpdate
	if issuer == nil {
		issuer = ca.Certificate
	}
	if from.IsZero() {
		from = time.Now().Add(-time.Minute)
	}
	if to.IsZero() {
		to = time.Now().Add(time.Hour)
	}
	name := sha1.Sum(issuer.Subject)
	time := func(b *cryptobyte.Builder, t time.Time) { b.AddASN1GeneralizedTime(t.UTC()) }
	var tbs cryptobyte.Builder
	tbs.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if t.ByName {
			b.AddASN1(context(1), func(b *cryptobyte.Builder) { b.AddBytes(ca.Certificate.Subject) })
		} else {
			b.AddASN1(context(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(keyID(tb, ca.Certificate.RawSubjectPublicKeyInfo)) })
		}
		if t.ProducedAt.IsZero() {
			t.ProducedAt = from
		}
		time(b, t.ProducedAt)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 14,
							3, 2, 26})
					})
					b.AddASN1OctetString(name[:])
					b.AddASN1OctetString(keyID(tb, issuer.RawSubjectPublicKeyInfo))
					b.AddASN1BigInt(t.Serial)
				})
				switch {
				case t.Unknown:
					b.AddASN1(cbasn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
				case t.RevokedAt.IsZero():
					b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
				default:
					b.AddASN1(context(1), func(b *cryptobyte.Builder) { time(b, t.RevokedAt) })
				}
				time(b, from)
				b.AddASN1(context(0), func(b *cryptobyte.Builder) { time(b, to) })
			})
		})
		if t.Nonce != nil {
			var nonce cryptobyte.Builder
			nonce.AddASN1OctetString(t.Nonce)
			der, err := gost.MarshalExtensions([]gost.Extension{{OID: []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, Value: nonce.BytesOrPanic()}})
			if err != nil {
				tb.Fatal(err)
			}
			b.AddASN1(context(1), func(b *cryptobyte.Builder) { b.AddBytes(der) })
		}
	})
	basic := ca.signed(tb, tbs.BytesOrPanic(), func(b *cryptobyte.Builder) {
		if len(t.Certificates) > 0 {
			b.AddASN1(context(0), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, c := range t.Certificates {
						b.AddBytes(bytes.Clone(c.Raw))
					}
				})
			})
		}
	})
	var out cryptobyte.Builder
	out.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(context(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1})
				b.AddASN1OctetString(basic)
			})
		})
	})
	return out.BytesOrPanic()
}
