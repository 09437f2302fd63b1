package xmldsig

import (
	"bytes"
	"crypto/sha1"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// checkSigner refuses to sign with a certificate that makes every verifier refuse the signature.
func checkSigner(c *gost.Certificate, at time.Time) error {
	if c == nil {
		return report.Errorf(report.KeyUnusable, report.Place{}, "the key has no certificate yet")
	}
	if c.PublicKey == nil {
		return &report.Error{Code: report.CertKey, Message: "the key in the certificate is not usable", Err: c.PublicKeyErr}
	}
	if c.PublicKey.Algorithm == gost.GOST2001 {
		return report.Errorf(report.KeyUnusable, report.Place{}, "keys of GOST R 34.10-2001 sign nothing new")
	}
	now := time.Now()
	if at.IsZero() {
		at = now
	}
	for _, at := range []time.Time{now, at} {
		switch {
		case at.Before(c.NotBefore) || at.After(c.NotAfter):
			return report.Errorf(report.CertTime, report.Place{}, "the certificate is valid from %s to %s, not at %s",
				c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
		case !c.PrivateKeyNotBefore.IsZero() && at.Before(c.PrivateKeyNotBefore),
			!c.PrivateKeyNotAfter.IsZero() && at.After(c.PrivateKeyNotAfter):
			return report.Errorf(report.CertKeyPeriod, report.Place{},
				"%s lies outside the usage period of the private key", at.UTC().Format(time.RFC3339))
		}
	}
	switch {
	case c.HasKeyUsage && c.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		return report.Errorf(report.CertUsage, report.Place{}, "the key usage does not allow to sign documents")
	case len(c.UnknownCritical) > 0:
		return report.Errorf(report.CertExtension, report.Place{}, "the certificate has a critical extension that is not understood")
	}
	return nil
}

// certificates reads what KeyInfo offers. The error says why there is nothing to verify with.
func (e *examiner) certificates(s *signature) ([]*gost.Certificate, *report.Error) {
	if s.keyInfo < 0 {
		return nil, e.fail(report.KeyInfo, s.node, "there is no KeyInfo, so nobody says whose signature this is")
	}
	var out []*gost.Certificate
	var first *report.Error
	holders := 0
	take := func(certs []*gost.Certificate, err *report.Error) {
		out = append(out, certs...)
		if holders++; err != nil && first == nil {
			first = err
		}
	}
	for _, k := range e.children(s.keyInfo) {
		switch e.nodes[k].sym {
		case "ds:X509Data":
			for _, h := range e.named(k, "ds:X509Certificate") {
				if holders < maxCertificates {
					take(e.readCertificates(h, false))
				} else {
					holders++
				}
			}
		case "wsse:SecurityTokenReference":
			if holders <= maxCertificates {
				certs, err := e.token(s, k)
				if err != nil {
					return nil, err
				}
				take(certs, nil)
			}
		}
	}
	switch {
	case holders == 0:
		return nil, e.fail(report.KeyInfo, s.keyInfo, "KeyInfo holds no certificate and names none in the message")
	case holders > maxCertificates:
		return nil, e.fail(report.KeyInfo, s.keyInfo, "KeyInfo holds more than %d certificates", maxCertificates)
	case len(out) == 0:
		return nil, first
	}
	return out, nil
}

// smuggled refuses elements of messages in KeyInfo, which mostly nothing covers: a reader that goes by names alone would take
// them for the signed ones.
func (e *examiner) smuggled(s *signature, out *report.Signature) {
	for n := s.keyInfo + 1; s.keyInfo >= 0 && n < len(e.nodes) && e.within(n, s.keyInfo); n++ {
		if space := e.nodes[n].space; space != nsDS && space != nsWSSE && space != nsWSU && e.nodes[n].sym != "" {
			out.Add(failed(e.fail(report.CoverageWrong, n, "KeyInfo holds %s, which belongs into no KeyInfo", e.nodes[n].local)))
			return
		}
	}
}

// readCertificates reads base64 of a certificate, or of a PKIPath: SEQUENCE OF Certificate (X.509 token profile 1.1, section
// 3.1), the signer's last.
func (e *examiner) readCertificates(n int, path bool) ([]*gost.Certificate, *report.Error) {
	bad := func(format string, args ...any) ([]*gost.Certificate, *report.Error) {
		return nil, e.fail(report.CertSyntax, n, "the certificate cannot be read: "+format, args...)
	}
	der, err := decode(e.nodes[n].text)
	if err != nil || e.nodes[n].children > 0 {
		return bad("the text is not base64")
	}
	if !path {
		c, err := e.policy.Keys.ParseCertificate(der)
		if err != nil {
			return bad("%v", err)
		}
		return []*gost.Certificate{c}, nil
	}
	var out []*gost.Certificate
	var list cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() || list.Empty() {
		return bad("the token is no PKIPath")
	}
	for !list.Empty() {
		var element cryptobyte.String
		if !list.ReadASN1Element(&element, asn1.SEQUENCE) || len(out) == maxCertificates {
			return bad("the token is no PKIPath of up to %d certificates", maxCertificates)
		}
		c, err := e.policy.Keys.ParseCertificate(element)
		if err != nil {
			return bad("%v", err)
		}
		out = append(out, c)
	}
	slices.Reverse(out)
	return out, nil
}

// token finds the certificates that a SecurityTokenReference means, only inside the Security header of the Signature (WSS X.509
// token profile 1.1, section 3.2).
func (e *examiner) token(s *signature, reference int) ([]*gost.Certificate, *report.Error) {
	header := e.nodes[s.node].parent
	if header < 0 || !strings.HasPrefix(e.nodes[header].sym, "wsse:Security") {
		return nil, e.fail(report.KeyInfo, reference, "a token reference outside of wsse:Security")
	}
	kids := e.children(reference)
	if len(kids) != 1 || e.nodes[reference].children != 1 {
		return nil, e.fail(report.KeyInfo, reference, "SecurityTokenReference must hold one reference")
	}
	kid := kids[0]
	switch e.nodes[kid].sym {
	case "wsse:Reference":
		uri, _ := e.nodes[kid].attr("", "URI")
		id := strings.TrimPrefix(uri, "#") // some peers leave '#' out
		b, known := e.bearers[id]
		switch {
		case id == "" || !known:
			return nil, e.fail(report.KeyInfo, kid, "no token has the Id that is referred to")
		case e.twice[id] != clash{}:
			return nil, e.fail(report.XMLDuplicateID, kid, "the Id of the token is used by another element too")
		case e.nodes[b.node].sym != "wsse:BinarySecurityToken" || e.nodes[b.node].parent != header:
			return nil, e.fail(report.KeyInfo, kid, "the reference means no BinarySecurityToken in the same wsse:Security")
		}
		return e.binaryToken(b.node)
	case "wsse:KeyIdentifier":
		valueType, _ := e.nodes[kid].attr("", "ValueType")
		encoding, given := e.nodes[kid].attr("", "EncodingType")
		want, err := decode(e.nodes[kid].text)
		if given && encoding != tokenBase64 || err != nil || len(want) == 0 {
			return nil, e.fail(report.KeyInfo, kid, "the KeyIdentifier is not base64")
		}
		switch valueType {
		case keySKI:
			return e.tokenWith(header, kid, func(c *gost.Certificate) bool { return bytes.Equal(c.SubjectKeyID, want) })
		case keyThumbprint:
			return e.tokenWith(header, kid, func(c *gost.Certificate) bool { sum := sha1.Sum(c.Raw); return bytes.Equal(sum[:], want) })
		}
		return nil, e.fail(report.KeyInfo, kid, "a KeyIdentifier of this ValueType is not supported: %s", quote(valueType))
	case "ds:X509Data":
		if list := e.named(kid, "ds:X509IssuerSerial"); len(list) == 1 && e.nodes[kid].children == 1 {
			return e.tokenWith(header, kid, func(c *gost.Certificate) bool { return e.isIssuerSerial(list[0], c) })
		}
	}
	return nil, e.fail(report.KeyInfo, kid, "a SecurityTokenReference with %s is not supported", quote(e.nodes[kid].qname))
}

// tokenWith finds the certificates of the header's tokens that an identifier fits. The identifier only finds: that the
// signature verifies with the key says whose it is.
func (e *examiner) tokenWith(header, reference int, fits func(*gost.Certificate) bool) (out []*gost.Certificate, err *report.Error) {
	tokens := e.named(header, "wsse:BinarySecurityToken")
	for _, n := range tokens[:min(len(tokens), maxCertificates)] {
		certs, _ := e.binaryToken(n)
		if slices.ContainsFunc(certs, fits) {
			out = append(out, certs...)
		}
	}
	if len(out) == 0 {
		return nil, e.fail(report.KeyInfo, reference, "no BinarySecurityToken in the same wsse:Security is the one referred to")
	}
	return out, nil
}

// binaryToken reads a BinarySecurityToken.
func (e *examiner) binaryToken(n int) ([]*gost.Certificate, *report.Error) {
	valueType, given := e.nodes[n].attr("", "ValueType")
	if given && valueType != tokenX509 && valueType != tokenPKIPath {
		return nil, e.fail(report.KeyInfo, n, "the token's ValueType is neither that of one X.509 certificate nor of a PKIPath")
	}
	if t, ok := e.nodes[n].attr("", "EncodingType"); ok && t != tokenBase64 {
		return nil, e.fail(report.KeyInfo, n, "the token's EncodingType is not base64")
	}
	return e.readCertificates(n, valueType == tokenPKIPath)
}
