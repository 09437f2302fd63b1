package xmldsig

import (
	"bytes"
	"encoding/base64"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

const (
	maxTimeStamps = 16      // of one signature
	maxToken      = 1 << 20 // octets
)

// tokenEncodings are the values of Encoding that a time-stamp may have (ETSI EN 319 132-1 section 5.1.3).
var tokenEncodings = map[string]bool{"": true, nsETSI + "1.2.2#DER": true, nsETSI + "1.2.2#BER": true}

// TimeStampInput returns the octets that a signature time-stamp of XAdES is about: the element ds:SignatureValue, canonical
// by exclusive C14N. id is the Id of the ds:Signature; empty: the only one with properties of XAdES. Errors are
// *report.Error.
func TimeStampInput(doc []byte, id string, limits xmltext.Limits) ([]byte, error) {
	o, err := locate(doc, limits, nil)
	if err != nil {
		return nil, err
	}
	defer o.release()
	s, _, err := o.stampable(id)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := o.stamped(&b, s, canon.ExclusiveURI, limits); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// AddTimeStamp puts a time-stamp token (RFC 3161, DER) about the octets of [TimeStampInput] into the unsigned properties of a
// signature, which makes XAdES-T of XAdES-BES. The document is spliced; nothing else in it changes. The token is not looked
// at: Verify the result. A document whose other signatures that would break is refused. Errors are *report.Error.
func AddTimeStamp(doc []byte, id string, token []byte, limits xmltext.Limits) ([]byte, error) {
	o, err := locate(doc, limits, nil)
	if err != nil {
		return nil, err
	}
	defer o.release()
	if len(token) == 0 || len(token) > maxToken {
		return nil, report.Errorf(report.TimeStampToken, report.Place{}, "a time-stamp token of %d octets", len(token))
	}
	_, properties, err := o.stampable(id)
	if err != nil {
		return nil, err
	}
	pl := &plan{}
	in, open, closing := properties, []string{"UnsignedProperties", "UnsignedSignatureProperties"}, ""
	for len(open) > 0 {
		list := o.named(in, "xades:"+open[0])
		if len(list) == 0 {
			break
		}
		in, open = list[0], open[1:]
	}
	// UnsignedSignatureProperties come before UnsignedDataObjectProperties.
	pl.inside(o, in, len(open) == 1)
	scope := scope{o: o, node: in}
	xades, declareXAdES := scope.element("xades", nsXAdES)
	ds, declareDS := scope.element("ds", nsDS)
	text := pl.at.text
	for _, name := range append(open, "SignatureTimeStamp") {
		text += "<" + xades + name + declareXAdES + ">"
		closing, declareXAdES = "</"+xades+name+">"+closing, ""
	}
	text += "<" + ds + "CanonicalizationMethod" + declareDS + ` Algorithm="` + canon.ExclusiveURI + `"/><` +
		xades + "EncapsulatedTimeStamp>" +
		base64.StdEncoding.EncodeToString(token) + "</" + xades + "EncapsulatedTimeStamp>" + closing + pl.after
	if err := pl.spare(o); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(doc)+len(text))
	out = append(append(out, doc[:pl.at.at]...), text...)
	return append(out, doc[pl.at.at+pl.at.skip:]...), nil
}

// stampable finds a signature that a time-stamp can be added to, and its QualifyingProperties.
func (o *outline) stampable(id string) (s *signature, properties int, err error) {
	properties = -1
	for _, n := range o.signatures[:min(len(o.signatures), maxSignatures)] {
		if id != "" && o.nodes[n].id() != id {
			continue
		}
		parsed, problem := o.parse(n)
		if problem != nil {
			if id != "" {
				return nil, 0, problem
			}
			continue
		}
		for _, object := range parsed.objects {
			for _, q := range o.named(object, "xades:QualifyingProperties") {
				if properties >= 0 {
					return nil, 0, o.fail(report.TargetAmbiguous, q, "more than one signature with properties of XAdES could be meant")
				}
				s, properties = parsed, q
			}
		}
	}
	if properties < 0 {
		return nil, 0, report.Errorf(report.TargetMissing, report.Place{}, "there is no such signature with properties of XAdES")
	}
	return s, properties, nil
}

// stamped writes the canonical ds:SignatureValue of a signature.
func (o *outline) stamped(b *bytes.Buffer, s *signature, uri string, limits xmltext.Limits) error {
	if err := canon.Apply(b, o.doc, canon.Node{Element: o.nodes[s.value].tag.Start, Comments: true},
		[]canon.Transform{{URI: uri}}, limits); err != nil {
		return asError(err)
	}
	return nil
}

// timeStamp examines a xades:SignatureTimeStamp.
func (e *examiner) timeStamp(x *examination, p int) {
	uri := canon.InclusiveURI // EN 319 132-1 section 5.1.4.4.2: what XMLDSig takes when nothing is said
	e.known(x, p, "ds:CanonicalizationMethod", "xades:EncapsulatedTimeStamp")
	for _, n := range e.named(p, "ds:CanonicalizationMethod") {
		t := e.parseTransform(n)
		if uri = t.uri; t.odd || len(t.prefixes) > 0 || !canon.IsCanonicalization(t.uri) {
			e.open(x, n, "the canonicalization method of a time-stamp is not among those allowed")
			return
		}
	}
	var imprinted bytes.Buffer
	if e.work += int64(e.nodes[x.s.value].span().End); e.work > maxWorkAtLeast+maxWork*int64(len(e.doc)) {
		x.add(failed(e.fail(report.ReferenceLimit, p, "%v", errTooMuch)))
		return
	}
	if err := e.stamped(&imprinted, x.s, uri, e.policy.Limits); err != nil {
		x.add(failed(asError(err)))
		return
	}
	policy := cms.Policy{Trust: e.policy.Trust, Keys: e.policy.Keys, Time: e.policy.Time, Certificates: x.extra, Work: &e.trusting}
	for _, n := range e.named(p, "xades:EncapsulatedTimeStamp") {
		token, err := decode(e.nodes[n].text)
		encoding, _ := e.nodes[n].attr("", "Encoding")
		switch {
		case len(x.out.TimeStamps) == maxTimeStamps:
			e.open(x, n, "one time-stamp too many")
			return
		case !tokenEncodings[encoding]:
			e.open(x, n, "the encoding of a time-stamp is neither DER nor BER")
		case err != nil || e.nodes[n].children > 0:
			x.add(failed(e.fail(report.TimeStampToken, n, "the time-stamp is not base64")))
		default:
			ts, checks := cms.VerifyTimeStamp(token, imprinted.Bytes(), policy)
			cms.AddTimeStampTo(&x.out, ts, checks, e.place(n))
		}
	}
	x.at = x.out.StampedTime(e.policy.Time)
	if x.out.Profile == XAdESBES.Name {
		x.out.Profile = XAdEST.Name
	}
}
