package trust

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/epov-signer/epov/gost"
)

// checkNames holds the names of every certificate against the name constraints of the CAs above it (RFC 5280 section
// 4.2.1.10), the anchor's included (RFC 5937).
func checkNames(path []*gost.Certificate) error {
	for i := 1; i < len(path); i++ {
		constraints := path[i].NameConstraints
		if constraints == nil {
			continue
		}
		for j, c := range path[:i] {
			if j > 0 && c.SelfIssued() {
				continue
			}
			for _, n := range namesOf(c) {
				if err := permitted(n, constraints); err != nil {
					return fmt.Errorf("the name constraints of %s: %w", path[i].Subject, err)
				}
			}
		}
	}
	return nil
}

// namesOf lists the names of a certificate that constraints speak of.
func namesOf(c *gost.Certificate) []gost.GeneralName {
	names := c.AlternativeNames
	if len(c.RawSubject) > 2 { // not the empty name
		names = append([]gost.GeneralName{{Kind: gost.DirectoryName, Value: c.RawSubject}}, names...)
	}
	for _, a := range c.Subject.Attributes() {
		if a.Name == "emailAddress" {
			names = append(names, gost.GeneralName{Kind: gost.EmailName, Value: []byte(a.Text)})
		}
	}
	return names
}

func permitted(n gost.GeneralName, c *gost.NameConstraints) error {
	for _, x := range c.Excluded {
		if x.Kind != n.Kind {
			continue
		}
		if !comparable(n) || n.Kind == gost.DirectoryName && !gost.Name(x.Value).Settled() {
			return fmt.Errorf("%s cannot be held against those excluded", n)
		}
		if in, err := within(n, x); err != nil {
			return err
		} else if in {
			return fmt.Errorf("%s is excluded", n)
		}
	}
	constrained := false
	for _, p := range c.Permitted {
		if p.Kind != n.Kind {
			continue
		}
		constrained = true
		if in, err := within(n, p); err != nil {
			return err
		} else if in {
			return nil
		}
	}
	if constrained {
		return fmt.Errorf("%s is not among those permitted", n)
	}
	return nil
}

// comparable reports whether it is certain which subtrees a name is in. What is permitted must be matched; what is excluded
// must not, so that a spelling which we do not follow and others do would be a way around it.
func comparable(n gost.GeneralName) bool {
	value := string(n.Value)
	switch n.Kind {
	case gost.DirectoryName:
		return gost.Name(n.Value).Settled()
	case gost.DNSName:
		return plainHost(value)
	case gost.EmailName:
		at := strings.LastIndexByte(value, '@')
		return at >= 0 && plainHost(value[at+1:])
	case gost.URIName:
		u, err := url.Parse(value)
		return err == nil && plainHost(u.Hostname())
	case gost.IPName:
		a, ok := netip.AddrFromSlice(n.Value)
		return ok && !a.Is4In6()
	}
	return true
}

// plainHost reports whether a host is written as RFC 5280 section 7 wants it: in ASCII, without the dot of the root.
func plainHost(host string) bool {
	odd := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.*", r))
	}
	return host != "" && !strings.HasSuffix(host, ".") && !strings.ContainsFunc(host, odd)
}

// within reports whether a name lies in a subtree of its kind. Kinds that are not understood are an error, as the standard
// wants it.
func within(n, subtree gost.GeneralName) (bool, error) {
	name, base := string(n.Value), string(subtree.Value)
	switch n.Kind {
	case gost.DirectoryName:
		return gost.Name(n.Value).Within(gost.Name(subtree.Value)), nil
	case gost.DNSName:
		return hostWithin(name, base, true), nil
	case gost.EmailName:
		at := strings.LastIndexByte(name, '@')
		if strings.Contains(base, "@") {
			b := strings.LastIndexByte(base, '@')
			return at >= 0 && name[:at] == base[:b] && strings.EqualFold(name[at:], base[b:]), nil
		}
		return at >= 0 && hostWithin(name[at+1:], base, false), nil
	case gost.URIName:
		u, err := url.Parse(name)
		if err != nil || u.Hostname() == "" {
			return false, fmt.Errorf("%s has no host to hold against them", n)
		}
		return hostWithin(u.Hostname(), base, false), nil
	case gost.IPName:
		return ipWithin(n.Value, subtree.Value), nil
	}
	return false, fmt.Errorf("names of kind %d are not understood", n.Kind)
}

// hostWithin: a leading dot means hosts below only. Without one a DNS constraint includes what is below, others mean this
// very host.
func hostWithin(host, base string, below bool) bool {
	host, base = strings.ToLower(host), strings.ToLower(base)
	switch {
	case base == "":
		return true
	case strings.HasPrefix(base, "."):
		return strings.HasSuffix(host, base)
	}
	return host == base || below && strings.HasSuffix(host, "."+base)
}

// ipWithin: the constraint is an address followed by its mask.
func ipWithin(ip, subtree []byte) bool {
	n := len(ip)
	if len(subtree) != 2*n || n == 0 {
		return false
	}
	masked := make([]byte, n)
	for i := range ip {
		masked[i] = ip[i] & subtree[n+i]
	}
	base := make([]byte, n)
	for i := range base {
		base[i] = subtree[i] & subtree[n+i]
	}
	return bytes.Equal(masked, base)
}
