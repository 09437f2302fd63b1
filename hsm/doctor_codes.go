package hsm

import (
	"maps"
	"slices"
)

type diagnosis struct {
	severity Severity
	advice   string
}

// diagnoses are all that Examine can find.
var diagnoses = map[string]diagnosis{
	"module.missing":      {Fault, "install the vendor's PKCS#11 library, or correct its path"},
	"module.unreadable":   {Fault, "let the user of the service read the file and pass its folders"},
	"module.no-library":   {Fault, "name the vendor's PKCS#11 library (a .so file), not a program, archive or text"},
	"module.architecture": {Fault, "install the vendor's library for this machine's architecture"},
	"module.needs": {Fault,
		"install the packages that hold these libraries; `ldd` on the module shows where each is looked for"},
	"module.no-pkcs11": {Fault, "this library has no C_GetFunctionList: name the vendor's PKCS#11 library"},
	"module.writable": {Warning,
		"whoever can write the file has the PIN: make it root's, without write permission for others"},
	"module.pcscd": {Fault,
		"install and start pcscd (systemctl enable --now pcscd.socket); in a container mount /run/pcscd"},
	"module.refused": {Fault,
		"read the vendor's notes on this code; is another process using the module alone, is a licence missing?"},
	"module.hangs": {Fault,
		"is the reader or the network HSM answering? restart pcscd or the vendor's service and look again"},
	"module.crashes": {Fault,
		"the vendor's library crashed: report its version to the vendor; the service survives it, each time at the cost of a restart"},
	"module.answers": {Good, ""},
	"slot.none": {Fault,
		"plug the token in; `pcsc_scan` or `lsusb` tells whether the system sees it; on Debian 13 pcscd needs a polkit rule for the service's user"},
	"slot.silent": {Warning,
		"plug the device in again; a card that stays silent may be of another vendor's module"},

	"token.absent":        {Fault, "plug it in, or correct label and serial; `epov token list` shows what is there"},
	"token.ambiguous":     {Fault, "give the serial number too"},
	"token.silent":        {Fault, "plug it in again; look at the vendor's tool"},
	"token.uninitialised": {Warning, "initialise it before it is used: `epov token init`"},
	"token.seen":          {Good, ""},
	"token.unknown-vendor": {Note,
		"the standard's behaviour is assumed; prove it with `epov doctor --login` before production"},
	"token.no-gost": {Fault,
		"this token or this module cannot serve: other firmware, other applet, or the vendor's own module instead of OpenSC's"},
	"token.mechanisms": {Good, ""},

	"pin.not-set":       {Fault, "the security officer sets it: `epov token init`, or the vendor's tool"},
	"pin.locked":        {Fault, "find out who tried; then the security officer unlocks it: `epov pin reset`"},
	"pin.final-try":     {Fault, "nobody tries any more: the security officer resets the counter"},
	"pin.count-low":     {Warning, "somebody gave a wrong PIN; find out who before the next one does"},
	"pin.to-be-changed": {Fault, "change it: `epov pin change`"},
	"pin.pad":           {Fault, "a token with a PIN pad is unfit for a service: turn the pad off, or take another token"},
	"pin.flags":         {Good, ""},
	"pin.record": {Fault,
		"correct the PIN first; then a login clears the record, or remove the file to spend another try"},
	"pin.attempt": {Warning,
		"a start died while it logged in; one more try is made by itself if the token shows no flag"},
	"pin.source": {Fault, "the PIN's file belongs to root or the service, mode 0600 or 0400, not a link, one line"},
	"pin.source-later": {Note,
		"only the service itself has this credential or descriptor; run doctor in its unit to look (systemd-run -p LoadCredential=…)"},
	"pin.memory": {Note, "raise LimitMEMLOCK of the unit"},
	"pin.not-tried": {Note,
		"when nothing speaks against it, `epov doctor --login` makes one try under the rules of the PIN, and proves the keys by signatures"},
	"pin.refused":  {Fault, "do not try again before it is clear which PIN is right"},
	"pin.factory":  {Fault, "change it before the token is used: `epov pin change`"},
	"pin.accepted": {Good, ""},

	"tpm.unseals": {Good, ""},
	"tpm.absent": {Fault,
		"is there a TPM 2.0, is the service's user in the group of its device (tss), does the unit let it in (DeviceAllow=)?"},
	"tpm.changed": {Fault, "find out what changed in the boot of this machine; then seal anew: `epov pin seal`"},
	"tpm.foreign": {Fault,
		"it was sealed elsewhere, before the TPM was cleared, or the file is damaged: `epov pin seal` on this machine"},
	"tpm.other-token": {Fault, "name the file that was sealed for this token, or seal its PIN: `epov pin seal`"},
	"tpm.locked-up":   {Fault, "wait, or clear the lockout with tpm2_dictionarylockout; find out who gave wrong passwords"},
	"tpm.unmeasured": {Warning,
		"such a PCR guards nothing: seal to others (`epov pin seal --pcrs`), or have the firmware measure (Secure Boot)"},
	"tpm.failed": {Fault, "try again; `epov pin unseal-test` shows the TPM's answer"},

	"key.absent": {Fault,
		"generate it (`epov key generate`), or correct `id`; `epov key list` shows what is there"},
	"key.duplicate":       {Fault, "remove or rename all but one with the vendor's tool: nothing is chosen by accident"},
	"key.unusable":        {Fault, "generate another key; this one is not changed by any setting of ours"},
	"key.wrong-signature": {Fault, "take the key out of use: report model, firmware and this line to the vendor"},
	"key.silent":          {Fault, "look at the vendor's notes on this code, and at the token's flags above"},
	"key.weak":            {Warning, "generate a successor on the token and rotate to it; a copy of this key may exist"},
	"key.no-certificate": {Warning,
		"ask for one (`epov csr`) and store it (`epov cert import`); without it only bare digests are signed"},
	"key.signs":  {Good, ""},
	"key.other":  {Note, "not named in our way: epov uses it only if a configuration names its id"},
	"key.unseen": {Note, "`epov doctor --login` looks at the private key too"},

	"certificate.unreadable": {Fault, "store the certificate again: `epov cert import --replace`"},
	"certificate.mismatch": {Fault,
		"store the certificate that was issued for this key: `epov cert import --replace`, or correct `certificate`"},
	"certificate.over": {Fault,
		"rotate to a successor (`epov key stage`, `activate`), or import the renewed certificate"},
	"certificate.not-begun": {Fault, "wait for its beginning, or set the clock"},
	"certificate.key-over":  {Fault, "the certificate's private key period is over: rotate to a successor"},
	"certificate.ends-soon": {Warning,
		"prepare a successor now: `epov key generate`, `epov csr`, `epov cert import`, `epov key stage`"},
	"certificate.usage": {Fault, "ask the CA for a certificate with digitalSignature and nonRepudiation"},
	"certificate.differs": {Note,
		"the configuration's certificate is used; store the same one on the token to be clear"},
	"certificate.good": {Good, ""},

	"clock.behind": {Fault, "set the clock (timedatectl); signatures made now would carry a wrong time"},
	"clock.token":  {Note, "the token's own clock is not used by epov; set one of the two"},
	"clock.good":   {Good, ""},

	"state.missing":    {Note, "the service makes it at its first start, if it may write the folder above"},
	"state.open":       {Fault, "make it the service's own: chmod 0700"},
	"state.not-ours":   {Warning, "run doctor as the service's user, or give the folder to it"},
	"state.unwritable": {Fault, "refused PINs could not be remembered, so no login is made: let the service write there"},
	"state.good":       {Good, ""},
}

// Diagnoses lists the codes that Examine can find, in order.
func Diagnoses() []string { return slices.Sorted(maps.Keys(diagnoses)) }
