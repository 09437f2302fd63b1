package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// rutoken is Rutoken ECP 2.0 and 3.0 by the vendor's module rtpkcs11ecp. Rutoken S is not served by it.
var rutoken = Vendor{
	Name:  "rutoken",
	Title: "Rutoken ECP 2.0, 3.0",
	Match: []Match{{Manufacturer: "Aktiv Co.", Model: "Rutoken ECP*"}}, // device

	Mechanism256:  p11.MechGOST,    // device (3.0), header
	Mechanism512:  p11.MechGOST512, // device (3.0), header
	PrivateParams: Retried,         // doc: the vendor's samples send them in both, its browser plug-in in the public one
	PrivateValue:  NoImport,        // assumed: the vendor's samples only generate

	Sessions:  1,                // assumed: one channel to the card; more sessions hide latency, they add no rate
	Serialise: true,             // assumed, as for every smart card
	CallTime:  10 * time.Second, // assumed: no speed is documented; a login or a busy card takes seconds

	AlwaysAuthenticate: ByAttribute, // assumed
	Attended: []Attended{ // header
		{p11.AttrRutokenPINPad, "waits for a PIN at its pad"},
		{p11.AttrRutokenConfirm, "waits for a confirmation at its pad"},
		{p11.AttrRutokenTouch, "waits for a touch at each signature"},
	},
	PINFlagsTrusted: false,                            // assumed: the device tells the tries left by a call of its own only
	FactoryPINs:     []string{"12345678", "87654321"}, // doc

	Health:       ByTokenInfo,            // device: polling is steadier than C_WaitForSlotEvent
	HealthEvery:  500 * time.Millisecond, // assumed
	Reinitialise: true,                   // assumed: a restart of pcscd needs it

	Sandbox: smartCard,
}

// smartCard is the way to a card through pcscd, which alone opens the device. assumed: the modules depend on pcsc-lite.
var smartCard = Sandbox{
	Families:    []string{"unix"},
	Sockets:     []string{"/run/pcscd/pcscd.comm"},
	Read:        []string{"/etc/reader.conf.d", "/run/pcscd"},
	Environment: []string{"PCSCLITE_CSOCK_NAME"},
}
