package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// openSC is OpenSC's module for cards of several vendors. It comes before these: what it can do is not what the card can.
var openSC = Vendor{
	Name:  "opensc",
	Title: "OpenSC",
	Match: []Match{{Library: "OpenSC*"}}, // code

	Mechanism256:  p11.MechGOST, // code: under the label of 2001 only
	Mechanism512:  0,            // code
	PrivateParams: Always,       // code: its own tool sends them in both
	PrivateValue:  NoImport,     // code

	Sessions:  1,                // assumed, as for every smart card
	Serialise: true,             // assumed
	CallTime:  10 * time.Second, // assumed

	AlwaysAuthenticate: ByAttribute, // assumed
	PINFlagsTrusted:    false,       // assumed: as the card has it

	Health:       ByTokenInfo, // issue OpenSC#1771: C_GetSessionInfo goes to the card
	HealthEvery:  time.Second, // assumed
	Reinitialise: true,        // issues OpenSC#1935, #3241

	Sandbox: smartCard,
}
