package cms

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/epov-signer/epov/signer/report"
)

// oidCountersignature is the unsigned attribute of RFC 5652 section 11.4: a SignerInfo over the value of a signature.
var oidCountersignature = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 6}

// maxCounterDepth bounds countersignatures of countersignatures.
const maxCounterDepth = 4

// parseCountersignatures reads the countersignatures of a SignerInfo, theirs included. r is at the message that holds it,
// left is how many signers the message may still have.
func (si *signerInfo) parseCountersignatures(message []byte, limit, depth int, left *int) error {
	for n, a := range si.unsigned {
		if !a.oid.Equal(oidCountersignature) {
			continue
		}
		for i, value := range a.places {
			if *left--; *left < 0 {
				return limitExceeded(value.Offset, "more signers than the limit allows, countersignatures counted")
			}
			if depth == maxCounterDepth {
				return limitExceeded(value.Offset, "countersignatures of countersignatures nest deeper than %d", maxCounterDepth)
			}
			k := len(si.counters) + 1
			c := signerInfo{
				name:  fmt.Sprintf("%s, countersignature %d", si.name, k),
				where: fmt.Sprintf("%s.unsignedAttrs[%d].values[%d]", si.where, n, i),
				trace: fmt.Sprintf("%s/countersignature-%d", si.trace, k-1), attribute: n, value: i,
			}
			r := reader{message: message, pos: value.Offset, end: value.End, depth: 1, limit: limit}
			e, err := r.expect(tagSequence, c.where)
			if err != nil {
				return err
			}
			c.raw, c.place = r.raw(e), e.place(c.where)
			if err := c.parse(r.inside(e)); err != nil {
				return err
			}
			if err := c.parseCountersignatures(message, limit, depth+1, left); err != nil {
				return err
			}
			si.counters = append(si.counters, c)
		}
	}
	return nil
}

// countersignatures examines those of a SignerInfo. Their content is the value of its signature, so each tells of that signer
// and of nothing else.
func (v *verifier) countersignatures(si *signerInfo) (out []report.Signature) {
	if len(si.counters) == 0 {
		return nil
	}
	content := inMemory(si.signature, nil, si.signatureAt)
	for i := range si.counters {
		c := &si.counters[i]
		out = append(out, v.signer(c, &content).Signature)
		out = append(out, v.countersignatures(c)...)
	}
	return out
}

// prepareCountersignature is [Profile.Prepare] of the profile [Countersignature].
func prepareCountersignature(in Input) (*Prepared, error) {
	sd, err := parse(in.Content, Limits{}.withDefaults())
	if err != nil {
		return nil, err
	}
	path := in.Signer
	switch {
	case len(path) > maxCounterDepth:
		return nil, report.Errorf(report.RequestInvalid, report.Place{}, "countersignatures nest at most %d deep", maxCounterDepth)
	case len(path) == 0 && len(sd.signers) != 1:
		return nil, report.Errorf(report.RequestInvalid, report.Place{},
			"the message has %d signatures: say which one to countersign", len(sd.signers))
	case len(path) == 0:
		path = []int{0}
	}
	si, err := sd.signerAt(path)
	if err != nil {
		return nil, err
	}
	p := Countersignature.prepare(in, sum(in.Certificate.PublicKey.Algorithm.Digest.New(), si.signature))
	p.countersigned, p.path = sd, path
	return p, nil
}

// countersign adds the countersignature and the certificates of its signer.
func (p *Prepared) countersign(signature []byte) []byte {
	sd := p.countersigned
	a := sd.assembly()
	attribute := encodeAttribute(oidCountersignature, func(b *cryptobyte.Builder) { b.AddBytes(p.signerInfo(signature)) })
	a.signers[p.path[0]] = sd.signers[p.path[0]].withUnsigned(p.path[1:], attribute)
	a.certificates = append(a.certificates, p.certificates()...)
	return a.message(nil)
}
