#!/usr/bin/env bash
# Builds epov and epovd for amd64 and arm64, their lists of parts (CycloneDX) and their checksums. The same sources give the same
# octets, wherever they lie, with the same Go and C compilers.
#
#	release.sh FOLDER
#
# VERSION            default: 0.0.0~git and the day and name of the commit
# SOURCE_DATE_EPOCH  default: the time of the commit
# ARCHS              default: amd64 arm64
set -euo pipefail
out=$(realpath -m "${1:?usage: release.sh FOLDER}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export VERSION=${VERSION:-0.0.0~git$(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$(git rev-parse --short=10 HEAD)}
umask 022
declare -A compiler=([amd64]=x86_64-linux-gnu-gcc [arm64]=aarch64-linux-gnu-gcc)
programs=()
for arch in ${ARCHS:=amd64 arm64}; do
	[ -n "${compiler[$arch]:-}" ] || { echo "release.sh: $arch is none of the architectures ${!compiler[*]}" >&2; exit 2; }
	mkdir -p "$out/$arch"
	CGO_ENABLED=1 GOOS=linux GOARCH=$arch CC=${compiler[$arch]} CGO_CFLAGS=-O2 GOFLAGS="" GOAMD64=v1 GOARM64=v8.0 \
		go build -trimpath -buildvcs=false -buildmode=pie \
		-ldflags="-s -w -buildid= -X github.com/epov-signer/epov/internal/version.release=$VERSION -extldflags=-Wl,-z,relro,-z,now,--build-id=none" \
		-o "$out/$arch/" ./cmd/epov ./cmd/epovd
	programs+=("$out/$arch/epov" "$out/$arch/epovd")
done
go run ./internal/supply sbom "${programs[@]}"
cd "$out"
sha256sum a*/* | LC_ALL=C sort -k 2 >SHA256SUMS
echo "$out: epov $VERSION for $ARCHS"
