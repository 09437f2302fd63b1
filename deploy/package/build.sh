#!/usr/bin/env bash
# Builds debs and rpms into .build/dist. The same sources give the same octets.
#
#	build.sh NFPM
#
# ARCH           for which architectures: "amd64 arm64" for both; default: this machine's
# VERSION        default: 0.0.0~git and the day and name of the commit
# SOURCE_DATE_EPOCH  default: the time of the commit
# MAINTAINER     who answers for the packages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nfpm=$(realpath "${1:?usage: build.sh NFPM}")

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
VERSION=${VERSION:-0.0.0~git$(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$(git rev-parse --short=10 HEAD)}
MAINTAINER=${MAINTAINER:-epov maintainers <epov@localhost>}
native=$(go env GOHOSTARCH)
read -ra archs <<<"${ARCH:-$native}"
MTIME=$(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
STAGE=$PWD/.build/package
export SOURCE_DATE_EPOCH VERSION MAINTAINER

umask 022
rm -rf "$STAGE"
mkdir -p "$STAGE"/usr/{lib/systemd/system,share} "$STAGE"/etc/{epovd,default} .build/dist
usr=$STAGE/usr doc=$STAGE/usr/share/doc/epov

# This machine's programs are built in any case: they write the manual pages and the completions, which are those of every
# architecture.
ARCHS=$(printf '%s\n' "$native" "${archs[@]}" | sort -u | paste -sd ' ') \
	deploy/release.sh "$STAGE/release" >"$STAGE/release.log" || { cat "$STAGE/release.log" >&2; exit 1; }
bin=$STAGE/release/$native
for arch in "${archs[@]}"; do
	install -D -m 0755 -t "$STAGE/$arch/usr/bin" "$STAGE/release/$arch"/epov{,d}
	install -D -m 0644 -t "$STAGE/$arch/usr/share/doc/epov/sbom" "$STAGE/release/$arch"/*.json
done

install -m 0644 deploy/systemd/*.service deploy/systemd/*.socket "$usr/lib/systemd/system/"
# The same unit for several services on one machine: epovd@NAME reads /etc/epovd/NAME/epovd.yaml and keeps /var/lib/epovd/NAME.
# Its runtime folder is none below /run/epovd, which goes when that service stops.
sed -e 's|/etc/epovd/|/etc/epovd/%i/|g; s|/run/credentials/epovd.service|/run/credentials/epovd@%i.service|' \
	-e 's|/etc/default/epovd|/etc/default/epovd-%i|; s|^StateDirectory=epovd$|&/%i|; s|^RuntimeDirectory=epovd$|&-%i|' \
	-e 's|^\(Description=.*\)$|\1 (%i)|' deploy/systemd/epovd.service >"$usr/lib/systemd/system/epovd@.service"

go run ./deploy/man "$bin" . "$STAGE/man"
for page in "$STAGE"/man/*; do
	install -d "$usr/share/man/man${page##*.}"
	gzip -9n <"$page" >"$usr/share/man/man${page##*.}/${page##*/}.gz"
done
rm -r "$STAGE/man"

install -d "$usr/share/bash-completion/completions" "$usr/share/fish/vendor_completions.d" \
	"$STAGE"/deb/usr/share/{zsh/vendor-completions,lintian/overrides} "$STAGE/rpm/usr/share/zsh/site-functions"
"$bin/epov" completion bash >"$usr/share/bash-completion/completions/epov"
"$bin/epov" completion fish >"$usr/share/fish/vendor_completions.d/epov.fish"
"$bin/epov" completion zsh | tee "$STAGE/deb/usr/share/zsh/vendor-completions/_epov" \
	>"$STAGE/rpm/usr/share/zsh/site-functions/_epov"

deploy/package/docs.sh "$doc"
install -m 0644 deploy/package/copyright "$doc/copyright"
install -m 0644 deploy/package/epov.lintian-overrides "$STAGE/deb/usr/share/lintian/overrides/epov"
install -d "$STAGE/deb/usr/share/doc/epov"
{
	printf 'epov (%s) unstable; urgency=medium\n\n  * See the history of the sources.\n\n -- %s  %s\n' \
		"$VERSION" "$MAINTAINER" "$(TZ=UTC LC_ALL=C date -d "@$SOURCE_DATE_EPOCH" -R)"
} | gzip -9n >"$STAGE/deb/usr/share/doc/epov/changelog.Debian.gz"

install -m 0640 deploy/epovd.yaml deploy/policy.yaml "$STAGE/etc/epovd/"
install -m 0644 deploy/package/epovd.default "$STAGE/etc/default/epovd"

# Each file by its path: a package does not own the folders of others. nfpm fills in variables in some places, and not in these.
list() {
	local tree
	for tree in "$@"; do
		find "$tree" -type f -printf '      - {src: "%p", dst: "/usr/%P"}\n'
	done | sort
}
for arch in "${archs[@]}"; do
	config=$STAGE/nfpm-$arch.yaml
	sed -e "s|^mtime:.*|mtime: $MTIME|; s|^arch:.*|arch: $arch|" deploy/package/nfpm.yaml | while IFS= read -r line; do
		printf '%s\n' "$line"
		case $line in
		'    contents: # deb') list .build/package/{usr,"$arch/usr",deb/usr} ;;
		'    contents: # rpm') list .build/package/{usr,"$arch/usr",rpm/usr} ;;
		esac
	done >"$config"
	for kind in deb rpm; do
		"$nfpm" package --config "$config" --packager "$kind" --target .build/dist/ >"$STAGE/$kind.log" || {
			cat "$STAGE/$kind.log" >&2
			exit 1
		}
		sed -n 's/^created package: /built /p' "$STAGE/$kind.log"
	done
done
