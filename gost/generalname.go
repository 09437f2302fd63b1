package gost

import (
	"encoding/asn1"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxGeneralNames bounds one list of names, addresses or subtrees.
const maxGeneralNames = 256

// GeneralNameKind is the choice taken in a GeneralName: its context tag (RFC 5280 section 4.2.1.6).
type GeneralNameKind uint8

// The kinds that are looked into; the others are kept as they are.
const (
	EmailName     GeneralNameKind = 1
	DNSName       GeneralNameKind = 2
	DirectoryName GeneralNameKind = 4
	URIName       GeneralNameKind = 6
	IPName        GeneralNameKind = 7
)

// GeneralName is one name of a certificate, a distribution point or a constraint.
type GeneralName struct {
	Kind  GeneralNameKind
	Value []byte // content of the tag; for a DirectoryName the DER Name
}

// String renders the name with its kind, as in "URI:http://…".
func (n GeneralName) String() string {
	switch n.Kind {
	case EmailName:
		return "email:" + string(n.Value)
	case DNSName:
		return "DNS:" + string(n.Value)
	case URIName:
		return "URI:" + string(n.Value)
	case DirectoryName:
		return "name:" + Name(n.Value).String()
	case IPName:
		if a, ok := netip.AddrFromSlice(n.Value); ok {
			return "IP:" + a.String()
		}
	}
	return fmt.Sprintf("[%d]:%X", n.Kind, n.Value)
}

// readGeneralName takes a GeneralName off s.
func readGeneralName(s *cryptobyte.String) (GeneralName, bool) {
	var in cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1(&in, &tag) || tag&0xC0 != 0x80 || tag&0x1F > 8 {
		return GeneralName{}, false
	}
	n := GeneralName{Kind: GeneralNameKind(tag & 0x1F), Value: in}
	constructed := tag&0x20 != 0
	switch n.Kind {
	case EmailName, DNSName, URIName: // IA5String, says the standard; CAs put Cyrillic addresses there
		return n, !constructed
	case DirectoryName: // explicitly tagged, for Name is a CHOICE
		_, err := Name(in).decode()
		return n, constructed && err == nil
	}
	return n, true
}

// readGeneralNames reads names to the end of s, at least one.
func readGeneralNames(s cryptobyte.String) ([]GeneralName, bool) {
	var out []GeneralName
	for !s.Empty() {
		n, ok := readGeneralName(&s)
		if !ok || len(out) == maxGeneralNames {
			return nil, false
		}
		out = append(out, n)
	}
	return out, len(out) > 0
}

// uris picks the addresses.
func uris(names []GeneralName) []string {
	var out []string
	for _, n := range names {
		if n.Kind == URIName {
			out = append(out, string(n.Value))
		}
	}
	return out
}

// DistributionPoint says where a CRL is (RFC 5280 section 4.2.1.13).
type DistributionPoint struct {
	Names   []GeneralName // fullName; empty when the point is named relative to the CRL issuer
	Partial bool          // the point covers only some reasons, or another issuer's CRL (cRLIssuer)
}

// URIs lists the addresses of the point, whatever their scheme.
func (p DistributionPoint) URIs() []string { return uris(p.Names) }

// readDistributionPointName reads the content of DistributionPointName: fullName, or a name relative to the issuer, which
// leaves names empty.
func readDistributionPointName(s cryptobyte.String) (names []GeneralName, ok bool) {
	var in cryptobyte.String
	var full bool
	if !s.ReadOptionalASN1(&in, &full, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return nil, false
	}
	if !full {
		return nil, s.SkipASN1(cbasn1.Tag(1).Constructed().ContextSpecific()) && s.Empty()
	}
	names, ok = readGeneralNames(in)
	return names, ok && s.Empty()
}

func readDistributionPoints(s *cryptobyte.String) ([]DistributionPoint, bool) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() || !s.Empty() {
		return nil, false
	}
	var out []DistributionPoint
	for !list.Empty() {
		var in, name, rest cryptobyte.String
		var named, reasons, issuer bool
		if !list.ReadASN1(&in, cbasn1.SEQUENCE) ||
			!in.ReadOptionalASN1(&name, &named, cbasn1.Tag(0).Constructed().ContextSpecific()) ||
			!in.ReadOptionalASN1(&rest, &reasons, cbasn1.Tag(1).ContextSpecific()) ||
			!in.ReadOptionalASN1(&rest, &issuer, cbasn1.Tag(2).Constructed().ContextSpecific()) ||
			!in.Empty() || len(out) == maxGeneralNames {
			return nil, false
		}
		p := DistributionPoint{Partial: reasons || issuer}
		if named {
			var ok bool
			if p.Names, ok = readDistributionPointName(name); !ok {
				return nil, false
			}
		}
		out = append(out, p)
	}
	return out, true
}

// Access methods of authorityInfoAccess (RFC 5280 section 4.2.2.1).
var (
	oidAccessOCSP    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1}
	oidAccessIssuers = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 2}
)

// parseAuthorityInfo keeps the addresses of OCSP responders and of issuers' certificates.
func (c *Certificate) parseAuthorityInfo(s *cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return false
	}
	for n := 0; !list.Empty(); n++ {
		var in cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !list.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&oid) {
			return false
		}
		name, ok := readGeneralName(&in)
		if !ok || !in.Empty() || n == maxGeneralNames {
			return false
		}
		switch {
		case name.Kind != URIName:
		case oid.Equal(oidAccessOCSP):
			c.OCSPServers = append(c.OCSPServers, string(name.Value))
		case oid.Equal(oidAccessIssuers):
			c.IssuerURLs = append(c.IssuerURLs, string(name.Value))
		}
	}
	return true
}

// NameConstraints bound the names of every certificate below a CA (RFC 5280 section 4.2.1.10). For IPName a value is an
// address followed by its mask.
type NameConstraints struct{ Permitted, Excluded []GeneralName }

func readNameConstraints(s *cryptobyte.String) (*NameConstraints, bool) {
	var in cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || in.Empty() {
		return nil, false
	}
	out := &NameConstraints{}
	for tag, list := range []*[]GeneralName{&out.Permitted, &out.Excluded} {
		var subtrees cryptobyte.String
		var present bool
		if !in.ReadOptionalASN1(&subtrees, &present, cbasn1.Tag(tag).Constructed().ContextSpecific()) || present && subtrees.Empty() {
			return nil, false
		}
		for !subtrees.Empty() {
			var subtree cryptobyte.String
			if !subtrees.ReadASN1(&subtree, cbasn1.SEQUENCE) {
				return nil, false
			}
			// minimum is 0 and maximum absent, says the profile; neither is written then.
			n, ok := readGeneralName(&subtree)
			if !ok || !subtree.Empty() || len(*list) == maxGeneralNames {
				return nil, false
			}
			*list = append(*list, n)
		}
	}
	return out, in.Empty()
}
