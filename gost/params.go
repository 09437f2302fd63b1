package gost

import "encoding/asn1"

// ParamSet is a named set of domain parameters. Several names may stand for one curve (RFC 4357, RFC 7836, RFC 9215).
type ParamSet struct {
	Name     string // "CryptoPro-A", "tc26-256-B", …
	OID      asn1.ObjectIdentifier
	TestOnly bool // refused outside AllowTestParams
	curve    *curve
}

// SameCurve reports whether both sets name the same curve and base point.
func (p *ParamSet) SameCurve(q *ParamSet) bool { return p.curve == q.curve }

// ParamSets is the whole list.
var ParamSets []*ParamSet

// ParamSetByOID finds a parameter set; nil when there is none.
func ParamSetByOID(oid asn1.ObjectIdentifier) *ParamSet { panic("skeleton") }

// ParamSetByName finds a parameter set; nil when there is none.
func ParamSetByName(name string) *ParamSet { panic("skeleton") }

type curve struct{}
