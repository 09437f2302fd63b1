package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// esmart is ESMART Token GOST by the vendor's module isbc_pkcs11_main, which loads a module per family of cards from its own
// folder; where that is missing, no token is seen.
var esmart = Vendor{
	Name:  "esmart",
	Title: "ESMART Token GOST",
	Match: []Match{{Manufacturer: "ISBC*"}, {Manufacturer: "ESMART*"}, {Model: "ESMART*"}}, // doc; the others assumed

	Mechanism256:  p11.MechGOST,    // doc
	Mechanism512:  p11.MechGOST512, // assumed
	PrivateParams: Retried,         // assumed
	PrivateValue:  NoImport,        // assumed

	Sessions:  1,                // assumed, as for every smart card
	Serialise: true,             // assumed
	CallTime:  10 * time.Second, // assumed

	AlwaysAuthenticate: ByAttribute, // assumed
	PINFlagsTrusted:    false,       // assumed

	Health:       ByTokenInfo,            // assumed
	HealthEvery:  500 * time.Millisecond, // assumed
	Reinitialise: true,                   // assumed

	Sandbox: smartCard,
}
