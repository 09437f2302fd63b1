#!/usr/bin/env bash
# The demonstration: a certificate authority, a token, a daemon; one message of each kind, signed by a key on the token over
# gRPC with mutual TLS, verified by the daemon and by OpenSSL.
#
#   demo.sh        do all that, print who signed what and who agreed; a second run reuses authority and token
#   demo.sh run    leave the daemon running in the foreground
#   demo.sh clean  forget everything
#
# It expects `make softhsm build` to have run. Everything is kept in .demo of the checkout, or in $EPOV_DEMO_DIR.
set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
state=${EPOV_DEMO_DIR:-$root/.demo}
build=$root/.build
epov=$build/bin/epov
epovd=$build/bin/epovd
module=$build/softhsm/lib/softhsm/libsofthsm2.so
mode=${1:-demo}
log=/dev/null daemon='' tsa='' work=''

quote() { printf "%q" "$1"; }
say() { printf '== %s\n' "$*"; }
die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# Every openssl of these scripts has the gost engine; the daemon's token brings its own. What it chats goes to the log.
openssl() { OPENSSL_CONF=$here/openssl.cnf command openssl "$@" 2>>"$log"; }

# failed names the log where the scripts end without a word of their own.
failed() {
	local status=$?
	[ -z "${daemon:-}" ] || kill "$daemon" 2>/dev/null || true
	[ -z "${tsa:-}" ] || kill "$tsa" 2>/dev/null || true
	[ -z "${work:-}" ] || rm -rf "$work"
	if [ "$status" != 0 ] && [ -s "$log" ]; then
		printf "demo: failed; the log %s ends:\n" "$log" >&2
		tail -n 12 "$log" >&2
	fi
}

# shellcheck source=deploy/demo/pki.sh
. "$here/pki.sh"
# shellcheck source=deploy/demo/provision.sh
. "$here/provision.sh"
# shellcheck source=deploy/demo/messages.sh
. "$here/messages.sh"
# shellcheck source=deploy/demo/check.sh
. "$here/check.sh"
# shellcheck source=deploy/demo/audit.sh
. "$here/audit.sh"
# shellcheck source=deploy/demo/table.sh
. "$here/table.sh"

prepare() {
	local file
	for file in "$epov" "$epovd" "$module"; do
		[ -e "$file" ] || die "$file is missing; run: make softhsm build"
	done
	for file in openssl xmllint; do
		command -v "$file" >/dev/null || die "$file is missing; run: make deps"
	done
	mkdir -p "$state"
	state=$(cd "$state" && pwd)
	exec 9>"$state/lock"
	if ! flock -n 9; then
		say "waiting for another run in $state"
		flock 9
	fi
	log=$state/demo.log
	: >"$log"
	trap failed EXIT
	make_gost_ca
	make_tls
	make_tsa
	make_token
	for file in "${names[@]}"; do
		make_key "$file"
	done
	make_audit_key
	configure "$(free_port)"
}

# start_tsa: the time-stamping authority, built from deploy/demo/tsa.
start_tsa() {
	(cd "$root" && go build -o "$build/bin/demo-tsa" ./deploy/demo/tsa)
	"$build/bin/demo-tsa" -listen "$tsa_address" -certificate "$state/tsa/tsa.pem" -key "$state/tsa/tsa.key" \
		>"$state/tsa.log" 2>&1 9>&- &
	tsa=$!
}

start_daemon() {
	"$epovd" -config "$config" >"$state/epovd.log" 2>&1 9>&- &
	daemon=$!
	for _ in $(seq 100); do
		if "$epov" keys --client-config "$client" --timeout 2s >"$state/keys.txt" 2>"$state/keys.err"; then
			return
		fi
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	cat "$state/keys.err" "$state/epovd.log" >&2
	die "the daemon does not answer"
}

stop_daemon() {
	local status=0
	kill -TERM "$daemon"
	wait "$daemon" || status=$?
	daemon=
	[ "$status" = 0 ] || {
		tail -n 20 "$state/epovd.log" >&2
		die "the daemon ended with status $status"
	}
	say "the daemon stopped cleanly"
}

case $mode in
demo)
	prepare
	work=$(mktemp -d "$state/work.XXXXXX")
	make_messages
	say "starting the daemon and a time-stamping authority"
	start_tsa
	start_daemon
	say "signing and verifying one message of each kind"
	all_messages
	refusals
	with_receipt
	stop_daemon
	audit
	kill "$tsa"
	tsa=
	conclude
	;;
run)
	prepare
	cat <<-TEXT

		The daemon listens on $(sed -n 's/^address: //p' "$client") until you press Ctrl-C. In another terminal try:

		    $(quote "$epov") sign smev3 --client-config $(quote "$client") -o signed.xml \\
		        $(quote "$here/messages/smev3-send-request.xml")
		    $(quote "$epov") verify --client-config $(quote "$client") signed.xml

	TEXT
	start_tsa
	exec "$epovd" -config "$config" 9>&-
	;;
clean)
	rm -rf "$state"
	;;
*)
	die "usage: demo.sh [run|clean]"
	;;
esac
