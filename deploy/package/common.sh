# shellcheck shell=bash disable=SC2034 # others use the variables
# What the tests of the packages share: how they report, and the Debian systems in which they install. Sourced, in the
# checkout's folder.

work=$PWD/.build/${0##*/}.work
build=$PWD/.build
count=0
ok() {
	count=$((count + 1))
	printf 'ok   %s\n' "$*"
}
fail() {
	printf 'FAIL %s\n' "$*" >&2
	if declare -F explain >/dev/null; then explain >&2 || true; fi
	exit 1
}
# holds TEXT COMMAND...: the command must succeed.
holds() {
	local text=$1
	shift
	"$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "$text: $*"; }
	ok "$text"
}
# lacks TEXT COMMAND...: the command must fail.
lacks() {
	local text=$1
	shift
	! "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "$text: $*"; }
	ok "$text"
}
# newest NAMES...: of files of our own.
newest() {
	# shellcheck disable=SC2012
	ls -t "$@" | head -n 1
}

arch=$(dpkg --print-architecture)
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

# debian NAME PACKAGES [OPTIONS...]: makes .build/debian-SUITE-NAME.tar, a small Debian of this machine's release, unless it is
# there from the last time.
debian() {
	local tar=$build/debian-$suite-$1.tar
	[ ! -s "$tar" ] || return 0
	echo "making a small Debian ($suite, $1)"
	debootstrap --variant=minbase --include="$2" "${@:3}" "$suite" "$work/base" >"$build/debootstrap.log" 2>&1 ||
		{ tail "$build/debootstrap.log" >&2; fail "debootstrap; see .build/debootstrap.log"; }
	rm -rf "$work/base/var/cache/apt/archives"/*.deb "$work/base/var/lib/apt/lists"/*
	tar -C "$work/base" -cf "$tar.new" .
	mv "$tar.new" "$tar"
	rm -rf "$work/base"
}
# What the test token needs; the package itself asks for nothing that a minimal system lacks.
token_packages=libengine-gost-openssl,libssl3,libstdc++6,openssl
