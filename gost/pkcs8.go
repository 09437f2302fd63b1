package gost

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxMasks bounds the masks of a private key: one or two are in use.
const maxMasks = 4

// ParsePrivateKey reads a DER PKCS#8 key (RFC 5208) in any of the spellings of its octets that are told apart without
// guessing. n is the number of octets of q:
//
//   - n octets: d, little-endian, as the gost engine of OpenSSL writes it;
//   - 2n … 5n octets: K ‖ M1 [‖ M2 …], little-endian, with d = K·M1·M2… mod q, the masked form of CryptoPro;
//   - any other length: a DER OCTET STRING of one of these, as BouncyCastle writes it, or a DER INTEGER d.
//
// Only 0 < d < q is accepted. Whether this is the wanted key only a comparison of public keys can tell: the octets of
// d in the wrong order are another good key.
func ParsePrivateKey(der []byte, opts ...KeyOption) (*PrivateKey, error) {
	input := cryptobyte.String(der)
	var info, id, content, attributes cryptobyte.String
	var version int
	if !input.ReadASN1(&info, cryptobyte_asn1.SEQUENCE) || !info.ReadASN1Integer(&version) ||
		!info.ReadASN1(&id, cryptobyte_asn1.SEQUENCE) || !info.ReadASN1(&content, cryptobyte_asn1.OCTET_STRING) {
		return nil, errors.New("gost: private key is not a DER PrivateKeyInfo")
	}
	if version != 0 {
		return nil, fmt.Errorf("gost: private key has version %d, only 0 is known", version)
	}
	hasAttributes := false
	if !info.ReadOptionalASN1(&attributes, &hasAttributes, cryptobyte_asn1.Tag(0).ContextSpecific().Constructed()) ||
		!info.Empty() || !input.Empty() {
		return nil, errors.New("gost: octets after the private key")
	}
	a, p, err := parseKeyAlgorithm(id)
	if err != nil {
		return nil, err
	}
	if err := p.check(a, opts); err != nil {
		return nil, err
	}
	d, err := parseScalar(p.curve, content)
	if err != nil {
		return nil, err
	}
	return newPrivateKey(a, p, &d, opts)
}

// parseScalar reads the content of privateKey. The length decides first, then the tag.
func parseScalar(c *curve, content cryptobyte.String) (d fe, err error) {
	size := c.size()
	inner := content
	switch {
	case len(content)%size == 0:
		return unmask(c, content)
	case content.PeekASN1Tag(cryptobyte_asn1.OCTET_STRING):
		if content.ReadASN1(&inner, cryptobyte_asn1.OCTET_STRING) && content.Empty() && len(inner)%size == 0 {
			return unmask(c, inner)
		}
	case content.PeekASN1Tag(cryptobyte_asn1.INTEGER):
		var octets []byte
		if content.ReadASN1Integer(&octets) && content.Empty() && len(octets) <= size {
			padded := make([]byte, size)
			copy(padded[size-len(octets):], octets)
			d.setBytes(padded)
			return d, checkScalar(c, &d)
		}
	}
	return fe{}, fmt.Errorf("gost: private key of %d octets is in no known form", len(inner))
}

// unmask multiplies the parts of a private key, each of one integer's length.
func unmask(c *curve, octets []byte) (d fe, err error) {
	size := c.size()
	if len(octets) == 0 || len(octets) > (1+maxMasks)*size {
		return fe{}, fmt.Errorf("gost: private key of %d octets is in no known form", len(octets))
	}
	d.setBytesLE(octets[:size])
	if err := checkScalar(c, &d); err != nil {
		return fe{}, err
	}
	for rest := octets[size:]; len(rest) > 0; rest = rest[size:] {
		var mask fe
		mask.setBytesLE(rest[:size])
		c.q.encode(&mask, &mask)
		c.q.mul(&d, &d, &mask)
	}
	return d, checkScalar(c, &d)
}

func checkScalar(c *curve, d *fe) error {
	if !c.isScalar(d) {
		return errors.New("gost: private key is not between 0 and q")
	}
	return nil
}

// MarshalPKCS8 returns the DER PKCS#8 encoding with the key as little-endian octets, the form OpenSSL's gost engine
// writes and every program reads, and the AlgorithmIdentifier of the public key.
func (k *PrivateKey) MarshalPKCS8() []byte {
	octets := make([]byte, k.public.Params.Size())
	k.d.putBytesLE(octets)
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		k.public.addAlgorithm(b)
		b.AddASN1OctetString(octets)
	})
	return b.BytesOrPanic()
}
