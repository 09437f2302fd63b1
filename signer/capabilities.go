package signer

import (
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// Capabilities are what a service offers, as it is configured.
type Capabilities struct {
	MessageBytes int
	StreamBytes  int64
	RequestIDs   RequestIDs // bounds that hold
	Profiles     []ProfileInfo
	Algorithms   []*gost.Algorithm
	Audit        bool // signatures are recorded
	TimeStamps   bool // profiles with time-stamps are made
}

// ProfileInfo is a profile that can be made.
type ProfileInfo struct {
	Name      string
	Format    string // "xml" or "cms"
	Stream    bool   // SignCMSStream makes it
	TimeStamp bool
	ByDigest  bool // a digest may be given instead of the content
}

// Capabilities of the service.
func (s *Service) Capabilities() Capabilities {
	now := s.settings.Load()
	c := Capabilities{
		MessageBytes: now.Limits.MessageBytes, StreamBytes: now.Limits.StreamBytes, RequestIDs: now.RequestIDs.withDefaults(),
		Algorithms: gost.Algorithms, Audit: s.audit != nil, TimeStamps: now.TimeStamps != nil,
	}
	for _, p := range xmldsig.Profiles {
		if now.TimeStamps != nil || !p.Stamped() {
			c.Profiles = append(c.Profiles, ProfileInfo{Name: p.Name, Format: "xml", TimeStamp: p.Stamped()})
		}
	}
	for _, p := range cms.Profiles {
		if now.TimeStamps != nil || !p.TimeStamp {
			c.Profiles = append(c.Profiles, ProfileInfo{
				Name: p.Name, Format: "cms", Stream: p.Streams(), TimeStamp: p.TimeStamp, ByDigest: p.Detached,
			})
		}
	}
	return c
}

// Signs reports whether new signatures are made with an algorithm.
func Signs(a *gost.Algorithm) bool { return a != gost.GOST2001 }
