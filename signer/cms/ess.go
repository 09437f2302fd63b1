package cms

import (
	"crypto/sha1" // what signingCertificate of RFC 2634 hashes certificates with; read, never written
	"crypto/sha256"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/base64"
	"hash"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// maxCertIDs bounds the list in a signing certificate attribute.
const maxCertIDs = 64

var oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}

// certID is ESSCertID or ESSCertIDv2 (RFC 5035 sections 4 and 5).
type certID struct {
	new    func() hash.Hash // nil when the hash algorithm is unknown
	hash   []byte
	issuer []byte // DER Name; nil when issuerSerial is absent
	serial *big.Int
}

// sameHash reports whether the identifier has the hash of this certificate, and returns that hash.
func (id *certID) sameHash(c *gost.Certificate) ([]byte, bool) {
	want := sum(id.new(), c.Raw)
	return want, subtle.ConstantTimeCompare(want, id.hash) == 1
}

// sameIssuerSerial reports whether issuerSerial, when present, is that of this certificate.
func (id *certID) sameIssuerSerial(c *gost.Certificate) bool {
	return id.issuer == nil || string(id.issuer) == string(c.RawIssuer) && id.serial.Cmp(c.Serial) == 0
}

func (id *certID) names(c *gost.Certificate) bool {
	if id.new == nil {
		return false
	}
	_, ok := id.sameHash(c)
	return ok && id.sameIssuerSerial(c)
}

// parseCertIDs reads SigningCertificate or SigningCertificateV2; policies are stepped over.
func parseCertIDs(value cryptobyte.String, v2 bool) ([]certID, bool) {
	var body, list cryptobyte.String
	if !value.ReadASN1(&body, cbasn1.SEQUENCE) || !value.Empty() || !body.ReadASN1(&list, cbasn1.SEQUENCE) ||
		!body.SkipOptionalASN1(cbasn1.SEQUENCE) || !body.Empty() || list.Empty() {
		return nil, false
	}
	var ids []certID
	for !list.Empty() {
		var in cryptobyte.String
		if len(ids) == maxCertIDs || !list.ReadASN1(&in, cbasn1.SEQUENCE) {
			return nil, false
		}
		id := certID{new: sha1.New}
		if v2 {
			id.new = sha256.New // the DEFAULT of RFC 5035 section 4
		}
		if v2 && in.PeekASN1Tag(cbasn1.SEQUENCE) {
			var algorithm cryptobyte.String
			var oid asn1.ObjectIdentifier
			if !in.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) {
				return nil, false
			}
			id.new = hashByOID(oid)
		}
		if !in.ReadASN1Bytes(&id.hash, cbasn1.OCTET_STRING) {
			return nil, false
		}
		if !in.Empty() && !id.parseIssuerSerial(&in) || !in.Empty() {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// parseIssuerSerial reads IssuerSerial, whose issuer must be one directoryName (RFC 5035 section 5).
func (id *certID) parseIssuerSerial(in *cryptobyte.String) bool {
	var body, names, directoryName cryptobyte.String
	var name cryptobyte.String
	id.serial = new(big.Int)
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&names, cbasn1.SEQUENCE) ||
		!names.ReadASN1(&directoryName, cbasn1.Tag(4).ContextSpecific().Constructed()) || !names.Empty() ||
		!directoryName.ReadASN1Element(&name, cbasn1.SEQUENCE) || !directoryName.Empty() ||
		!body.ReadASN1Integer(id.serial) || !body.Empty() {
		return false
	}
	id.issuer = name
	return true
}

func hashByOID(oid asn1.ObjectIdentifier) func() hash.Hash {
	if d := digestByOID(oid); d != nil {
		return d.new
	}
	return nil
}

// checkSigningCertificate holds the ESS attributes, when present, against the certificate that was taken for the signer's:
// the first entry must name it (RFC 5035 section 5.4). Returned are the further entries, which limit the path.
func (si *signerInfo) checkSigningCertificate(s *report.Signature, c *gost.Certificate) (further []certID) {
	for _, oid := range []asn1.ObjectIdentifier{oidSigningCertificateV2, oidSigningCertificate} {
		value, at := si.signed.value(oid)
		if value == nil {
			continue
		}
		check := report.Check{
			Code: report.CMSSigningCertificate, Status: report.Failed, Place: at,
			Message: "the signing certificate attribute cannot be read",
		}
		ids, ok := parseCertIDs(value, oid.Equal(oidSigningCertificateV2))
		switch {
		case !ok:
		case ids[0].new == nil:
			check.Message = "the signing certificate attribute uses an unknown hash algorithm"
		default:
			want, same := ids[0].sameHash(c)
			check.Expected = base64.StdEncoding.EncodeToString(want)
			check.Got = base64.StdEncoding.EncodeToString(ids[0].hash)
			switch {
			case !same:
				check.Message = "the signing certificate attribute has the hash of another certificate"
			case !ids[0].sameIssuerSerial(c):
				check.Message = "the signing certificate attribute has the issuer and serial number of another certificate"
				check.Expected, check.Got = "", ""
			default:
				check.Status, check.Message = report.Passed, "the signing certificate attribute names the signer's certificate"
				further = append(further, ids[1:]...)
			}
		}
		s.Add(check)
	}
	return further
}

// checkPathLimit applies further entries of the ESS attributes: when there are any, every certificate between the signer's
// and the trust anchor must be among them (RFC 5035 section 5.4).
func checkPathLimit(s *report.Signature, further []certID, path []*gost.Certificate) {
	if len(further) == 0 || len(path) < 3 {
		return
	}
	for _, c := range path[1 : len(path)-1] {
		named := false
		for i := range further {
			named = named || further[i].names(c)
		}
		if !named {
			s.Add(report.Check{
				Code: report.CMSSigningCertificate, Status: report.Failed,
				Message: "the path has a certificate that the signing certificate attribute does not allow",
			})
			return
		}
	}
}
