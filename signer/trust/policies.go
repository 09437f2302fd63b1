package trust

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

var oidAnyPolicy = asn1.ObjectIdentifier{2, 5, 29, 32, 0}

// policySet is a set of certificate policies; any stands for all of them.
type policySet struct {
	any  bool
	oids []asn1.ObjectIdentifier
}

func (p policySet) empty() bool { return !p.any && len(p.oids) == 0 }

// narrow is what remains of the set when a certificate is issued under further policies.
func (p policySet) narrow(q policySet) policySet {
	switch {
	case p.any:
		return q
	case q.any:
		return p
	}
	var out policySet
	for _, oid := range p.oids {
		if slices.ContainsFunc(q.oids, oid.Equal) {
			out.oids = append(out.oids, oid)
		}
	}
	return out
}

// policies computes under which policies a path was issued (RFC 5280 section 6.1, without mappings, for which the standard
// leaves the choice): those that every certificate below the anchor names. The error says that the path itself demands one
// and has none.
func policies(path []*gost.Certificate) (policySet, error) {
	valid := policySet{any: true}
	below := path[:len(path)-1]
	explicit, inhibitAny := len(path), len(path) // so many certificates more until it is demanded, until anyPolicy ends
	for i, c := range slices.Backward(below) {
		var own policySet
		for _, oid := range c.Policies {
			if !oid.Equal(oidAnyPolicy) {
				own.oids = append(own.oids, oid)
			} else if inhibitAny > 0 || i > 0 && c.SelfIssued() {
				own.any = true
			}
		}
		valid = valid.narrow(own)
		if explicit == 0 && valid.empty() {
			return valid, errors.New("a CA of the path demands a certificate policy, and the certificates have none in common")
		}
		if i == 0 || !c.SelfIssued() {
			explicit, inhibitAny = max(explicit-1, 0), max(inhibitAny-1, 0)
		}
		if n := c.RequireExplicitPolicy; n >= 0 && (i > 0 || n == 0) {
			explicit = min(explicit, n)
		}
		if n := c.InhibitAnyPolicy; n >= 0 {
			inhibitAny = min(inhibitAny, n)
		}
	}
	if explicit == 0 && valid.empty() {
		return valid, errors.New("the path demands a certificate policy, and the certificates have none in common")
	}
	return valid, nil
}

// checkPolicies demands one of the policies, of the signer's certificate by name.
func checkPolicies(path []*gost.Certificate, demanded []asn1.ObjectIdentifier) report.Check {
	check := report.Check{Code: report.CertPolicy, Expected: "one of " + fmt.Sprint(demanded)}
	if path == nil {
		check.Status, check.Message = report.NotChecked, "under which policies the certificate was issued is not known without a path"
		return check
	}
	check.Got = fmt.Sprint(path[0].Policies)
	valid, _ := policies(path)
	named := slices.ContainsFunc(path[0].Policies, among(demanded))
	switch {
	case !named:
		check.Status, check.Message = report.Failed, "the certificate names none of the policies that are demanded"
	case !valid.any && !slices.ContainsFunc(valid.oids, among(demanded)):
		check.Status, check.Message = report.Failed, "a CA of the path may not issue under the policies that are demanded"
	default:
		check.Message = "the certificate was issued under a policy that is demanded"
	}
	return check
}
