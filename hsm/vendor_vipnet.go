package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// vipNet is ViPNet CSP and ViPNet HSM of Infotecs. Codes of their own are at 0x27300000 (software) and 0x27400000 (HSM), and
// what they mean is not public. The public header packs its structures, so a build for Linux should be looked at first.
var vipNet = Vendor{
	Name:  "vipnet",
	Title: "ViPNet CSP, ViPNet HSM",
	Match: []Match{ // assumed
		{Library: "*infotecs*"}, {Manufacturer: "*infotecs*"}, {Model: "ViPNet*"}, {Manufacturer: "ViPNet*"},
	},

	Mechanism256:  p11.MechGOST,    // header
	Mechanism512:  p11.MechGOST512, // header
	PrivateParams: Retried,         // assumed
	PrivateValue:  NoImport,        // assumed

	Sessions:  8,               // assumed, as for every network HSM
	Serialise: false,           // assumed
	CallTime:  5 * time.Second, // assumed

	AlwaysAuthenticate: ByAttribute, // assumed
	PINFlagsTrusted:    false,       // assumed

	Health:       ByTokenInfo, // assumed
	HealthEvery:  time.Second, // assumed
	Reinitialise: true,        // assumed: sessions of a network HSM may die of idleness, and only that helps

	Sandbox: Sandbox{ // assumed
		Families: []string{"unix", "inet", "inet6"},
		Read:     []string{"/opt/itcs", "/etc/opt/itcs"},
		Write:    []string{"/var/opt/itcs"},
	},
}
