package gost

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// ErrTestParams says that a key uses a parameter set meant for tests and examples, and that AllowTestParams was not
// given.
var ErrTestParams = errors.New("gost: parameter set is for tests only")

// KeyOption widens what reading and making keys accepts.
type KeyOption func(*keyPolicy)

type keyPolicy struct{ testParams bool }

// AllowTestParams admits the parameter sets that the standards give for tests and examples (ParamSet.TestOnly).
func AllowTestParams() KeyOption { return func(p *keyPolicy) { p.testParams = true } }

// ParamSet is a named set of domain parameters. Several names may stand for one curve (RFC 4357, RFC 7836, RFC 9215).
type ParamSet struct {
	Name     string // "CryptoPro-A", "tc26-256-B", …
	ID       string // name in the standard, as in "id-GostR3410-2001-CryptoPro-A-ParamSet"
	OID      asn1.ObjectIdentifier
	TestOnly bool // refused outside AllowTestParams
	curve    *curve
	// algorithms that may use this name of the curve (RFC 9215 section 4.2)
	algorithms []*Algorithm
	// digestParamSet says that keys name their digest beside the parameter set (RFC 9215 section 4.2); the others
	// omit it
	digestParamSet bool
}

var (
	with2001Or2012 = []*Algorithm{GOST2001, GOST2012_256}
	with256        = []*Algorithm{GOST2012_256}
	with512        = []*Algorithm{GOST2012_512}
)

// ParamSets is the whole list.
var ParamSets = []*ParamSet{
	{"test-256", "id-GostR3410-2001-TestParamSet", cryptoPro(35, 0), true, curveTest256, with2001Or2012, true},
	{"CryptoPro-A", "id-GostR3410-2001-CryptoPro-A-ParamSet", cryptoPro(35, 1), false, curveA, with2001Or2012, true},
	{"CryptoPro-B", "id-GostR3410-2001-CryptoPro-B-ParamSet", cryptoPro(35, 2), false, curveB, with2001Or2012, true},
	{"CryptoPro-C", "id-GostR3410-2001-CryptoPro-C-ParamSet", cryptoPro(35, 3), false, curveC, with2001Or2012, true},
	{"CryptoPro-XchA", "id-GostR3410-2001-CryptoPro-XchA-ParamSet", cryptoPro(36, 0), false, curveA, with2001Or2012, true},
	{"CryptoPro-XchB", "id-GostR3410-2001-CryptoPro-XchB-ParamSet", cryptoPro(36, 1), false, curveC, with2001Or2012, true},
	{"tc26-256-A", "id-tc26-gost-3410-2012-256-paramSetA", tc26(1, 1), false, curve256A, with256, false},
	{"tc26-256-B", "id-tc26-gost-3410-2012-256-paramSetB", tc26(1, 2), false, curveA, with256, false},
	{"tc26-256-C", "id-tc26-gost-3410-2012-256-paramSetC", tc26(1, 3), false, curveB, with256, false},
	{"tc26-256-D", "id-tc26-gost-3410-2012-256-paramSetD", tc26(1, 4), false, curveC, with256, false},
	{"test-512", "id-tc26-gost-3410-2012-512-paramSetTest", tc26(2, 0), true, curveTest512, with512, false},
	{"tc26-512-A", "id-tc26-gost-3410-2012-512-paramSetA", tc26(2, 1), false, curve512A, with512, false},
	{"tc26-512-B", "id-tc26-gost-3410-2012-512-paramSetB", tc26(2, 2), false, curve512B, with512, false},
	{"tc26-512-C", "id-tc26-gost-3410-2012-512-paramSetC", tc26(2, 3), false, curve512C, with512, false},
}

func cryptoPro(arc ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 643, 2, 2}, arc...)
}
func tc26(arc ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 643, 7, 1, 2, 1}, arc...)
}

// SameCurve reports whether both sets name the same curve and base point.
func (p *ParamSet) SameCurve(q *ParamSet) bool { return p.curve == q.curve }

// Size is the number of octets of an integer of the curve: 32 or 64.
func (p *ParamSet) Size() int { return p.curve.size() }

// UsableWith reports whether keys of the algorithm may name this parameter set (RFC 9215 section 4.2).
func (p *ParamSet) UsableWith(a *Algorithm) bool { return slices.Contains(p.algorithms, a) }

func (p *ParamSet) String() string { return p.Name }

// ParamSetByOID finds a parameter set; nil when there is none.
func ParamSetByOID(oid asn1.ObjectIdentifier) *ParamSet {
	for _, p := range ParamSets {
		if p.OID.Equal(oid) {
			return p
		}
	}
	return nil
}

// ParamSetByName finds a parameter set by its Name or ID, compared as exact strings; nil when there is none.
func ParamSetByName(name string) *ParamSet {
	for _, p := range ParamSets {
		if p.Name == name || p.ID == name {
			return p
		}
	}
	return nil
}

// check says whether a key of algorithm a may use the parameter set p under the options given.
func (p *ParamSet) check(a *Algorithm, opts []KeyOption) error {
	var policy keyPolicy
	for _, o := range opts {
		o(&policy)
	}
	switch {
	case !p.UsableWith(a):
		return fmt.Errorf("gost: parameter set %s may not be used with %s keys", p.Name, a.Name)
	case p.TestOnly && !policy.testParams:
		return fmt.Errorf("%w: %s", ErrTestParams, p.Name)
	}
	return nil
}
