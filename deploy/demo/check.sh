# shellcheck shell=bash disable=SC2154 # demo.sh assigns the common variables
# What OpenSSL and libxml2 say about what epov made. Sourced by demo.sh. Each function fails, with a line that says where,
# at the first thing that does not agree.

ds="*[local-name()='Signature' and namespace-uri()='http://www.w3.org/2000/09/xmldsig#']"

xpath() { xmllint --nonet --xpath "string($2)" "$1"; }

decode() { tr -d ' \t\r\n' | openssl base64 -d -A; }

differs() {
	echo "check: $*" >&2
	return 1
}

# check_cms FILE CONTENT [detached] [cades]: OpenSSL verifies message, path and content.
check_cms() {
	local file=$1 content=$2 args=()
	shift 2
	[[ " $* " == *" detached "* ]] && args+=(-content "$content")
	[[ " $* " == *" cades "* ]] && args+=(-cades)
	openssl cms -verify -binary -inform DER -in "$file" -CAfile "$state/ca/all.pem" "${args[@]}" -out "$work/content" ||
		differs "$file: openssl cms -verify"
	cmp -s "$work/content" "$content" || differs "$file: the content is another one"
}

# check_xml FILE [epov verify arguments]: for every signature of the file, in three steps.
#
# 1. epov writes down the octets it digested. The canonical SignedInfo must be what libxml2 cuts out of the file.
# 2. OpenSSL verifies SignatureValue over it with the certificate in the file, and that certificate's path.
# 3. OpenSSL's digests of the references' octets must be the DigestValues in the file, and the octets canonical.
check_xml() {
	local file=$1 dump=$work/dump i count
	shift
	rm -rf "$dump"
	"$epov" verify xml --local --integrity-only --dump "$dump" "$@" "$file" >"$work/local.txt" || differs "$file: epov verify --local"
	count=$(xpath "$file" "count(//$ds)")
	[ "$count" -gt 0 ] || differs "$file: no signature"
	[ "$(find "$dump" -mindepth 1 -maxdepth 1 -type d | wc -l)" = "$count" ] || differs "$file: epov saw another number of signatures"
	for ((i = 0; i < count; i++)); do
		check_signature "$file" "(//$ds)[$((i + 1))]" "$dump/signature-$i" "$i"
	done
}

check_signature() {
	local file=$1 at=$2 dump=$3 index=$4 certificate j count
	signed_info "$file" "$index" >"$work/signed-info"
	cmp -s "$work/signed-info" "$dump/signed-info" || differs "$file: SignedInfo $index: libxml2 canonicalizes it otherwise"
	xmllint --nonet --exc-c14n "$dump/signed-info" | cmp -s - "$dump/signed-info" || differs "$file: SignedInfo $index is not canonical"

	certificate=$(xpath "$file" "$at/*[local-name()='KeyInfo']//*[local-name()='X509Certificate']")
	[ -n "$certificate" ] || certificate=$(xpath "$file" "$at/../*[local-name()='BinarySecurityToken']")
	printf '%s' "$certificate" | decode | openssl x509 -inform DER -out "$work/signer.pem"
	openssl verify -CAfile "$state/ca/all.pem" "$work/signer.pem" >/dev/null || differs "$file: path of certificate $index"
	openssl x509 -in "$work/signer.pem" -noout -pubkey >"$work/public.pem"
	xpath "$file" "$at/*[local-name()='SignatureValue']" | decode >"$work/signature"
	openssl dgst -md_gost12_256 -verify "$work/public.pem" -signature "$work/signature" "$dump/signed-info" >/dev/null ||
		differs "$file: SignatureValue $index"

	at="$at/*[local-name()='SignedInfo']/*[local-name()='Reference']"
	count=$(xpath "$file" "count($at)")
	[ "$(find "$dump" -name 'reference-*' | wc -l)" = "$count" ] || differs "$file: epov digested another number of references"
	for ((j = 1; j <= count; j++)); do
		xpath "$file" "($at)[$j]/*[local-name()='DigestValue']" | decode >"$work/digest"
		openssl dgst -md_gost12_256 -binary "$dump/reference-$((j - 1))" | cmp -s - "$work/digest" ||
			differs "$file: DigestValue $j of signature $index"
		check_canonical "$file" "($at)[$j]" "$dump/reference-$((j - 1))" || differs "$file: reference $j of signature $index is not canonical"
	done
}

# check_canonical FILE REFERENCE OCTETS: what an exclusive canonicalization has made, libxml2 would make of it again. (The
# form of the SMEV transform is one of its own.)
check_canonical() {
	local last
	last=$(xpath "$1" "$2/*[local-name()='Transforms']/*[last()]/@Algorithm") || return
	[ "$last" != "http://www.w3.org/2001/10/xml-exc-c14n#" ] || xmllint --nonet --exc-c14n "$3" | cmp -s - "$3"
}

# signed_info FILE INDEX: the canonical SignedInfo, cut by text out of libxml2's canonical form of the whole file. It is
# written with the prefix ds alone, so that as a root of its own it needs that declaration and no other.
signed_info() {
	local rest i
	rest=$(xmllint --nonet --exc-c14n "$1")
	for ((i = 0; i <= $2; i++)); do
		rest=${rest#*<ds:SignedInfo>}
	done
	printf '<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">%s</ds:SignedInfo>' "${rest%%</ds:SignedInfo>*}"
}
