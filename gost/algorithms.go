package gost

import (
	"encoding/asn1"
	"hash"

	"github.com/epov-signer/epov/gost/gostr341194"
	"github.com/epov-signer/epov/gost/streebog"
)

// Digest is a hash function and the names it goes by.
type Digest struct {
	Name    string                // as in "streebog256"
	OID     asn1.ObjectIdentifier // algorithm identifier in CMS and certificates
	Size    int                   // octets
	URI     string                // XMLDSig DigestMethod, as we write it
	Aliases []string              // further DigestMethod identifiers that mean the same
	New     func() hash.Hash      // digests come out in wire order, the order every format carries
}

// Sums returns the digests of several messages. Those of GOST R 34.11-2012 are made side by side, which takes less time than
// one after the other where the processor has AVX-512.
func (d *Digest) Sums(messages ...[]byte) [][]byte {
	sums := make([][]byte, len(messages))
	switch d.Name {
	case "streebog256":
		made := make([][streebog.Size256]byte, len(messages))
		streebog.SumMany256(made, messages)
		for i := range made {
			sums[i] = made[i][:]
		}
	case "streebog512":
		made := make([][streebog.Size512]byte, len(messages))
		streebog.SumMany512(made, messages)
		for i := range made {
			sums[i] = made[i][:]
		}
	default:
		for i, m := range messages {
			h := d.New()
			h.Write(m)
			sums[i] = h.Sum(nil)
		}
	}
	return sums
}

// Algorithm is a signature algorithm: a kind of key together with the only hash it may be used with.
type Algorithm struct {
	Name      string                // "gost2001", "gost2012-256", "gost2012-512"
	PublicKey asn1.ObjectIdentifier // key algorithm, in SubjectPublicKeyInfo and SignerInfo
	Signature asn1.ObjectIdentifier // signature with digest, in certificates, CRLs and requests
	Digest    *Digest
	Size      int      // octets of an integer of the curve: 32 or 64
	URI       string   // XMLDSig SignatureMethod, as we write it
	Aliases   []string // further SignatureMethod identifiers that mean the same
}

// SignatureSize is the length in octets of a signature s ‖ r: 64 or 128.
func (a *Algorithm) SignatureSize() int { return 2 * a.Size }

const (
	uriIETF = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:"
	uriW3C  = "http://www.w3.org/2001/04/xmldsig-more#"
)

// The hash functions (GOST R 34.11-94 with the CryptoPro S-box of RFC 4357; GOST R 34.11-2012).
var (
	GOSTR341194 = &Digest{
		Name: "gostr3411-94", OID: asn1.ObjectIdentifier{1, 2, 643, 2, 2, 9}, Size: 32, New: gostr341194.New,
		URI: uriW3C + "gostr3411", Aliases: []string{uriIETF + "gostr3411"},
	}
	Streebog256 = &Digest{
		Name: "streebog256", OID: asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 2}, Size: 32, New: streebog.New256,
		URI: uriIETF + "gostr34112012-256", Aliases: []string{uriW3C + "gostr34112012-256"},
	}
	Streebog512 = &Digest{
		Name: "streebog512", OID: asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 2, 3}, Size: 64, New: streebog.New512,
		URI: uriIETF + "gostr34112012-512", Aliases: []string{uriW3C + "gostr34112012-512"},
	}
)

// The signature algorithms. GOST2001 is for verification of what exists; nothing new is signed with it.
var (
	GOST2001 = &Algorithm{
		Name: "gost2001", PublicKey: asn1.ObjectIdentifier{1, 2, 643, 2, 2, 19}, Signature: asn1.ObjectIdentifier{1, 2, 643, 2, 2, 3},
		Digest: GOSTR341194, Size: 32,
		URI: uriW3C + "gostr34102001-gostr3411", Aliases: []string{uriIETF + "gostr34102001-gostr3411"},
	}
	GOST2012_256 = &Algorithm{
		Name: "gost2012-256", PublicKey: asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 1},
		Signature: asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 3, 2},
		Digest:    Streebog256, Size: 32,
		URI: uriIETF + "gostr34102012-gostr34112012-256", Aliases: []string{uriW3C + "gostr34102012-gostr34112012-256"},
	}
	GOST2012_512 = &Algorithm{
		Name: "gost2012-512", PublicKey: asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 1, 2},
		Signature: asn1.ObjectIdentifier{1, 2, 643, 7, 1, 1, 3, 3},
		Digest:    Streebog512, Size: 64,
		URI: uriIETF + "gostr34102012-gostr34112012-512", Aliases: []string{uriW3C + "gostr34102012-gostr34112012-512"},
	}
)

// Digests and Algorithms are the whole lists; nothing is added at run time.
var (
	Digests    = []*Digest{Streebog256, Streebog512, GOSTR341194}
	Algorithms = []*Algorithm{GOST2012_256, GOST2012_512, GOST2001}
)

// DigestByURI finds a digest by any of its XMLDSig identifiers, compared as exact strings; nil when there is none.
func DigestByURI(uri string) *Digest {
	for _, d := range Digests {
		if named(uri, d.URI, d.Aliases) {
			return d
		}
	}
	return nil
}

// AlgorithmByURI finds an algorithm by any of its XMLDSig identifiers, compared as exact strings; nil when there is none.
func AlgorithmByURI(uri string) *Algorithm {
	for _, a := range Algorithms {
		if named(uri, a.URI, a.Aliases) {
			return a
		}
	}
	return nil
}

// AlgorithmByPublicKey finds an algorithm by the identifier of its keys; nil when there is none.
func AlgorithmByPublicKey(oid asn1.ObjectIdentifier) *Algorithm {
	for _, a := range Algorithms {
		if a.PublicKey.Equal(oid) {
			return a
		}
	}
	return nil
}

func named(uri, name string, aliases []string) bool {
	if uri == name {
		return true
	}
	for _, a := range aliases {
		if uri == a {
			return true
		}
	}
	return false
}
