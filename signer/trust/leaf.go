package trust

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

func checkKey(c *gost.Certificate, purpose Purpose) report.Check {
	check := report.Check{Code: report.CertKey}
	switch {
	case c.PublicKey != nil:
		check.Message = "the certificate's key is an acceptable " + c.PublicKey.Algorithm.Name + " key"
	case purpose != Documents && c.OtherKey != nil:
		check.Message = "the certificate's key is an acceptable RSA or ECDSA key"
	default:
		check.Status, check.Message = report.Failed, fmt.Sprintf("the certificate's key is not usable: %v", c.PublicKeyErr)
	}
	return check
}

func checkTime(c *gost.Certificate, at time.Time) report.Check {
	check := report.Check{Code: report.CertTime, Expected: period(c.NotBefore, c.NotAfter), Got: stamp(at)}
	if why := outside(at, c.NotBefore, c.NotAfter); why != "" {
		check.Status, check.Message = report.Failed, "the certificate "+why
		return check
	}
	check.Message = "the certificate is within its validity"
	return check
}

// oidOCSPSigning is a key purpose (RFC 6960 section 4.2.2.2).
var oidOCSPSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}

// checkUsage: a certificate without keyUsage is not restricted; one with it must allow to sign documents (RFC 4490 wants
// more for signatures that replace a handwritten one; certificates of Russian CAs break that).
func checkUsage(c *gost.Certificate, purpose Purpose, demanded []asn1.ObjectIdentifier) report.Check {
	const documents = gost.UsageDigitalSignature | gost.UsageContentCommitment
	check := report.Check{Code: report.CertUsage, Expected: "digitalSignature or contentCommitment", Got: c.KeyUsage.String()}
	switch {
	case c.HasKeyUsage && c.KeyUsage&documents == 0:
		check.Status, check.Message = report.Failed, "the key usage does not allow to sign documents"
	case purpose == Documents && len(demanded) > 0 && !slices.ContainsFunc(c.ExtKeyUsage, among(demanded)):
		check.Status, check.Message = report.Failed, "the certificate names none of the key purposes that are demanded"
		check.Expected, check.Got = fmt.Sprint(demanded), fmt.Sprint(c.ExtKeyUsage)
	case !c.HasKeyUsage:
		check.Got = "no keyUsage"
		check.Message = "the certificate does not restrict its key usage"
	default:
		check.Message = "the key usage allows to sign documents"
	}
	return check
}

func among(list []asn1.ObjectIdentifier) func(asn1.ObjectIdentifier) bool {
	return func(oid asn1.ObjectIdentifier) bool { return slices.ContainsFunc(list, oid.Equal) }
}

func checkKeyPeriod(c *gost.Certificate, at time.Time) report.Check {
	check := report.Check{Code: report.CertKeyPeriod, Expected: period(c.PrivateKeyNotBefore, c.PrivateKeyNotAfter), Got: stamp(at)}
	switch {
	case c.PrivateKeyNotBefore.IsZero() && c.PrivateKeyNotAfter.IsZero():
		check.Expected, check.Got = "", ""
		check.Message = "the certificate sets the private key no shorter period"
	case !c.PrivateKeyNotBefore.IsZero() && at.Before(c.PrivateKeyNotBefore):
		check.Status, check.Message = report.Failed, "the private key was not yet to be used"
	case !c.PrivateKeyNotAfter.IsZero() && at.After(c.PrivateKeyNotAfter):
		check.Status, check.Message = report.Failed, "the private key was no longer to be used"
	default:
		check.Message = "the private key is within its usage period"
	}
	return check
}

func checkExtensions(c *gost.Certificate) report.Check {
	if len(c.UnknownCritical) > 0 {
		return report.Check{Code: report.CertExtension, Status: report.Failed, Got: fmt.Sprint(c.UnknownCritical),
			Message: "the certificate has a critical extension that is not understood"}
	}
	return report.Check{Code: report.CertExtension, Message: "every critical extension is understood"}
}

// outside says how at misses the period, both ends of which belong to it; empty when it does not.
func outside(at, from, to time.Time) string {
	switch {
	case to.Before(from):
		return "is never valid: its notAfter lies before its notBefore"
	case at.Before(from):
		return "is not valid before " + stamp(from)
	case at.After(to):
		return "has expired at " + stamp(to)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func period(from, to time.Time) string {
	text := func(t time.Time) string {
		if t.IsZero() {
			return "…"
		}
		return stamp(t)
	}
	return text(from) + " to " + text(to)
}
