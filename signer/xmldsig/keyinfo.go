package xmldsig

import (
	"fmt"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
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
	var nobody *trust.Store
	for _, check := range append(nobody.Check(c, nil, now).Checks, nobody.Check(c, nil, at).Checks...) {
		if check.Status == report.Failed && check.Code != report.CertPath {
			return report.Errorf(check.Code, report.Place{}, "%s", check.Message)
		}
	}
	return nil
}

// certificates reads what KeyInfo offers. The error says why there is nothing to verify with.
func (o *outline) certificates(s *signature) ([]*gost.Certificate, *report.Error) {
	if s.keyInfo < 0 {
		return nil, o.fail(report.KeyInfo, s.node, "there is no KeyInfo, so nobody says whose signature this is")
	}
	var holders []int
	for _, k := range o.children(s.keyInfo) {
		switch o.nodes[k].sym {
		case "ds:X509Data":
			holders = append(holders, o.named(k, "ds:X509Certificate")...)
		case "wsse:SecurityTokenReference":
			token, err := o.token(s, k)
			if err != nil {
				return nil, err
			}
			holders = append(holders, token)
		}
	}
	switch {
	case len(holders) == 0:
		return nil, o.fail(report.KeyInfo, s.keyInfo, "KeyInfo holds no certificate and names none in the message")
	case len(holders) > maxCertificates:
		return nil, o.fail(report.KeyInfo, s.keyInfo, "KeyInfo holds more than %d certificates", maxCertificates)
	}
	var out []*gost.Certificate
	var first *report.Error
	for _, h := range holders {
		der, err := decode(o.nodes[h].text)
		if err != nil {
			err = fmt.Errorf("the text is not base64")
		} else if cert, e := gost.ParseCertificate(der); e == nil {
			out = append(out, cert)
			continue
		} else {
			err = e
		}
		if first == nil {
			first = o.fail(report.CertSyntax, h, "the certificate cannot be read: %v", err)
		}
	}
	if len(out) == 0 {
		return nil, first
	}
	return out, nil
}

// token finds the BinarySecurityToken that a SecurityTokenReference means, only inside the Security header of the Signature
// (WSS X.509 token profile 1.1, section 3.2).
func (o *outline) token(s *signature, reference int) (int, *report.Error) {
	kids := o.children(reference)
	if len(kids) != 1 || o.nodes[kids[0]].sym != "wsse:Reference" {
		return 0, o.fail(report.KeyInfo, reference, "SecurityTokenReference must hold one wsse:Reference; other forms are not supported")
	}
	uri, _ := o.nodes[kids[0]].attr("", "URI")
	id := strings.TrimPrefix(uri, "#") // some peers leave '#' out
	header := o.nodes[s.node].parent
	b, known := o.bearers[id]
	switch {
	case header < 0 || !strings.HasPrefix(o.nodes[header].sym, "wsse:Security"):
		return 0, o.fail(report.KeyInfo, reference, "a token reference outside of wsse:Security")
	case id == "" || !known:
		return 0, o.fail(report.KeyInfo, kids[0], "no token has the Id that is referred to")
	case o.twice[id] != clash{}:
		return 0, o.fail(report.XMLDuplicateID, kids[0], "the Id of the token is used by another element too")
	case o.nodes[b.node].sym != "wsse:BinarySecurityToken" || o.nodes[b.node].parent != header:
		return 0, o.fail(report.KeyInfo, kids[0], "the reference means no BinarySecurityToken in the same wsse:Security")
	}
	token := &o.nodes[b.node]
	if t, ok := token.attr("", "ValueType"); ok && t != tokenX509 {
		return 0, o.fail(report.KeyInfo, b.node, "the token's ValueType is not that of one X.509 certificate")
	}
	if t, ok := token.attr("", "EncodingType"); ok && t != tokenBase64 {
		return 0, o.fail(report.KeyInfo, b.node, "the token's EncodingType is not base64")
	}
	return b.node, nil
}

// describe says whose a certificate is.
func describe(c *gost.Certificate) *report.Signer {
	return &report.Signer{
		Subject: c.Subject.String(), Issuer: c.Issuer.String(), Serial: fmt.Sprintf("%X", c.Serial),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Fingerprint: fmt.Sprintf("%x", c.Fingerprint()), Certificate: c.Raw,
	}
}
