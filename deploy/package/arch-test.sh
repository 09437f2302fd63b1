#!/usr/bin/env bash
# Builds the packages for amd64 and arm64 and holds them against each other: they differ in the architecture, the programs and the
# lists of their parts, and in nothing else. The programs of each package are of its architecture, ask for no newer glibc than it
# depends on, and run; those of the other architecture under emulation, on Debian's cross libraries.
#
#	arch-test.sh NFPM    by any user
#
# Without the cross compiler it says SKIPPED; without the emulator it says so of what is run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nfpm=$(realpath "${1:?usage: arch-test.sh NFPM}")

declare -A machine=([amd64]=x86_64 [arm64]=aarch64) elf=([amd64]='Advanced Micro Devices X86-64' [arm64]=AArch64)
for arch in "${!machine[@]}"; do
	if ! command -v "${machine[$arch]}-linux-gnu-gcc" >/dev/null; then
		echo "SKIPPED: no ${machine[$arch]}-linux-gnu-gcc (deploy/packages.sh packages installs it); no packages for $arch" >&2
		exit 0
	fi
done
# shellcheck source=deploy/package/common.sh
. deploy/package/common.sh
native=$arch
rm -rf "$work"
mkdir -p "$work"
ARCH="${!machine[*]}" deploy/package/build.sh "$nfpm"

# is WANT GOT TEXT
is() {
	[ "$1" = "$2" ] || fail "$3: $2, not $1"
	ok "$3"
}
# What a package says of itself, but for the architecture and what follows from the programs' sizes; and its files, likewise.
said() {
	case $1 in
	*.deb) dpkg-deb -f "$1" | grep -vE '^(Architecture|Installed-Size):' && dpkg-deb -I "$1" | sed -n '/executable\|\*/s/^ *[0-9]* bytes, *//p' ;;
	*.rpm) rpm -qp --qf '%{NAME} %{VERSION}-%{RELEASE} %{OS} %{LICENSE}\n%{DESCRIPTION}\n' --requires --recommends --conflicts --scripts "$1" ;;
	esac
}
files() {
	case $1 in
	*.deb) dpkg-deb -c "$1" | awk '{ print $1, $2, $6 }' ;;
	*.rpm) rpm -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES} %{FILEFLAGS:fflags}\n]' "$1" ;;
	esac
}
unpack() { # unpack PACKAGE FOLDER
	mkdir -p "$2"
	case $1 in
	*.deb) dpkg-deb -x "$1" "$2" ;;
	# Paths in it are absolute; and Debian's rpm2cpio fails after it has done its work.
	*.rpm) { rpm2cpio "$1" || true; } | (cd "$2" && cpio -idm --quiet --no-absolute-filenames 2>/dev/null) ;;
	esac
}
# run ARCH PROGRAM ARGUMENTS...
run() {
	local m=${machine[$1]}
	if [ "$1" = "$native" ]; then "${@:2}"; else "qemu-$m-static" -L "/usr/$m-linux-gnu" "${@:2}"; fi
}

skipped=0
for arch in "${!machine[@]}"; do
	deb=$(newest .build/dist/epov_*_"$arch".deb)
	rpm=$(newest .build/dist/epov-*."${machine[$arch]}".rpm)
	is "$arch" "$(dpkg-deb -f "$deb" Architecture)" "the deb says $arch"
	is "${machine[$arch]} linux" "$(rpm -qp --qf '%{ARCH} %{OS}' "$rpm")" "the rpm says ${machine[$arch]}"
	glibc=$(dpkg-deb -f "$deb" Depends | sed -n 's/.*libc6 (>= \([0-9.]*\)).*/\1/p')
	for package in "$deb" "$rpm"; do
		kind=${package##*.} tree=$work/$arch-${package##*.}
		said "$package" >"$tree.said"
		files "$package" >"$tree.files"
		unpack "$package" "$tree"
		for program in epov epovd; do
			is "${elf[$arch]}" "$(readelf -h "$tree/usr/bin/$program" | sed -n 's/^ *Machine: *//p')" "$program in the $kind is a program for $arch"
			needs=$(readelf -VW "$tree/usr/bin/$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
			is "$glibc" "$(printf '%s\n' "$glibc" "${needs#GLIBC_}" | sort -V | tail -n 1)" "$program asks for glibc ${needs#GLIBC_}, the package for $glibc"
			is "$arch" "$(sed -n '/"go:GOARCH"/{ n; s/.*: "\(.*\)".*/\1/p }' "$tree/usr/share/doc/epov/sbom/$program.cdx.json")" "its list of parts is for $arch"
		done
	done
	holds "lintian has nothing to say of the deb for $arch" lintian --allow-root --fail-on error,warning "$deb"
	if [ "$arch" != "$native" ] && ! { command -v "qemu-${machine[$arch]}-static" && [ -d "/usr/${machine[$arch]}-linux-gnu/lib" ]; } >/dev/null; then
		echo "SKIPPED: no qemu-${machine[$arch]}-static with a libc for $arch; the programs for $arch were not run" >&2
		skipped=1
		continue
	fi
	version=$(dpkg-deb -f "$deb" Version)
	libc="/usr/${machine[$arch]}-linux-gnu/lib/libc.so.6"
	[ "$arch" != "$native" ] || libc="/lib/${machine[$arch]}-linux-gnu/libc.so.6"
	for kind in deb rpm; do
		bin=$work/$arch-$kind/usr/bin
		holds "epov of the $kind runs for $arch" run "$arch" "$bin/epov" version
		grep -qF "${version%-1}" "$work/out" || { cat "$work/out" >&2; fail "epov version says nothing of ${version%-1}"; }
		holds "epovd of the $kind runs for $arch" run "$arch" "$bin/epovd" -version
		grep -qF "${version%-1}" "$work/out" || { cat "$work/out" >&2; fail "epovd -version says nothing of ${version%-1}"; }
		lacks "epov loads a library for $arch, which is no module" run "$arch" "$bin/epov" token list --module "$libc"
		grep -q 'is no PKCS#11 module' "$work/out" || { cat "$work/out" >&2; fail "epov has not loaded $libc"; }
	done
done

contents() { (cd "$1" && find . -type f ! -path './usr/bin/*' ! -path '*/sbom/*' -exec sha256sum {} + | sort -k2); }
for kind in deb rpm; do
	holds "both ${kind}s say the same of themselves" diff "$work/amd64-$kind.said" "$work/arm64-$kind.said"
	holds "both ${kind}s hold the same $(wc -l <"$work/arm64-$kind.files") paths, with the same owners and modes" diff "$work/amd64-$kind.files" "$work/arm64-$kind.files"
	for arch in "${!machine[@]}"; do contents "$work/$arch-$kind" >"$work/$arch-$kind.sums"; done
	holds "of the same contents, but for programs and their parts" diff "$work/amd64-$kind.sums" "$work/arm64-$kind.sums"
done
rm -rf "$work"
echo "$count passed, 0 failed$([ "$skipped" = 0 ] || echo ', the other architecture not run')"
