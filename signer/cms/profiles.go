package cms

import "encoding/asn1"

// Profile is the shape of a message that we make.
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
