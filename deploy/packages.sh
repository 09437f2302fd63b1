#!/bin/sh
# Installs the Debian packages that are missing; without the right to install, it names the command that does.
#
#   packages.sh          what building, demonstrating and testing need
#   packages.sh checks   also what linting, benchmarking, regenerating code and running for arm64 need
#   packages.sh packages also what testing the packages needs
#   packages.sh release  what building the programs for both architectures needs
set -eu

packages="autoconf automake ca-certificates g++ gcc groff-base iproute2 libtool make pkg-config dpkg-dev libssl-dev libengine-gost-openssl openssl libxml2-utils opensc patch swtpm"
# The compiler and the libraries of the other of the two architectures that packages are built for.
case $(dpkg --print-architecture) in
arm64) cross="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" foreign=libc6-amd64-cross ;;
*) cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" foreign=libc6-arm64-cross ;;
esac
if [ "${1:-}" = packages ]; then
	packages="$packages buildah cpio debootstrap lintian python3 rpm systemd systemd-container $cross $foreign qemu-user-static"
fi
if [ "${1:-}" = checks ]; then
	packages="$packages jq libxml2-dev nats-server prometheus protobuf-compiler python3-grpcio python3-protobuf qemu-user-static shellcheck"
fi
if [ "${1:-}" = release ]; then
	packages="gcc git libc6-dev make $cross"
fi

missing=
for p in $packages; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086 # a list of words
set -- $missing
if [ "$(id -u)" -ne 0 ]; then
	echo "These Debian packages are missing: $*" >&2
	echo "Have them installed with:" >&2
	echo "    sudo apt-get update && sudo apt-get install --no-install-recommends -y $*" >&2
	exit 1
fi
echo "Installing Debian packages: $*"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists may be absent or too old to install from; refresh them only then.
if ! DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends -y "$@" >"$log" 2>&1; then
	if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends -y "$@"; } >"$log" 2>&1; then
		cat "$log" >&2
		exit 1
	fi
fi
