package xmldsig

import (
	"bytes"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// qualifying checks the XAdES properties (ETSI EN 319 132-1) of a signature that has them, or must have them: they are
// covered, they are its own, they name its signer. What they say beyond that is read; what is not understood is reported.
func (e *examiner) qualifying(x *examination, leaf *gost.Certificate) {
	s := x.s
	fail := func(code report.Code, at int, format string, args ...any) {
		x.add(failed(e.fail(code, at, format, args...)))
	}
	var all []int
	for _, object := range s.objects {
		for _, kid := range e.children(object) {
			switch e.nodes[kid].sym {
			case "xades:QualifyingProperties":
				all = append(all, kid)
			case "etsi:QualifyingProperties":
				e.open(x, kid, "properties of another version of XAdES than 1.3.2 are not understood")
			case "xades:QualifyingPropertiesReference":
				e.open(x, kid, "properties elsewhere (QualifyingPropertiesReference) are not followed")
			}
		}
	}
	own := -1 // SignedProperties
	switch {
	case len(all) > 1:
		fail(report.XAdESProperties, all[1], "more than one QualifyingProperties")
		return
	case len(all) == 1:
		if list := e.named(all[0], "xades:SignedProperties"); len(list) == 1 {
			own = list[0]
		}
	}
	for _, f := range x.found {
		if f.typ == typeSignedProperties && (own < 0 || f.node != own) {
			fail(report.XAdESProperties, f.reference.node, "the reference to SignedProperties does not mean those of this signature")
		}
	}
	switch {
	case own < 0 && (len(all) > 0 || x.profile != nil && x.profile.properties):
		fail(report.XAdESProperties, s.node, "the signature has no SignedProperties")
		return
	case own < 0:
		return
	}
	if x.out.Profile == "" {
		x.out.Profile = XAdESBES.Name
	}
	if target, _ := e.nodes[all[0]].attr("", "Target"); !e.bears(s.node, strings.TrimPrefix(target, "#")) ||
		!strings.HasPrefix(target, "#") {
		fail(report.XAdESProperties, all[0], "the properties are for another signature: Target is not its Id")
	}
	e.known(x, all[0], "xades:SignedProperties", "xades:UnsignedProperties")
	covered := slices.ContainsFunc(x.found, func(f finding) bool {
		return f.node == own && f.holds && !slices.ContainsFunc(f.transforms, func(t transform) bool { return !canonicalizes(t) })
	})
	if !covered {
		fail(report.XAdESProperties, own, "no reference covers SignedProperties")
		return
	}
	x.add(report.Check{Code: report.XAdESProperties,
		Message: "the signed properties are covered and belong to this signature", Place: e.place(own)})
	e.signedProperties(x, own, leaf)
	e.unsignedProperties(x, all[0])
	if x.profile != nil && x.profile.stamped && len(x.out.TimeStamps) == 0 {
		fail(report.XAdESProperties, all[0], "the signature has no time-stamp")
	}
}

// open notes what is not examined.
func (e *examiner) open(x *examination, n int, message string) {
	x.add(report.Check{Code: report.XAdESProperties, Status: report.NotChecked, Place: e.place(n), Message: message})
}

// known notes children that are none of those that are understood, and text.
func (e *examiner) known(x *examination, n int, syms ...string) {
	kids := e.children(n)
	strange := e.nodes[n].children != len(kids) || e.nodes[n].filled
	for _, kid := range kids {
		strange = strange || !slices.Contains(syms, e.nodes[kid].sym)
	}
	if strange {
		e.open(x, n, e.nodes[n].local+" holds something that is not understood")
	}
}

// signedProperties reads what the signer says of the signature and of what it covers.
func (e *examiner) signedProperties(x *examination, properties int, leaf *gost.Certificate) {
	e.known(x, properties, "xades:SignedSignatureProperties", "xades:SignedDataObjectProperties")
	certificates := 0
	seen := map[string]bool{}
	for _, group := range e.named(properties, "xades:SignedSignatureProperties") {
		e.known(x, group, "xades:SigningTime", "xades:SigningCertificate", "xades:SigningCertificateV2", "xades:SignaturePolicyIdentifier",
			"xades:SignatureProductionPlace", "xades:SignatureProductionPlaceV2", "xades:SignerRole", "xades:SignerRoleV2")
		for _, p := range e.children(group) {
			sym := e.nodes[p].sym
			if seen[sym] {
				x.add(failed(e.fail(report.XAdESProperties, p, "more than one %s", e.nodes[p].local)))
			}
			seen[sym] = true
			switch sym {
			case "xades:SigningTime":
				at, err := parseTime(strings.Trim(string(e.nodes[p].text), blanks))
				if err != nil {
					x.add(failed(e.fail(report.XAdESProperties, p, "SigningTime is no xs:dateTime")))
				}
				x.out.ClaimedTime = at
			case "xades:SigningCertificate", "xades:SigningCertificateV2":
				certificates++
				e.signingCertificate(x, p, leaf)
			case "xades:SignaturePolicyIdentifier":
				check := report.Check{Code: report.XAdESProperties, Status: report.NotChecked, Place: e.place(p),
					Message: "the signature follows a signature policy, whose rules are not applied", Got: e.identifier(p)}
				x.add(check)
			case "xades:SignerRole", "xades:SignerRoleV2":
				// Claimed roles are the signer's word, as the time is; certified ones would have to be verified.
				e.known(x, p, "xades:ClaimedRoles")
			}
		}
	}
	if certificates == 0 {
		x.add(failed(e.fail(report.XAdESCertificate, properties, "the properties name no signing certificate")))
	}
	for _, group := range e.named(properties, "xades:SignedDataObjectProperties") {
		e.known(x, group, "xades:DataObjectFormat", "xades:CommitmentTypeIndication", "xades:AllDataObjectsTimeStamp",
			"xades:IndividualDataObjectsTimeStamp")
		for _, p := range e.children(group) {
			switch e.nodes[p].sym {
			case "xades:DataObjectFormat":
				uri, _ := e.nodes[p].attr("", "ObjectReference")
				e.objectReference(x, p, uri)
			case "xades:CommitmentTypeIndication":
				e.commitment(x, p)
			case "xades:AllDataObjectsTimeStamp", "xades:IndividualDataObjectsTimeStamp":
				e.open(x, p, "time-stamps of the content are not examined")
			}
		}
	}
}

// signingCertificate compares the first certificate named with the signer's.
func (e *examiner) signingCertificate(x *examination, p int, leaf *gost.Certificate) {
	if leaf == nil {
		return
	}
	check := report.Check{Code: report.XAdESCertificate, Message: "the signing certificate is the signer's", Place: e.place(p)}
	if list := e.named(p, "xades:Cert"); len(list) == 0 || !e.names(list[0], leaf) {
		check.Status, check.Message = report.Failed, "the first certificate named is not the signer's"
	}
	x.add(check)
}

// commitment reads what the signer commits to: its own word, reported as such.
func (e *examiner) commitment(x *examination, p int) {
	for _, of := range e.named(p, "xades:ObjectReference") {
		e.objectReference(x, of, strings.Trim(string(e.nodes[of].text), blanks))
	}
	e.known(x, p, "xades:CommitmentTypeId", "xades:ObjectReference", "xades:AllSignedDataObjects")
	x.add(report.Check{Code: report.XAdESProperties, Message: "the signer states a commitment", Place: e.place(p), Got: e.identifier(p)})
}

// objectReference demands that a property of a signed object names a Reference of this signature.
func (e *examiner) objectReference(x *examination, p int, uri string) {
	id, local := strings.CutPrefix(uri, "#")
	if !local || !slices.ContainsFunc(x.s.references, func(r reference) bool { return e.bears(r.node, id) }) {
		x.add(failed(e.fail(report.XAdESProperties, p, "%s names no Reference of this signature", e.nodes[p].local)))
	}
}

// identifier is the first xades:Identifier in a property.
func (e *examiner) identifier(p int) string {
	for n := p + 1; n < len(e.nodes) && e.within(n, p); n++ {
		if e.nodes[n].sym == "xades:Identifier" {
			return quote(strings.Trim(string(e.nodes[n].text), blanks))
		}
	}
	return ""
}

// unsignedProperties looks at what was added later. Nobody vouches for it but itself: countersignatures are signatures of
// their own (see counter), time-stamps carry a signature too, and certificates are only a help to find a path.
func (e *examiner) unsignedProperties(x *examination, properties int) {
	for _, unsigned := range e.named(properties, "xades:UnsignedProperties") {
		e.known(x, unsigned, "xades:UnsignedSignatureProperties")
		for _, group := range e.named(unsigned, "xades:UnsignedSignatureProperties") {
			e.known(x, group, "xades:CounterSignature", "xades:SignatureTimeStamp", "xades:CertificateValues")
			for _, p := range e.children(group) {
				switch e.nodes[p].sym {
				case "xades:SignatureTimeStamp":
					e.timeStamp(x, p)
				case "xades:CertificateValues":
					e.certificateValues(x, p)
				case "xades:CounterSignature":
					e.known(x, p, "ds:Signature")
				}
			}
		}
	}
}

// certificateValues takes certificates that may lead from the signer's to an anchor.
func (e *examiner) certificateValues(x *examination, p int) {
	e.known(x, p, "xades:EncapsulatedX509Certificate")
	told := false
	for _, n := range e.named(p, "xades:EncapsulatedX509Certificate") {
		der, err := decode(e.nodes[n].text)
		if err == nil && len(x.extra) < maxCertificates {
			if c, err := gost.ParseCertificate(der); err == nil {
				x.extra = append(x.extra, c)
				continue
			}
		}
		if !told {
			e.open(x, n, "a certificate that cannot be read, or one too many")
			told = true
		}
	}
}

// counter holds a countersignature against what it must cover: the SignatureValue of the signature that carries it (ETSI EN
// 319 132-1 section 5.2.7).
func (e *examiner) counter(x *examination) {
	of := e.countered(x.node)
	if of < 0 {
		return
	}
	value := e.named(of, "ds:SignatureValue")
	check := report.Check{Code: report.CoverageWrong,
		Message: "the countersignature covers the value of the signature that carries it", Place: e.place(x.node)}
	if len(value) != 1 || !slices.ContainsFunc(x.found, func(f finding) bool { return f.holds && f.node == value[0] && !f.whole }) {
		check.Status, check.Message = report.Failed, "the countersignature does not cover the value of the signature that carries it"
	}
	x.add(check)
}

// countered is the signature that carries n as a countersignature, -1 when n is none.
func (o *outline) countered(n int) int {
	for _, sym := range []string{"xades:CounterSignature", "xades:UnsignedSignatureProperties", "xades:UnsignedProperties",
		"xades:QualifyingProperties", "ds:Object", "ds:Signature"} {
		if n = o.nodes[n].parent; n < 0 || o.nodes[n].sym != sym {
			return -1
		}
	}
	return n
}

// names tells whether a xades:Cert of either version means the certificate.
func (e *examiner) names(cert int, c *gost.Certificate) bool {
	digested := false
	for _, part := range e.children(cert) {
		switch e.nodes[part].sym {
		case "xades:CertDigest":
			method, value := e.named(part, "ds:DigestMethod"), e.named(part, "ds:DigestValue")
			if len(method) != 1 || len(value) != 1 {
				return false
			}
			uri, _ := e.nodes[method[0]].attr("", "Algorithm")
			digest := gost.DigestByURI(uri)
			want, err := decode(e.nodes[value[0]].text)
			if digest == nil || err != nil {
				return false
			}
			h := digest.New()
			h.Write(c.Raw)
			if !bytes.Equal(h.Sum(nil), want) {
				return false
			}
			digested = true
		case "xades:IssuerSerialV2":
			der, err := decode(e.nodes[part].text)
			if err != nil || !isIssuerSerial(der, c) {
				return false
			}
		case "xades:IssuerSerial":
			if !e.isIssuerSerial(part, c) {
				return false
			}
		}
	}
	return digested
}

// isIssuerSerial tells whether X509IssuerName and X509SerialNumber in an element are those of a certificate.
func (o *outline) isIssuerSerial(n int, c *gost.Certificate) bool {
	name, number := o.named(n, "ds:X509IssuerName"), o.named(n, "ds:X509SerialNumber")
	if len(name) != 1 || len(number) != 1 || len(o.nodes[number[0]].text) > 128 || len(o.nodes[name[0]].text) > 4096 {
		return false
	}
	serial, ok := new(big.Int).SetString(strings.Trim(string(o.nodes[number[0]].text), blanks), 10)
	return ok && serial.Cmp(c.Serial) == 0 && c.Issuer.MatchesString(strings.Trim(string(o.nodes[name[0]].text), blanks))
}

// parseTime reads xs:dateTime; a time without a zone is taken as UTC.
func parseTime(s string) (time.Time, error) {
	if len(s) > 64 {
		s = ""
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", s)
	}
	return t, err
}
