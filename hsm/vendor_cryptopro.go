package hsm

import (
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// cryptoPro is the module cppkcs11 of CryptoPro CSP. Its slots are made in the CSP's own configuration, and the PIN is the
// password of a container. It shows one token with several entries, for 2001, 2012-256 and 2012-512.
var cryptoPro = Vendor{
	Name:  "cryptopro",
	Title: "CryptoPro CSP",
	Match: []Match{{Model: "CPPKCS*"}, {Library: "Crypto-Pro*"}, {Library: "CryptoPro*"}}, // doc; the others assumed

	Mechanism256:  p11.MechGOST,    // doc
	Mechanism512:  p11.MechGOST512, // doc
	PrivateParams: Retried,         // assumed
	PrivateValue:  NoImport,        // assumed

	Sessions:  4,                // assumed
	Serialise: false,            // assumed: the library takes CKF_OS_LOCKING_OK
	CallTime:  10 * time.Second, // assumed: a container may be on a card or behind a network

	AlwaysAuthenticate: ByAttribute, // assumed
	PINFlagsTrusted:    false,       // assumed: a container's password has no counter

	Health:       ByTokenInfo, // assumed
	HealthEvery:  time.Second, // assumed
	Reinitialise: true,        // assumed

	Sandbox: Sandbox{ // assumed: the CSP's folders, cards through pcscd, and its own HSM through the network
		Families: []string{"unix", "inet", "inet6"},
		Sockets:  []string{"/run/pcscd/pcscd.comm"},
		Read:     []string{"/opt/cprocsp", "/etc/opt/cprocsp", "/run/pcscd"},
		Write:    []string{"/var/opt/cprocsp"},
	},
}
