package signer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust/lint"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// CheckSignRequest asks whether a signature would be made. Document belongs to profiles of XML, the rest of the source to
// those of CMS.
type CheckSignRequest struct {
	Key      string
	Profile  string
	Document []byte
	Target   string
	ByDigest bool
	Content  []byte
	Digest   []byte
	Time     time.Time // claimed signing time; zero: now
}

// Readiness is the answer.
type Readiness struct {
	Key         string // exact version that would sign
	Fingerprint string // Streebog-256 of its certificate, hexadecimal; empty when it has none
	// Checks are what signing demands; each that failed is why it would be refused. Warnings are what signing does not
	// demand and recipients do, or will soon: all of them have failed or could not be checked.
	Checks, Warnings []report.Check
}

// Ready says whether the signature would be made, as far as is known without the token.
func (r *Readiness) Ready() bool {
	for _, c := range r.Checks {
		if c.Status == report.Failed {
			return false
		}
	}
	return true
}

// notice is how long before its end a certificate is mentioned.
const notice = 30 * 24 * time.Hour

// CheckSign goes the way of SignXML or SignCMS up to the key, whose token it does not touch, and looks at what recipients
// will look at. Needs what the signature would need. The error says that there is no such key, no such profile, or no right.
func (s *Service) CheckSign(ctx context.Context, caller *Caller, req CheckSignRequest) (*Readiness, error) {
	isCMS := cms.ProfileByName(req.Profile) != nil
	want := asked{op: OpSignXML, key: req.Key, profile: req.Profile, octets: len(req.Document) + len(req.Content) + len(req.Digest)}
	if isCMS {
		if want.op = OpSignCMS; req.ByDigest {
			want.further = OpSignDigest
		}
	}
	key, in, err := s.find(caller, want)
	defer func() { in.leave(s.now()) }()
	if err != nil {
		return nil, about(err, req.Key)
	}
	if !isCMS && xmldsig.ProfileByName(req.Profile) == nil {
		name := func(p *xmldsig.Profile) string { return p.Name }
		all := append(known(xmldsig.Profiles, name), known(cms.Profiles, func(p *cms.Profile) string { return p.Name })...)
		return nil, unknownProfile(req.Profile, all)
	}
	if err := expired(ctx); err != nil {
		return nil, err
	}
	out := &Readiness{Key: key.Name(), Fingerprint: fingerprint(key.Certificate())}
	check := func(err error, code report.Code, passed string) bool {
		if err == nil {
			out.Checks = append(out.Checks, report.Check{Code: code, Message: passed})
			return true
		}
		out.Checks = append(out.Checks, failed(err))
		return false
	}
	check(available(key), report.TokenAway, "the key's token is not known to be away")
	usable := check(s.usable(key, true), report.KeyUnusable, "the key has a certificate that is valid, and for signing")
	if isCMS {
		if usable {
			_, err = s.prepareCMS(key, SignCMSRequest{
				Key: req.Key, Profile: req.Profile, ByDigest: req.ByDigest, Content: req.Content, Digest: req.Digest, Time: req.Time,
			})
			check(err, report.RequestInvalid, "the content can be signed as the profile says")
		}
	} else {
		s.checkXML(key, req, usable, out, check)
	}
	out.Warnings = append(out.Warnings, s.forecast(key)...)
	return out, nil
}

func (s *Service) checkXML(key Key, req CheckSignRequest, usable bool, out *Readiness, check func(error, report.Code, string) bool) {
	sign := SignXMLRequest{Key: req.Key, Profile: req.Profile, Document: req.Document, Target: req.Target, Time: req.Time}
	p := xmldsig.ProfileByName(req.Profile)
	in := s.inputXML(key, sign)
	const passed = "the document can be signed as the profile says"
	var err error
	if usable {
		_, err = s.prepareXML(key, sign)
	} else if err = s.fits("document", req.Document, report.XMLLimit); err == nil {
		in.Certificate = nil // which is at fault: look at the message without it
		err = p.Check(in)
	}
	check(err, report.TargetMissing, passed)
	if len(req.Document) <= s.settings.Load().Limits.MessageBytes {
		out.Warnings = append(out.Warnings, p.Lint(in)...)
	}
}

// available asks the key without asking its token.
func available(key Key) error {
	if a, ok := key.(Availability); ok {
		return a.Available()
	}
	return nil
}

// forecast is what recipients may think of the key's certificate, now or soon.
func (s *Service) forecast(key Key) []report.Check {
	c := key.Certificate()
	if c == nil {
		return nil
	}
	var out []report.Check
	for _, check := range s.settings.Load().Trust.Check(c, key.Chain(), s.now()).Checks {
		if check.Status != report.Passed {
			out = append(out, check)
		}
	}
	soon := func(code report.Code, end time.Time, format string) {
		if now := s.now(); !end.IsZero() && now.Before(end) && end.Sub(now) < notice {
			out = append(out, report.Check{Code: code, Status: report.Failed, Message: fmt.Sprintf(format, end.UTC().Format(time.RFC3339))})
		}
	}
	soon(report.CertTime, c.NotAfter, "the certificate ends soon, on %s")
	soon(report.CertKeyPeriod, c.PrivateKeyNotAfter, "the key may sign until %s only")
	return append(out, form(c)...)
}

// form sums up how the certificate deviates from the form of qualified ones; `epov cert lint` has it in full.
func form(c *gost.Certificate) []report.Check {
	const most = 3
	var codes []string
	count := 0
	for _, f := range lint.Check(c) {
		if f.Severity != lint.Error {
			continue
		}
		if count++; count <= most {
			codes = append(codes, f.Code)
		}
	}
	if count == 0 {
		return nil
	}
	if count > most {
		codes = append(codes, "…")
	}
	return []report.Check{{Code: report.CertForm, Status: report.Failed, Message: fmt.Sprintf(
		"the certificate deviates in %d points from the form of qualified certificates (FSB order 795): %s", count,
		strings.Join(codes, ", "))}}
}

func failed(err error) report.Check {
	e, ok := errors.AsType[*report.Error](err)
	if !ok {
		e = asError(err)
	}
	return report.Check{Code: e.Code, Status: report.Failed, Message: e.Message, Place: e.Place}
}
