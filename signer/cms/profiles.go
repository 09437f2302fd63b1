package cms

import (
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/epov-signer/epov/signer/report"
)

// Profile is the shape of a message that we make, and that [Policy.Profile] demands.
type Profile struct {
	Name      string
	Detached  bool
	CAdES     bool // add signingCertificateV2
	TimeStamp bool // CAdES-T: Complete makes CAdES-BES, then a token has to be added with [AddTimeStamp]

	contentType asn1.ObjectIdentifier // nil: id-data
}

func (p *Profile) content() asn1.ObjectIdentifier {
	if p.contentType == nil {
		return oidData
	}
	return p.contentType
}

// Countersignature countersigns a signature of a message, which is the content: the result is that message with one more
// unsigned attribute (RFC 5652 section 11.4), CAdES-BES in form.
var Countersignature = &Profile{Name: "countersignature", CAdES: true}

// Profiles is the whole list. "pkcs7-detached" is what SMEV 3 wants of attachments and ESIA of its clients.
var Profiles = []*Profile{
	{Name: "pkcs7-detached", Detached: true},
	{Name: "pkcs7-attached"},
	{Name: "cades-bes-detached", Detached: true, CAdES: true},
	{Name: "cades-bes-attached", CAdES: true},
	{Name: "cades-t-detached", Detached: true, CAdES: true, TimeStamp: true},
	{Name: "cades-t-attached", CAdES: true, TimeStamp: true},
	Countersignature,
}

// ProfileByName finds a profile; nil when there is none.
func ProfileByName(name string) *Profile {
	for _, p := range Profiles {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// expect holds a signature against the profile: where its content is, that it names its certificate, that it has a time-stamp
// that counts, that it is countersigned. More than the profile asks for is no fault.
func (p *Profile) expect(s *report.Signature, sd *signedData, si *signerInfo) {
	s.Profile = p.Name
	fail := func(format string, args ...any) {
		s.Add(report.Check{Code: report.ProfileForm, Status: report.Failed, Place: si.place, Message: fmt.Sprintf(format, args...)})
	}
	sound := len(s.Checks)
	attached := sd.content != nil || sd.streamed != nil
	has := func(oids ...asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(oids, func(oid asn1.ObjectIdentifier) bool {
			value, _ := si.signed.value(oid)
			return value != nil
		})
	}
	if p == Countersignature {
		if len(si.counters) == 0 {
			fail("the signature is not countersigned")
		}
	} else if attached == p.Detached {
		fail("profile %s wants the content %s", p.Name, map[bool]string{true: "beside the message", false: "in the message"}[p.Detached])
	}
	switch {
	case si.signed == nil:
		fail("profile %s wants signed attributes", p.Name)
	case p.CAdES && p != Countersignature && !has(oidSigningCertificateV2, oidSigningCertificate):
		fail("profile %s wants the attribute signingCertificateV2", p.Name)
	}
	if p.TimeStamp && !slices.ContainsFunc(s.TimeStamps, func(ts report.TimeStamp) bool { return ts.Trusted }) {
		fail("profile %s wants a time-stamp, and there is none that counts", p.Name)
	}
	if len(s.Checks) == sound {
		s.Add(report.Check{Code: report.ProfileForm, Place: si.place, Message: "the signature is as the profile wants it"})
	}
}
