package cms

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"hash"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/signer/report"
)

// attributeRules says how often an attribute occurs among the signed ones. All of these have exactly one value, and none
// may be unsigned: there it would say something that the signer did not.
var attributeRules = []struct {
	name     string
	oid      asn1.ObjectIdentifier
	required bool
}{
	{"contentType", oidContentType, true},
	{"messageDigest", oidMessageDigest, true},
	{"signingTime", oidSigningTime, false},
	{"signingCertificate", oidSigningCertificate, false},
	{"signingCertificateV2", oidSigningCertificateV2, false},
	{"cmsAlgorithmProtection", oidAlgorithmProtection, false},
}

// attribute is RFC 5652 section 5.3, as received.
type attribute struct {
	oid    asn1.ObjectIdentifier
	values [][]byte       // whole encodings
	places []report.Place // of the values, without paths
	raw    []byte
	place  report.Place
}

type attributes []attribute

// parseAttributes reads a SET OF Attribute; an empty one is not nil.
func parseAttributes(r reader, what string) (attributes, error) {
	set := attributes{}
	for !r.empty() {
		if len(set) == maxAttributes {
			return nil, limitExceeded(r.pos, "more than %d attributes in %s", maxAttributes, what)
		}
		e, err := r.expect(tagSequence, what)
		if err != nil {
			return nil, err
		}
		a := attribute{raw: r.raw(e), place: e.place(fmt.Sprintf("%s[%d]", what, len(set)))}
		in := r.inside(e)
		if a.oid, _, err = in.oid(a.place.Path); err != nil {
			return nil, err
		}
		values, err := in.expect(tagSet, a.place.Path)
		if err != nil {
			return nil, err
		}
		if err := in.finish(a.place.Path); err != nil {
			return nil, err
		}
		for in = in.inside(values); !in.empty(); {
			if len(a.values) == maxValues {
				return nil, limitExceeded(in.pos, "more than %d values in %s", maxValues, a.place.Path)
			}
			value, err := in.next(a.place.Path)
			if err != nil {
				return nil, err
			}
			a.values = append(a.values, in.raw(value))
			a.places = append(a.places, value.place(""))
		}
		set = append(set, a)
	}
	return set, nil
}

// value returns the only value of the only attribute with this identifier, nil otherwise.
func (as attributes) value(oid asn1.ObjectIdentifier) (cryptobyte.String, report.Place) {
	var found *attribute
	for i := range as {
		if as[i].oid.Equal(oid) {
			if found != nil {
				return nil, report.Place{}
			}
			found = &as[i]
		}
	}
	if found == nil || len(found.values) != 1 {
		return nil, report.Place{}
	}
	return found.values[0], found.place
}

// signedOctets is what the signature covers: the DER encoding of the attributes with the tag of SET OF instead of [0], RFC
// 5652 section 5.4. Attributes that came in another order than DER's are left in it; checkAttributes has refused them.
func (si *signerInfo) signedOctets() []byte {
	return setOf(si.signedSet.body)
}

func setOf(contents []byte) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(contents)+6))
	b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(contents) })
	return b.BytesOrPanic() // contents are in memory, hence shorter than what DER can say
}

// checkAttributes applies the rules of RFC 5652 sections 5.3 and 11 that need neither content nor certificate. A
// countersignature, which is told by a contentType that is nil, must not have the attribute of that name (section 11.4).
func (si *signerInfo) checkAttributes(s *report.Signature, contentType asn1.ObjectIdentifier) {
	fail := func(at report.Place, format string, args ...any) {
		s.Add(report.Check{Code: report.CMSAttributes, Status: report.Failed, Message: fmt.Sprintf(format, args...), Place: at})
	}
	sound := len(s.Checks)
	set := si.signedSet.place(si.path("signedAttrs"))
	if si.signed == nil {
		if contentType != nil && !contentType.Equal(oidData) {
			fail(si.place, "signed attributes are absent although the content type is not id-data (RFC 5652 section 5.3)")
		}
	} else if !si.signedSet.minimal || !isDER(si.signedSet.body, maxNesting) {
		fail(set, "the signed attributes are not DER (RFC 5652 section 5.3)")
	}
	for i := 1; i < len(si.signed); i++ {
		if bytes.Compare(si.signed[i-1].raw, si.signed[i].raw) > 0 {
			fail(set, "the signed attributes are not in the order of DER (RFC 5652 section 5.3)")
			break
		}
	}
	for _, rule := range attributeRules {
		count := 0
		for _, a := range si.signed {
			if !a.oid.Equal(rule.oid) {
				continue
			}
			if count++; count > 1 {
				fail(a.place, "%s occurs more than once", rule.name)
			}
			if len(a.values) != 1 {
				fail(a.place, "%s has %d values where one must be", rule.name, len(a.values))
			}
		}
		counter := contentType == nil && rule.oid.Equal(oidContentType)
		switch {
		case counter && count > 0:
			fail(set, "a countersignature has the attribute %s, which it must not have", rule.name)
		case si.signed != nil && rule.required && !counter && count == 0:
			fail(set, "%s is missing", rule.name)
		}
		for _, a := range si.unsigned {
			if a.oid.Equal(rule.oid) {
				fail(a.place, "%s is among the unsigned attributes, where nobody vouches for it", rule.name)
			}
		}
	}
	if value, at := si.signed.value(oidSigningTime); value != nil {
		var ok bool
		if s.ClaimedTime, ok = parseTime(value); !ok {
			fail(at, "signingTime is not a UTCTime or GeneralizedTime with seconds in UTC (RFC 5652 section 11.3)")
		}
	}
	if len(s.Checks) == sound {
		message := "the signed attributes are complete, single and DER"
		if si.signed == nil {
			message = "there are no signed attributes and none are needed"
		}
		s.Add(report.Check{Code: report.CMSAttributes, Message: message, Place: set})
	}
	if contentType != nil {
		si.checkContentType(s, contentType)
	}
	si.checkAlgorithmProtection(s)
}

// checkContentType compares contentType with eContentType, RFC 5652 section 11.1.
func (si *signerInfo) checkContentType(s *report.Signature, contentType asn1.ObjectIdentifier) {
	value, at := si.signed.value(oidContentType)
	if value == nil {
		return
	}
	c := report.Check{
		Code: report.CMSContentType, Message: "the contentType attribute equals eContentType",
		Place: at, Expected: contentType.String(),
	}
	var oid asn1.ObjectIdentifier
	if !value.ReadASN1ObjectIdentifier(&oid) || !value.Empty() {
		c.Status, c.Message = report.Failed, "the contentType attribute is not an object identifier"
	} else if c.Got = oid.String(); !oid.Equal(contentType) {
		c.Status, c.Message = report.Failed, "the contentType attribute differs from eContentType"
	}
	s.Add(c)
}

// checkMessageDigest compares messageDigest with the digest of the content, RFC 5652 section 11.2, and reports whether they
// agree. acceptable holds the digest, and a second one where the standard has been read in two ways.
func (si *signerInfo) checkMessageDigest(s *report.Signature, acceptable [][]byte) bool {
	value, at := si.signed.value(oidMessageDigest)
	if value == nil {
		return false // checkAttributes has said why
	}
	c := report.Check{
		Code: report.CMSMessageDigest, Status: report.Failed, Place: at, Message: "messageDigest is not an OCTET STRING",
	}
	var got cryptobyte.String
	if value.ReadASN1(&got, cbasn1.OCTET_STRING) && value.Empty() {
		c.Got = base64.StdEncoding.EncodeToString(got)
		switch {
		case acceptable == nil:
			c.Status, c.Message = report.NotChecked, "messageDigest has nothing to be compared with"
		case anyEqual(got, acceptable):
			c.Status, c.Message = report.Passed, "messageDigest matches the content"
		default:
			c.Message = "messageDigest does not match the content"
		}
	}
	if acceptable != nil {
		c.Expected = base64.StdEncoding.EncodeToString(acceptable[0])
	}
	s.Add(c)
	return c.Status == report.Passed
}

// checkAlgorithmProtection holds CMSAlgorithmProtection, when present, against the SignerInfo, RFC 6211 section 3.
func (si *signerInfo) checkAlgorithmProtection(s *report.Signature) {
	value, at := si.signed.value(oidAlgorithmProtection)
	if value == nil {
		return
	}
	c := report.Check{
		Code: report.CMSAlgorithmProtection, Status: report.Failed, Place: at,
		Message: "cmsAlgorithmProtection cannot be read",
	}
	var body, digest, signature cryptobyte.String
	if value.ReadASN1(&body, cbasn1.SEQUENCE) && value.Empty() &&
		body.ReadASN1(&digest, cbasn1.SEQUENCE) &&
		body.ReadASN1(&signature, cbasn1.Tag(1).ContextSpecific().Constructed()) && body.Empty() {
		switch {
		case !si.digestAlgorithm.is(digest):
			c.Message = "cmsAlgorithmProtection names another digest algorithm than the SignerInfo"
		case !si.signatureAlgorithm.is(signature):
			c.Message = "cmsAlgorithmProtection names another signature algorithm than the SignerInfo"
		default:
			c.Status, c.Message = report.Passed, "cmsAlgorithmProtection agrees with the SignerInfo"
		}
	}
	s.Add(c)
}

// is compares with the contents of another AlgorithmIdentifier; NULL parameters are as good as none.
func (a algorithm) is(contents cryptobyte.String) bool {
	var oid asn1.ObjectIdentifier
	if !contents.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(a.oid) {
		return false
	}
	other := algorithm{oid: oid, parameters: contents}
	return bytes.Equal(a.parameters, contents) || a.plain() && other.plain()
}

// parseTime reads the Time of signingTime, RFC 5652 section 11.3. GeneralizedTime before 2050 is against the rule and
// harmless.
func parseTime(value cryptobyte.String) (t time.Time, ok bool) {
	switch {
	case len(value) == 15 && value[0] == byte(cbasn1.UTCTime) && value[14] == 'Z':
		ok = value.ReadASN1UTCTime(&t)
	case len(value) == 17 && value[0] == byte(cbasn1.GeneralizedTime) && value[16] == 'Z':
		ok = value.ReadASN1GeneralizedTime(&t)
	}
	return t.UTC(), ok && value.Empty()
}

func sum(h hash.Hash, data []byte) []byte {
	h.Write(data)
	return h.Sum(nil)
}
