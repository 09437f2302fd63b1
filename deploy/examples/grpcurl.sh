#!/usr/bin/env bash
# Signs a SMEV 3 message with nothing but grpcurl, and verifies it.
#
#   grpcurl.sh HOST:PORT KEY MESSAGE.xml >SIGNED.xml
#
# EPOV_TLS names the folder with client.pem, client.key and ca.pem (default: this one). Needs grpcurl, jq, and `epov protoset`,
# or EPOV_PROTOSET, a file that it wrote.
set -euo pipefail

[[ $# -eq 3 ]] || { echo "usage: ${0##*/} HOST:PORT KEY MESSAGE.xml >SIGNED.xml" >&2; exit 2; }
address=$1 key=$2 message=$3
tls=${EPOV_TLS:-.}

protoset=${EPOV_PROTOSET:-}
if [[ -z $protoset ]]; then
	protoset=$(mktemp)
	trap 'rm -f "$protoset"' EXIT
	epov protoset -o "$protoset"
fi

# call METHOD: the request as JSON on standard input, the answer as JSON on standard output. Every call has a deadline; answers
# may be larger than the 4 MiB that gRPC clients take by default.
call() {
	grpcurl -protoset "$protoset" -cacert "$tls/ca.pem" -cert "$tls/client.pem" -key "$tls/client.key" \
		-max-time 30 -max-msg-sz $((64 << 20)) -d @ "$address" "epov.v1.$1"
}

# The same id again would give the same signature, not a second one.
id=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
# Bytes are base64 in JSON. They go through files: an argument has its limits.
signed=$(jq -n --arg key "$key" --arg id "$id" --rawfile document <(base64 -w0 "$message") \
	'{key: $key, profile: "smev3", document: $document, requestId: $id}' | call SignService/SignXml)

jq -r '"signed by " + .key' <<<"$signed" >&2
jq '{document}' <<<"$signed" | call VerifyService/VerifyXml | jq -r '"verdict: " + .verdict + ", integrity: " + .integrity' >&2
jq -r .document <<<"$signed" | base64 -d
