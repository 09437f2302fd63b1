package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// jaCarta is JaCarta-2 GOST by the vendor's module jcPKCS11-2. One device may show several slots, one to an applet; the token
// is told by its model and serial.
var jaCarta = Vendor{
	Name:  "jacarta",
	Title: "JaCarta-2 GOST",
	Match: []Match{{Model: "JaCarta GOST 2.0*"}, {Model: "eToken GOST*"}}, // doc, the second of older devices

	Mechanism256:  p11.MechGOST,    // doc
	Mechanism512:  p11.MechGOST512, // assumed: in the header; whether the device has it is not public
	PrivateParams: Retried,         // assumed
	PrivateValue:  NoImport,        // doc: keys come from C_GenerateKeyPair alone

	Sessions:  1,                // assumed, as for every smart card
	Serialise: true,             // assumed
	CallTime:  10 * time.Second, // assumed

	AlwaysAuthenticate: ByAttribute,                        // doc: a signature PIN, when set, is CKU_CONTEXT_SPECIFIC
	PINFlagsTrusted:    false,                              // assumed
	FactoryPINs:        []string{"11111111", "1234567890"}, // doc: those of the samples

	Health:       ByTokenInfo,            // assumed
	HealthEvery:  500 * time.Millisecond, // assumed
	Reinitialise: true,                   // assumed; C_Initialize checks the library's integrity and takes its time

	Sandbox: smartCard,

	codes: map[p11.Error]outcome{ // header
		p11.VendorDefined + 0x19: {pause, Busy},      // the device is busy
		p11.VendorDefined + 0x23: {giveUp, Internal}, // broken state
		p11.VendorDefined + 0x28: {giveUp, Config},   // certified mode
		p11.VendorDefined + 0x2A: {giveUp, Config},   // secure messaging required
		p11.VendorDefined + 0x2D: {giveUp, Internal}, // the library's integrity, as are those below
		p11.VendorDefined + 0x41: {giveUp, Internal},
		p11.VendorDefined + 0x42: {giveUp, Internal},
		p11.VendorDefined + 0x43: {giveUp, Internal},
		p11.VendorDefined + 0x44: {giveUp, Internal},
		p11.VendorDefined + 0x45: {giveUp, Internal},
		p11.VendorDefined + 0x46: {giveUp, Internal},
	},
	private: []*p11.Attribute{ // doc: else CKR_ATTRIBUTE_READ_ONLY
		p11.Attr(p11.AttrUnwrap, false),
		p11.Attr(p11.AttrModifiable, false),
		p11.Attr(p11.AttrValueLen, uint(32)),
	},
}
