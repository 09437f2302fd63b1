#!/usr/bin/env bash
# Builds the container image with buildah and looks into it, runs its programs as its user. The base is the minimal Debian that
# the test of the packages keeps in .build, so nothing is fetched.
#
#	image-test.sh    as root, after test.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ "$(id -u)" -ne 0 ]; then
	echo "SKIPPED: building an image in a chroot takes root" >&2
	exit 0
fi
work=$PWD/.build/image-test
rm -rf "$work"
mkdir -p "$work"
# Images and containers of our own, with plain copies for layers: overlays need more of a kernel.
builder() { buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"; }
finish() {
	builder rm --all >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap finish EXIT
fail() {
	echo "FAIL $*" >&2
	exit 1
}
count=0
ok() {
	count=$((count + 1))
	echo "ok   $*"
}

# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
base=$(builder from scratch)
builder add --quiet "$base" "$PWD/.build/debian-$suite-minimal.tar" / >/dev/null
builder commit --quiet "$base" base >/dev/null
builder rm "$base" >/dev/null

# shellcheck disable=SC2012 # names of our own
package=$(ls -t .build/dist/epov_*_"$(dpkg --print-architecture)".deb | head -n 1)
builder bud --quiet --isolation chroot --pull-never --format oci --timestamp 0 --ignorefile deploy/Dockerfile.dockerignore \
	--build-arg BASE=localhost/base --build-arg PACKAGE="$package" -f deploy/Dockerfile -t epov . >"$work/log" 2>&1 || { tail "$work/log" >&2; fail "the image"; }
ok "the image is built from the package"

config=$(builder inspect --type image localhost/epov | tr -d ' \n')
for want in '"User":"10001:10001"' '"Entrypoint":["/usr/bin/epovd"]' '"8443/tcp":{}' '"StopSignal":"SIGTERM"' '"/var/lib/epovd":{}'; do
	[[ $config == *"$want"* ]] || fail "the configuration of the image lacks $want"
done
ok "the image says how it is run"

container=$(builder from --pull-never localhost/epov)
inside() { builder run --isolation chroot --user 10001:10001 "$container" -- "$@"; }
inside /usr/bin/epovd -version | grep -q '^epovd ' || fail "epovd -version"
ok "epovd runs as 10001"
inside sh -c 'test -w /var/lib/epovd && ! test -w /etc/epovd && ! test -w /usr/bin/epovd' || fail "permissions"
ok "its user may write its state and nothing else"
! inside /usr/bin/epovd -check >"$work/out" 2>&1 || fail "a configuration came along"
grep -q 'epovd.yaml: .*no such file' "$work/out" || { cat "$work/out"; fail "what it says without a configuration"; }
ok "no configuration and no secret is in the image"
[ -z "$(inside sh -c 'find / -xdev -perm /6000 -user epovd 2>/dev/null || true')" ] || fail "setuid files"
builder push --quiet localhost/epov "oci-archive:$PWD/.build/dist/epov.oci.tar:epov" >/dev/null
tar -tf .build/dist/epov.oci.tar | grep -q '^oci-layout$' || fail "no OCI layout"
ok "the image is written as an OCI archive ($(du -h .build/dist/epov.oci.tar | cut -f1))"
echo "$count passed, 0 failed"
