# shellcheck shell=bash disable=SC2154 # demo.sh assigns the common variables
# Every kind of message once: signed, verified by the daemon and by OpenSSL, one row of the table each. Sourced by demo.sh.

disagreements=0

client() { "$epov" "$@" --client-config "$client"; }

row() { printf '%-36s %-22s %-13s %s\n' "$@"; }

# sign OUT WHO ARGUMENTS...: WHO is a key of the system.
sign() {
	local out=$1 who=$2
	shift 2
	client sign "$@" --key "keys/$system/$who" -o "$out" 2>>"$log"
}

# judge TITLE WHO FILE CHECK...: what daemon and OpenSSL say of FILE; the arguments in $verify go to epov verify.
judge() {
	local title=$1 who=$2 file=$3 daemon_says=VALID openssl_says=agrees status
	shift 3
	# A function in a condition runs without errexit, so the check has a shell of its own.
	client verify "${verify[@]}" "$file" >"$file.report" || daemon_says=$(head -c 80 "$file.report" | cut -d' ' -f1)
	set +e
	(set -e; "$@")
	status=$?
	set -e
	[ "$status" = 0 ] || openssl_says=DISAGREES
	[ "$daemon_says" = VALID ] && [ "$openssl_says" = agrees ] || disagreements=$((disagreements + 1))
	row "$title" "$system/${who//, /, $system/}" "${daemon_says:-nothing}" "$openssl_says" >&3
}

# xml TITLE KEYS OUT: judge a file with XML signatures.
xml() { judge "$1" "$2" "$3" check_xml "$3" "${verify[@]}"; }

all_messages() {
	local m=$state/messages s=$state/signed kind verify=()
	exec 3>&1
	row MESSAGE "SIGNED BY" "DAEMON SAYS" "OPENSSL SAYS"
	for kind in send-request send-response get-request get-response ack; do
		sign "$s/smev3-$kind.xml" ov smev3 "$m/smev3-$kind.xml"
		xml "SMEV 3 $kind" ov "$s/smev3-$kind.xml"
	done
	sign "$s/personal.xml" sp smev3 --personal "$m/smev3-send-request-personal.xml"
	sign "$s/smev3-personal.xml" ov smev3 "$s/personal.xml"
	xml "SMEV 3 PersonalSignature + EP-OV" "sp, ov" "$s/smev3-personal.xml"

	sign "$s/smev2.xml" ov smev2 "$m/smev2.xml"
	xml "SMEV 2 WS-Security" ov "$s/smev2.xml"
	sign "$s/appdata.xml" sp smev2 --personal "$m/smev2.xml"
	sign "$s/smev2-sp.xml" ov smev2 "$s/appdata.xml"
	xml "SMEV 2 AppData (EP-SP) + EP-OV" "sp, ov" "$s/smev2-sp.xml"

	for kind in enveloped enveloping xades-bes xades-t; do
		sign "$s/$kind.xml" ov xml --profile "$kind" "$m/document.xml"
		verify=(--profile "$kind")
		xml "XML $kind" ov "$s/$kind.xml"
	done
	sign "$s/detached.xml" ov xml --profile detached --target document.xml "$m/document.xml"
	verify=(--profile detached --content "$m/document.xml")
	xml "XML detached" ov "$s/detached.xml"

	verify=()
	sign "$s/attached.p7m" ov cms --attached "$m/attachment.bin"
	judge "CMS attached" ov "$s/attached.p7m" check_cms "$s/attached.p7m" "$m/attachment.bin"
	verify=(--content "$m/attachment.bin")
	sign "$s/detached.p7s" ov cms --detached "$m/attachment.bin"
	judge "CMS detached" ov "$s/detached.p7s" check_cms "$s/detached.p7s" "$m/attachment.bin" detached
	sign "$s/cades.p7s" sp cms --cades "$m/attachment.bin"
	judge "CAdES-BES detached" sp "$s/cades.p7s" check_cms "$s/cades.p7s" "$m/attachment.bin" detached cades
	sign "$s/cades-t.p7s" ov cms --timestamp "$m/attachment.bin"
	judge "CAdES-T detached" ov "$s/cades-t.p7s" check_cms "$s/cades-t.p7s" "$m/attachment.bin" detached cades
	sign "$s/two.p7s" sp cms --cades --add-to "$s/detached.p7s" "$m/attachment.bin"
	judge "CMS, two signers" "ov, sp" "$s/two.p7s" check_cms "$s/two.p7s" "$m/attachment.bin" detached
	sign "$s/counter.p7s" sp countersign "$s/detached.p7s"
	judge "CMS, countersigned" "ov, sp" "$s/counter.p7s" check_cms "$s/counter.p7s" "$m/attachment.bin" detached
	verify=(--content "$m/letter.pdf")
	sign "$s/letter.pdf.sig" sp cms "$m/letter.pdf"
	judge "PDF, detached CMS" sp "$s/letter.pdf.sig" check_cms "$s/letter.pdf.sig" "$m/letter.pdf" detached
	exec 3>&-
}

# refusals: what must not pass does not.
refusals() {
	local file=$state/signed/tampered.xml address status=0
	say "a message changed after it was signed"
	sed 's/77:01:0001001:1001/77:01:0001001:1002/' "$state/signed/smev3-send-request.xml" >"$file"
	client verify "$file" >"$file.report" || status=$?
	grep -E '^(INVALID|VALID|INDETERMINATE)|FAILED' "$file.report" | sed 's/^ */    /'
	if [ "$status" != 1 ] || ! grep -q '^INVALID' "$file.report" || ! grep -q 'reference.digest' "$file.report"; then
		die "the changed message was not refused as it must be"
	fi

	say "a caller without a client certificate"
	address=$(sed -n 's/^address: //p' "$client")
	if command openssl s_client -connect "$address" -CAfile "$state/tls/ca.pem" -alpn h2 -tls1_3 -ign_eof </dev/null >"$work/s_client.txt" 2>&1; then
		die "a caller without a client certificate was let in"
	fi
	grep -q 'certificate required' "$work/s_client.txt" || die "the refusal does not say that a certificate is required"
	echo "    refused: $(grep -o "alert certificate required" "$work/s_client.txt" | head -n 1)"
}

conclude() {
	[ "$disagreements" = 0 ] || die "$disagreements of the messages above did not pass"
	say "all agree; the files are in $state/signed"
}
