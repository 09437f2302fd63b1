package hsm

import (
	"runtime"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// softHSM is SoftHSM 2 built with GOST; the module of softhsm in this repository is one.
var softHSM = Vendor{
	Name:  "softhsm",
	Title: "SoftHSM 2",
	Match: []Match{{Manufacturer: "SoftHSM project", Model: "SoftHSM v2*"}}, // proved

	Mechanism256:  p11.MechGOST,    // proved
	Mechanism512:  p11.MechGOST512, // proved with our patches; stock SoftHSM does not list it
	PrivateParams: Never,           // proved: stock SoftHSM refuses them in the private template
	PrivateValue:  BigEndian,       // proved

	Sessions:  2 * runtime.GOMAXPROCS(0), // proved: no limit of its own, bound by processors
	Serialise: false,                     // proved: concurrent sessions sign correctly
	CallTime:  time.Second,               // proved: a call takes milliseconds at most

	AlwaysAuthenticate: ByAttribute,            // proved
	PINFlagsTrusted:    false,                  // proved: never says FINAL_TRY or LOCKED
	Health:             ByTokenInfo,            // proved: without cost
	HealthEvery:        500 * time.Millisecond, // proved
	Reinitialise:       true,                   // proved: 300 cycles without growth

	Sandbox: Sandbox{
		Read:        []string{"/etc/softhsm", "/etc/ssl", "/usr/lib", "/usr/share"}, // proved: OpenSSL's engine is loaded late
		Write:       []string{"/var/lib/softhsm"},                                   // doc: Debian's folder of tokens
		Environment: []string{"SOFTHSM2_CONF"},                                      // proved: names the folder of tokens
	},
}
