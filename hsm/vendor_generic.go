package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// generic is a token of which nothing is known but the standard.
var generic = Vendor{
	Name:  "generic",
	Title: "PKCS#11 token",
	Match: []Match{{}},

	Mechanism256:  p11.MechGOST,    // PKCS#11 2.40
	Mechanism512:  p11.MechGOST512, // the TC26 extension, in which all headers agree
	PrivateParams: Retried,
	PrivateValue:  LittleEndian, // PKCS#11 2.40

	Sessions:  8, // a bound only; a token that opens fewer says so
	Serialise: false,
	CallTime:  10 * time.Second,

	AlwaysAuthenticate: ByAttribute,
	Attended:           rutoken.Attended, // a token of theirs may go by another name
	PINFlagsTrusted:    false,

	Health:       ByTokenInfo,
	HealthEvery:  time.Second,
	Reinitialise: true,

	Sandbox: Sandbox{
		Families: []string{"unix", "inet", "inet6", "netlink"},
		Sockets:  smartCard.Sockets,
		Read:     smartCard.Read,
	},
}
