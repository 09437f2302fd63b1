#!/usr/bin/env bash
# Installs the packages where they will live: a minimal Debian in a folder of its own. The installed daemon runs there as the
# user epovd, with the packaged configuration, and signs on a token that the installed tool has made; then upgrade, removal,
# purge. What the rpm holds is compared with the deb.
#
#	test.sh NFPM    as root, after build.sh; the minimal Debian is kept in .build for the next time
#
# The test enters namespaces of its own, so that mounts and processes end with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nfpm=$(realpath "${1:?usage: test.sh NFPM}")

if [ "$(id -u)" -ne 0 ]; then
	echo "SKIPPED: the test of the packages installs them in a chroot, which takes root" >&2
	exit 0
fi
if [ -z "${EPOV_PACKAGE_TEST:-}" ]; then
	exec env EPOV_PACKAGE_TEST=1 unshare --mount --pid --fork --kill-child --propagation private bash "$0" "$@"
fi

# shellcheck source=deploy/package/common.sh
. deploy/package/common.sh
root=$PWD/.build/package-test
explain() { [ ! -s "$work/epovd.log" ] || tail -n 40 "$work/epovd.log"; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
as_epovd() { inside setpriv --reuid=epovd --regid=epovd --clear-groups --no-new-privs env SOFTHSM2_CONF=/etc/softhsm/softhsm2.conf CREDENTIALS_DIRECTORY=/run/credentials/epovd.service "$@"; }

rm -rf "$root" "$work"
mkdir -p "$root" "$work"

# The minimal system.
debian minimal "$token_packages"
tar -C "$root" -xf "$build/debian-$suite-minimal.tar"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"

# The package.
deb=$(newest .build/dist/epov_*_"$arch".deb)
rpm=$(newest .build/dist/epov-*."$(uname -m)".rpm)
cp "$deb" "$root/tmp/epov.deb"
holds "installs on a minimal Debian" inside dpkg -i /tmp/epov.deb
expect() { # expect PATH MODE OWNER:GROUP, read inside, where the user is known
	local got
	got=$(inside stat -c '%a %U:%G' "$1")
	[ "$got" = "$2 $3" ] || fail "$1 is $got, not $2 $3"
	ok "$1 is $2 $3"
}
expect /etc/epovd 750 root:epovd
expect /etc/epovd/epovd.yaml 640 root:epovd
expect /etc/epovd/policy.yaml 640 root:epovd
expect /var/lib/epovd 700 epovd:epovd
expect /usr/bin/epovd 755 root:root
inside getent passwd epovd | grep -q ':/var/lib/epovd:/usr/sbin/nologin$' || fail "the user epovd can log in"
ok "the user epovd cannot log in"
lacks "the example as it is names what is missing" as_epovd epovd -check
grep -q '^/etc/epovd/epovd.yaml:[0-9]*:[0-9]*: tls.certificate: ' "$work/out" || { cat "$work/out"; fail "it does not name the TLS certificate"; }
holds "epov runs" inside epov version
for page in man1/epov.1 man8/epovd.8 man5/epovd.yaml.5; do
	gzip -dc "$root/usr/share/man/$page.gz" >"$work/page"
	[ -s "$work/page" ] || fail "$page is empty"
done
ok "manual pages are there"

# A token as the officer makes it, by the installed tool.
install -D "$build/softhsm/lib/softhsm/libsofthsm2.so" "$root/usr/lib/softhsm/libsofthsm2.so"
install -d "$root/etc/softhsm"
printf '%s\n' 'directories.tokendir = /var/lib/softhsm/tokens' 'objectstore.backend = file' 'log.level = ERROR' \
	'slots.removable = false' >"$root/etc/softhsm/softhsm2.conf"
inside install -d -m 0700 -o epovd -g epovd /var/lib/softhsm /var/lib/softhsm/tokens /run/credentials /run/credentials/epovd.service
printf '48151623\n' >"$root/run/credentials/epovd.service/pin-main"
printf '42481516\n' >"$root/run/credentials/epovd.service/so-pin"
inside chown -R epovd:epovd /run/credentials/epovd.service
inside chmod 0400 /run/credentials/epovd.service/pin-main /run/credentials/epovd.service/so-pin
pins=(--pin-file /run/credentials/epovd.service/pin-main)
module=/usr/lib/softhsm/libsofthsm2.so
on_token() { as_epovd epov "$@" --module "$module" --token EPOV "${pins[@]}" --state-dir /var/lib/epovd/main; }
holds "initialises a token" as_epovd epov token init --module "$module" --label EPOV "${pins[@]}" --so-pin-file /run/credentials/epovd.service/so-pin

# Authorities and certificates, with the names that the packaged configuration has.
here=$PWD/deploy/demo state=$work/pki
mkdir -p "$state"
say() { :; }
openssl() { OPENSSL_CONF=$here/openssl.cnf command openssl "$@" 2>>"$work/openssl.log"; }
# shellcheck source=deploy/demo/pki.sh
. "$here/pki.sh"
make_gost_ca
make_tls
etc=$root/etc/epovd
cp "$state/ca/root.pem" "$etc/root-ca.pem"
cp "$state/ca/issuing.pem" "$etc/issuing-ca.pem"
cp "$state/ca/root.pem" "$etc/smev.pem"
cp "$state/tls/server.pem" "$state/tls/server.key" "$etc/"
cp "$state/tls/ca.pem" "$etc/clients-ca.pem"
for key in ov/1 ov/2 sp/1; do
	name=keys/EXMP01/${key%/*}/versions/${key#*/} file=${key//\//-}
	on_token key generate --system EXMP01 --key "${key%/*}" --version "${key#*/}" --params CryptoPro-A >/dev/null
	on_token csr --name "$name" --subject "1.2.643.100.4=7701234567,1.2.643.100.1=1027701234567,CN=EXMP01 $key,C=RU" \
		-o "/var/lib/epovd/$file.csr" >/dev/null 2>&1
	mv "$root/var/lib/epovd/$file.csr" "$state/$file.csr"
	issue "$state/$file" "$state/ca/issuing" ep_ov 365 -md_gost12_256
	install -m 0644 "$state/$file.pem" "$root/tmp/$file.pem"
	on_token cert import --name "$name" "/tmp/$file.pem" >/dev/null
done
on_token key generate --system EXMP01 --key audit --version 1 --params CryptoPro-A >/dev/null
cp "$state/ov-1.pem" "$etc/exmp01-ov-1.pem"
ok "generates keys and imports certificates"
chmod 0640 "$etc"/*.pem "$etc"/*.key
inside sh -c 'chgrp epovd /etc/epovd/*.pem /etc/epovd/*.key'

# What an operator edits: the module, the port, the name of his gateway.
sed -i -e "s|module: .*|module: $module|" -e 's|^listen: .*|listen: 127.0.0.1:18443|' "$etc/epovd.yaml"
sed -i -e 's|gateway\.example\.ru|epov.demo|; s|spiffe://example.ru/gateway|spiffe://epov.demo/gateway|' "$etc/policy.yaml"
holds "the configuration is right" as_epovd epovd -check

# The service, as its unit starts it; it tells the manager that it is ready.
cat >"$work/notify.pl" <<'PERL'
use Socket; my ($path, @run) = @ARGV;
my $s;
socket($s, AF_UNIX, SOCK_DGRAM, 0) and bind($s, pack_sockaddr_un($path)) or die "bind: $!";
chmod 0777, $path;
$SIG{ALRM} = sub { die "not ready within 60 s\n" }; alarm 60;
while (defined recv($s, my $note, 4096, 0)) { exit 0 if $note =~ /^READY=1/m }
PERL
start() {
	rm -f "$root/run/notify"
	perl "$work/notify.pl" "$root/run/notify" &
	local listener=$!
	until [ -S "$root/run/notify" ]; do
		kill -0 "$listener" 2>/dev/null || fail "nobody listens for $1"
		sleep 0.05
	done
	(as_epovd NOTIFY_SOCKET=/run/notify epovd -config /etc/epovd/epovd.yaml >>"$work/epovd.log" 2>&1) &
	wait "$listener" || fail "$1"
	ok "$1"
}
stop() {
	local pid
	for pid in "$root"/proc/[0-9]*; do # the daemon alone: the processes of its modules have another name
		[ "$(cat "$pid/comm" 2>/dev/null)" != epovd ] || kill -TERM "${pid##*/}"
	done
	wait
}
start "starts as epovd and says that it is ready"
cp "$state/tls/client.pem" "$state/tls/client.key" "$state/tls/ca.pem" "$root/tmp/"
printf '%s\n' 'address: 127.0.0.1:18443' 'server_name: localhost' 'tls: {certificate: client.pem, key: client.key, ca: ca.pem}' 'key: keys/EXMP01/ov' |
	sed '/^server_name/d' >"$root/tmp/client.yaml"
cp deploy/demo/messages/smev3-ack.xml "$root/tmp/message.xml"
client() { inside epov "$@" --client-config /tmp/client.yaml; }
holds "signs" client sign smev3 -o /tmp/signed.xml /tmp/message.xml
holds "verifies" client verify /tmp/signed.xml
holds "has recorded that, and the log is whole" as_epovd epov audit verify /var/lib/epovd/audit
holds "verifies without the daemon" inside epov verify --local --anchors /etc/epovd/root-ca.pem --intermediates /etc/epovd/issuing-ca.pem /tmp/signed.xml

# Upgrade: configuration and state stay, the new version signs.
sha() { inside sh -c 'find /etc/epovd /var/lib/epovd -type f ! -name "*.lock" -exec sha256sum {} + | sort -k2'; }
stop
sha >"$work/before"
VERSION=99.0 MAINTAINER=${MAINTAINER:-epov maintainers <epov@localhost>} \
	"$nfpm" package --config ".build/package/nfpm-$arch.yaml" --packager deb --target "$root/tmp/epov-99.deb" >/dev/null
holds "is upgraded" inside dpkg --force-confdef -i /tmp/epov-99.deb
sha >"$work/after"
holds "the upgrade keeps configuration and state" diff "$work/before" "$work/after"
expect /etc/epovd/epovd.yaml 640 root:epovd
start "starts again after the upgrade"
holds "signs after the upgrade" client sign smev3 -o /tmp/again.xml /tmp/message.xml
stop

# Removal keeps what is the operator's, purging takes it.
sha >"$work/before"
holds "is removed" inside dpkg -r epov
lacks "removal takes the programs" test -e "$root/usr/bin/epovd"
sha >"$work/after"
holds "removal keeps configuration and state" diff "$work/before" "$work/after"
holds "is purged" inside dpkg -P epov
lacks "purging takes the configuration" test -e "$root/etc/epovd"
lacks "purging takes the state" test -e "$root/var/lib/epovd"
ok "the user stays: $(inside getent passwd epovd | cut -d: -f1)"

# The units, as installed.
dpkg-deb -x "$deb" "$work/deb"
cp -r --parents /lib/systemd/system "$work/deb/"
mkdir -p "$work/deb/bin" && cp /bin/sh "$work/deb/bin/"
SYSTEMD_LOG_LEVEL=err systemd-analyze verify --man=no --root="$work/deb" epovd.service epovd.socket epovd-admin.socket epovd-metrics.socket epovd@one.service >"$work/out" 2>&1 ||
	{ cat "$work/out" >&2; fail "systemd-analyze verify"; }
[ ! -s "$work/out" ] || { cat "$work/out" >&2; fail "systemd-analyze verify has something to say"; }
ok "systemd-analyze verify has nothing to say of the units"

# The rpm: the same files with the same contents, but for where zsh looks and what only Debian wants.
mkdir -p "$work/rpm"
# Paths in it are absolute; and Debian's rpm2cpio fails after it has done its work.
{ rpm2cpio "$rpm" || true; } | (cd "$work/rpm" && cpio -idm --quiet --no-absolute-filenames 2>/dev/null)
dpkg-deb -x "$deb" "$work/plain"
contents() { (cd "$1" && find . -type f ! -path './usr/share/zsh/*' ! -path './usr/share/lintian/*' ! -name changelog.Debian.gz -exec sha256sum {} + | sort -k2); }
contents "$work/plain" >"$work/deb.files"
contents "$work/rpm" >"$work/rpm.files"
holds "the rpm holds what the deb holds ($(wc -l <"$work/rpm.files") files)" diff "$work/deb.files" "$work/rpm.files"
rpm -qp --qf '[%{FILENAMES} %{FILEFLAGS:fflags}\n]' "$rpm" >"$work/flags"
for file in /etc/epovd/epovd.yaml /etc/epovd/policy.yaml /etc/default/epovd; do
	grep -q "^$file cn\$" "$work/flags" || { cat "$work/flags" >&2; fail "$file is not config(noreplace) in the rpm"; }
done
ok "the rpm keeps configuration in upgrades"
# Installed by rpm, its scripts run in the small system. Without dependencies: that has none of rpm's packages, and glibc and the
# tools that make users under Debian's names.
mkdir -p "$work/rpm-root"
tar -C "$work/rpm-root" -xf "$build/debian-$suite-minimal.tar"
there() { chroot "$work/rpm-root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
by_rpm() { rpm --root "$work/rpm-root" --nodeps "$@" 2>"$work/rpm.log" || { cat "$work/rpm.log"; return 1; }; }
rpm --root "$work/rpm-root" --initdb
holds "the rpm is installed" by_rpm -i "$rpm"
for file in '750 root:epovd /etc/epovd' '640 root:epovd /etc/epovd/epovd.yaml' '640 root:epovd /etc/epovd/policy.yaml' \
	'700 epovd:epovd /var/lib/epovd' '755 root:root /usr/bin/epovd'; do
	[ "$(there stat -c '%a %U:%G %n' "${file##* }")" = "$file" ] || fail "in the rpm: not $file"
done
ok "its files have their modes and owners"
holds "its programs run there" there epovd -version
# rpm asks this machine for the numbers of groups: it is asked inside of the small system's lists.
holds "and are as rpm knows them" unshare --mount sh -c "mount --bind '$work/rpm-root/etc/group' /etc/group &&
	mount --bind '$work/rpm-root/etc/passwd' /etc/passwd && rpm --root '$work/rpm-root' --verify --nodeps epov"
echo '# by an operator' >>"$work/rpm-root/etc/epovd/epovd.yaml"
VERSION=99.0 MAINTAINER=${MAINTAINER:-epov maintainers <epov@localhost>} \
	"$nfpm" package --config ".build/package/nfpm-$arch.yaml" --packager rpm --target "$work/epov-99.rpm" >/dev/null
holds "it is upgraded" by_rpm -U "$work/epov-99.rpm"
[ "$(tail -n 1 "$work/rpm-root/etc/epovd/epovd.yaml")" = '# by an operator' ] || fail "the rpm's upgrade has not kept the configuration"
[ "$(there stat -c '%a %U:%G' /etc/epovd/epovd.yaml)" = '640 root:epovd' ] || fail "the rpm's upgrade has changed the configuration's owner"
ok "the upgrade keeps what an operator has changed"
holds "it is removed" by_rpm -e epov
lacks "its programs are gone" test -e "$work/rpm-root/usr/bin/epovd"
if [ ! -s "$work/rpm-root/etc/epovd/epovd.yaml.rpmsave" ] || [ ! -d "$work/rpm-root/var/lib/epovd" ]; then fail "removal took what is the operator's"; fi
ok "what an operator has changed, and the state, stay"
holds "lintian has nothing to say" lintian --allow-root --fail-on error,warning "$deb"

# The same sources give the same packages, wherever they are.
git worktree list >/dev/null 2>&1 && {
	mkdir -p "$work/elsewhere"
	git ls-files -z | xargs -0 tar -c | tar -x -C "$work/elsewhere"
	(
		cd "$work/elsewhere"
		SOURCE_DATE_EPOCH=$(git -C "$OLDPWD" log -1 --format=%ct)
		VERSION=${deb##*/epov_} VERSION=${VERSION%-1_*.deb}
		export SOURCE_DATE_EPOCH VERSION
		deploy/package/build.sh "$nfpm" >/dev/null
	)
	for file in "$work/elsewhere"/.build/dist/*; do # of the same architectures
		holds "${file##*/} is built anew to the octet" cmp ".build/dist/${file##*/}" "$file"
	done
}
rm -rf "$work"
umount "$root/dev" "$root/proc"
rm -rf "$root"
echo "$count passed, 0 failed"
