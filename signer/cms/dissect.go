package cms

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Parts are a message taken apart for diagnosis. Nothing in it has been checked: what a signature is worth, Verify says.
type Parts struct {
	Content      []byte // nil when detached
	ContentPlace report.Place
	Certificates []*gost.Certificate
	Signers      []SignerParts
}

// SignerParts are a SignerInfo.
type SignerParts struct {
	Name               string // as in the report of Verify
	Place              report.Place
	Certificates       []*gost.Certificate // that answer to its identifier, of those given and those of the message
	DigestAlgorithm    string              // object identifier
	SignatureAlgorithm string              // object identifier
	Attributes         [][]byte            // the signed attributes, each whole, as they came; nil when absent
	AttributesPlace    report.Place
	MessageDigest      []byte // nil when absent or not an OCTET STRING
	MessageDigestPlace report.Place
	Signature          []byte
	SignaturePlace     report.Place
	Countersignatures  []SignerParts
}

// Dissect takes a message apart. Further certificates are those among which the signers' may be. The error is a
// *report.Error: the message cannot be read.
func Dissect(message []byte, limits Limits, further []*gost.Certificate) (*Parts, error) {
	sd, err := parse(message, limits.withDefaults())
	if err != nil {
		return nil, err
	}
	out := &Parts{Content: sd.content, ContentPlace: sd.contentPlace, Certificates: sd.certificates}
	certificates := slices.Concat(further, sd.certificates)
	for i := range sd.signers {
		out.Signers = append(out.Signers, sd.signers[i].dissect(certificates))
	}
	return out, nil
}

func (si *signerInfo) dissect(certificates []*gost.Certificate) SignerParts {
	p := SignerParts{
		Name: si.name, Place: si.place, DigestAlgorithm: si.digestAlgorithm.oid.String(),
		SignatureAlgorithm: si.signatureAlgorithm.oid.String(), Signature: si.signature, SignaturePlace: si.signatureAt,
	}
	for _, c := range certificates {
		if si.identifies(c) && len(p.Certificates) < maxCandidates {
			p.Certificates = append(p.Certificates, c)
		}
	}
	if si.signed != nil {
		p.Attributes, p.AttributesPlace = [][]byte{}, si.signedSet.place(si.path("signedAttrs"))
	}
	for _, a := range si.signed {
		p.Attributes = append(p.Attributes, a.raw)
	}
	if value, at := si.signed.value(oidMessageDigest); value != nil {
		var digest cryptobyte.String
		if value.ReadASN1(&digest, cbasn1.OCTET_STRING) && value.Empty() {
			p.MessageDigest, p.MessageDigestPlace = digest, at
		}
	}
	for i := range si.counters {
		p.Countersignatures = append(p.Countersignatures, si.counters[i].dissect(certificates))
	}
	return p
}
