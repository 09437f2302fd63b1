package cms

// Profile is the shape of a message that we make.
type Profile struct {
	Name     string // "pkcs7-detached", "pkcs7-attached", "cades-bes-detached", "cades-bes-attached"
	Detached bool
	CAdES    bool // add signingCertificateV2
}

// Profiles is the whole list. "pkcs7-detached" is what SMEV 3 wants of attachments and ESIA of its clients.
var Profiles = []*Profile{
	{Name: "pkcs7-detached", Detached: true},
	{Name: "pkcs7-attached"},
	{Name: "cades-bes-detached", Detached: true, CAdES: true},
	{Name: "cades-bes-attached", CAdES: true},
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
