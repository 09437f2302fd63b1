package cms

import (
	"encoding/asn1"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Bounds of parts that no honest message comes near.
const (
	maxCertificates = 1024
	maxDigests      = 1024
	maxAttributes   = 64
	maxValues       = 64
	maxInteger      = 64 // octets of version and serial number
)

// signedData is a message (RFC 5652 section 5.1). Versions are read and not kept: a wrong one changes nothing.
type signedData struct {
	contentType  asn1.ObjectIdentifier
	content      []byte // nil when detached
	contentPlace report.Place
	certificates []*gost.Certificate
	unreadable   int // certificates that are not DER or not RFC 5280
	signers      []signerInfo

	// As they came, for those who put the message together anew.
	encapsulated     []byte
	digestAlgorithms [][]byte
	certificateSet   [][]byte
	crls             []byte
	streamed         *content // instead of content: it went by
}

// signerInfo is RFC 5652 section 5.3.
type signerInfo struct {
	name  string // in reports: "SignerInfo 1", "SignerInfo 1, countersignature 2"
	where string // path: "signerInfos[0]"
	trace string // for Policy.Trace: "signer-0"
	place report.Place
	raw   []byte

	issuer []byte // with serial: issuerAndSerialNumber
	serial *big.Int
	keyID  []byte // otherwise: subjectKeyIdentifier

	digestAlgorithm, signatureAlgorithm algorithm

	signed      attributes // nil when absent
	signedSet   element    // of the whole set
	unsigned    attributes
	signature   []byte
	signatureAt report.Place
	before      []byte       // contents up to the signature, itself included
	counters    []signerInfo // countersignatures

	attribute, value int // of a countersignature: where it is among the unsigned attributes of the signature that it is about
}

// path names a field of this SignerInfo.
func (si *signerInfo) path(field string) string {
	return si.where + "." + field
}

// algorithm is an AlgorithmIdentifier.
type algorithm struct {
	oid        asn1.ObjectIdentifier
	parameters []byte // whole encoding, nil when absent
	place      report.Place
}

// plain reports whether there are no parameters, which NULL says as well.
func (a algorithm) plain() bool {
	return len(a.parameters) == 0 || string(a.parameters) == "\x05\x00"
}

// parse reads ContentInfo with nothing after it.
func parse(message []byte, limits Limits) (*signedData, error) {
	if len(message) > limits.Size {
		return nil, limitExceeded(limits.Size, "the message has more than %d octets", limits.Size)
	}
	r := reader{message: message, end: len(message), depth: 1, limit: limits.Depth}
	outer, err := r.expect(tagSequence, "ContentInfo")
	if err != nil {
		return nil, err
	}
	if !r.empty() {
		return nil, malformed(r.pos, "%d octets after the message", len(message)-r.pos)
	}
	in := r.inside(outer)
	contentType, at, err := in.oid("contentType")
	if err != nil {
		return nil, err
	}
	if !contentType.Equal(oidSignedData) {
		return nil, report.Errorf(report.CMSContentType, at, "the content type is %s, not SignedData", contentType)
	}
	wrapper, err := in.expect(tagContext0, "content")
	if err != nil {
		return nil, err
	}
	if err := in.finish("ContentInfo"); err != nil {
		return nil, err
	}
	in = in.inside(wrapper)
	body, err := in.expect(tagSequence, "SignedData")
	if err != nil {
		return nil, err
	}
	if err := in.finish("content"); err != nil {
		return nil, err
	}
	return parseSignedData(in.inside(body), limits)
}

func parseSignedData(r reader, limits Limits) (*signedData, error) {
	sd := new(signedData)
	if _, err := r.integer("SignedData.version"); err != nil {
		return nil, err
	}
	if err := sd.parseDigestAlgorithms(&r); err != nil {
		return nil, err
	}
	encapsulated, err := r.expect(tagSequence, "encapContentInfo")
	if err != nil {
		return nil, err
	}
	sd.encapsulated = r.raw(encapsulated)
	if err := sd.parseContent(r.inside(encapsulated)); err != nil {
		return nil, err
	}
	return sd, sd.parseRest(r, limits)
}

func (sd *signedData) parseDigestAlgorithms(r *reader) error {
	set, err := r.expect(tagSet, "digestAlgorithms")
	if err != nil {
		return err
	}
	for in := r.inside(set); !in.empty(); {
		if len(sd.digestAlgorithms) == maxDigests {
			return limitExceeded(in.pos, "more than %d digestAlgorithms", maxDigests)
		}
		start := in.pos
		if _, err := in.algorithm("digestAlgorithms"); err != nil {
			return err
		}
		sd.digestAlgorithms = append(sd.digestAlgorithms, in.message[start:in.pos])
	}
	return nil
}

// parseRest reads what follows encapContentInfo.
func (sd *signedData) parseRest(r reader, limits Limits) error {
	if r.peek() == tagContext0 {
		set, err := r.next("certificates")
		if err != nil {
			return err
		}
		if err := sd.parseCertificates(r.inside(set)); err != nil {
			return err
		}
	}
	if r.peek() == tagContext1 {
		crls, err := r.next("crls")
		if err != nil {
			return err
		}
		sd.crls = r.raw(crls)
	}
	set, err := r.expect(tagSet, "signerInfos")
	if err != nil {
		return err
	}
	for in := r.inside(set); !in.empty(); {
		if len(sd.signers) == limits.Signers {
			return limitExceeded(in.pos, "more than %d signers", limits.Signers)
		}
		e, err := in.expect(tagSequence, "SignerInfo")
		if err != nil {
			return err
		}
		n := len(sd.signers)
		si := signerInfo{
			name: fmt.Sprintf("SignerInfo %d", n+1), where: fmt.Sprintf("signerInfos[%d]", n), trace: fmt.Sprintf("signer-%d", n),
			raw: in.raw(e),
		}
		si.place = e.place(si.where)
		if err := si.parse(in.inside(e)); err != nil {
			return err
		}
		sd.signers = append(sd.signers, si)
	}
	left := limits.Signers - len(sd.signers)
	for i := range sd.signers {
		if err := sd.signers[i].parseCountersignatures(r.message, limits.Depth, 0, &left); err != nil {
			return err
		}
	}
	return r.finish("SignedData")
}

// parseContent reads EncapsulatedContentInfo, RFC 5652 section 5.2. Contents of other types than OCTET STRING, which only
// PKCS#7 knew, are refused.
func (sd *signedData) parseContent(r reader) (err error) {
	if sd.contentType, _, err = r.oid("eContentType"); err != nil {
		return err
	}
	if r.empty() {
		return nil
	}
	wrapper, err := r.expect(tagContext0, "eContent")
	if err != nil {
		return err
	}
	if err := r.finish("encapContentInfo"); err != nil {
		return err
	}
	in := r.inside(wrapper)
	e, err := in.next("eContent")
	if err != nil {
		return err
	}
	if e.tag&^constructed != tagOctetString {
		return malformed(e.start, "eContent is not an OCTET STRING")
	}
	if sd.content, err = in.octets(e, "eContent"); err != nil {
		return err
	}
	sd.contentPlace = e.place("encapContentInfo.eContent")
	if e.tag == tagOctetString {
		sd.contentPlace.Offset = e.content
	}
	return in.finish("eContent")
}

// parseCertificates reads CertificateSet, RFC 5652 section 10.2.3. Attribute certificates and other formats are stepped
// over: they cannot name a signer.
func (sd *signedData) parseCertificates(r reader) error {
	for n := 0; !r.empty(); n++ {
		if n == maxCertificates {
			return limitExceeded(r.pos, "more than %d certificates", maxCertificates)
		}
		e, err := r.next("certificates")
		if err != nil {
			return err
		}
		sd.certificateSet = append(sd.certificateSet, r.raw(e))
		if e.tag != tagSequence {
			continue
		}
		c, err := gost.ParseCertificate(r.raw(e))
		if err != nil {
			sd.unreadable++ // perhaps nobody's; it is mentioned when a signer is missing
			continue
		}
		sd.certificates = append(sd.certificates, c)
	}
	return nil
}

func (si *signerInfo) parse(r reader) error {
	start := r.pos
	if _, err := r.integer(si.path("version")); err != nil {
		return err
	}
	sid, err := r.next(si.path("sid"))
	if err != nil {
		return err
	}
	switch sid.tag {
	case tagSequence:
		in := r.inside(sid)
		issuer, err := in.expect(tagSequence, si.path("sid.issuer"))
		if err != nil {
			return err
		}
		si.issuer = in.raw(issuer)
		if si.serial, err = in.integer(si.path("sid.serialNumber")); err != nil {
			return err
		}
		if err := in.finish(si.path("sid")); err != nil {
			return err
		}
	case tagPrimitive0:
		si.keyID = sid.body
	default:
		return malformed(sid.start, "%s is neither issuerAndSerialNumber nor subjectKeyIdentifier", si.path("sid"))
	}
	if si.digestAlgorithm, err = r.algorithm(si.path("digestAlgorithm")); err != nil {
		return err
	}
	if r.peek() == tagContext0 {
		if si.signedSet, err = r.next(si.path("signedAttrs")); err != nil {
			return err
		}
		if si.signed, err = parseAttributes(r.inside(si.signedSet), si.path("signedAttrs")); err != nil {
			return err
		}
	}
	if si.signatureAlgorithm, err = r.algorithm(si.path("signatureAlgorithm")); err != nil {
		return err
	}
	value, err := r.expect(tagOctetString, si.path("signature"))
	if err != nil {
		return err
	}
	si.signature, si.signatureAt = value.body, value.place(si.path("signature"))
	si.before = r.message[start:r.pos]
	if r.peek() == tagContext1 {
		set, err := r.next(si.path("unsignedAttrs"))
		if err != nil {
			return err
		}
		if si.unsigned, err = parseAttributes(r.inside(set), si.path("unsignedAttrs")); err != nil {
			return err
		}
	}
	return r.finish(si.place.Path)
}

func (r *reader) integer(what string) (*big.Int, error) {
	e, err := r.expect(tagInteger, what)
	if err != nil {
		return nil, err
	}
	if len(e.body) == 0 || len(e.body) > maxInteger {
		return nil, malformed(e.start, "%s is an INTEGER of %d octets", what, len(e.body))
	}
	n := new(big.Int).SetBytes(e.body)
	if e.body[0]&0x80 != 0 { // two's complement
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(e.body))))
	}
	return n, nil
}

func (r *reader) oid(what string) (asn1.ObjectIdentifier, report.Place, error) {
	e, err := r.expect(tagOID, what)
	if err != nil {
		return nil, report.Place{}, err
	}
	oid, ok := parseOID(e.body)
	if !ok {
		return nil, report.Place{}, malformed(e.start, "%s is not an object identifier", what)
	}
	return oid, e.place(what), nil
}

func (r *reader) algorithm(what string) (algorithm, error) {
	e, err := r.expect(tagSequence, what)
	if err != nil {
		return algorithm{}, err
	}
	a := algorithm{place: e.place(what)}
	in := r.inside(e)
	if a.oid, _, err = in.oid(what); err != nil {
		return a, err
	}
	if !in.empty() {
		parameters, err := in.next(what)
		if err != nil {
			return a, err
		}
		a.parameters = in.raw(parameters)
	}
	return a, in.finish(what)
}

// parseOID reads the contents octets of an OBJECT IDENTIFIER; they are bounded, and encoded alike in BER and DER.
func parseOID(body []byte) (asn1.ObjectIdentifier, bool) {
	if len(body) == 0 || len(body) > 64 {
		return nil, false
	}
	whole := cryptobyte.String(append([]byte{tagOID, byte(len(body))}, body...))
	var oid asn1.ObjectIdentifier
	return oid, whole.ReadASN1ObjectIdentifier(&oid)
}
