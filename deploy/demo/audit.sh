# shellcheck shell=bash disable=SC2154 # demo.sh assigns the common variables
# What the audit log proves of what was signed. Sourced by demo.sh.

# make_audit_key: the key that signs the log's checkpoints. No client may use it, and it needs no certificate.
make_audit_key() {
	on_token key list | grep -q "^keys/$system/audit/versions/1 " ||
		on_token key generate --system "$system" --key audit --version 1 --algorithm gost2012-256 --params CryptoPro-A
}

# with_receipt: one more message, whose receipt comes with the answer.
with_receipt() {
	client sign smev3 --receipt "$state/signed/receipt.json" -o "$state/signed/receipted.xml" "$state/messages/smev3-ack.xml" 2>>"$log"
}

# audit: the daemon has stopped; all of it is offline.
audit() {
	say "the receipt of a signature, verified with the log's key and nothing else"
	"$epov" audit receipt verify "$state/signed/receipt.json" --key "$state/audit/log.pub" --file "$state/signed/receipted.xml"
	say "the whole audit log"
	"$epov" audit verify "$state/audit" --key "$state/audit/log.pub" --checkpoint "$state/signed/receipt.json"
	say "who had us sign that message?"
	"$epov" audit search "$state/audit" --file "$state/signed/receipted.xml"
}
