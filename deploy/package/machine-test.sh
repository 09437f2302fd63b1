#!/usr/bin/env bash
# Boots a small Debian with systemd and does there what docs/handbook.md tells the operator, word for word: install, first token,
# service, signature, rotation, a new PIN, audit, upgrade, backup. Between them it holds the units to what they say, while a client
# signs: readiness, watchdog, restarts and reloads without a refused call, confinement, the ways of failing, logs.
#
#	machine-test.sh NFPM    as root, after build.sh; the Debian is kept in .build for the next time
#
# It takes namespaces and control groups to boot a system within a system; where they are not to be had it says SKIPPED. What is
# mounted and what runs ends with the test.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nfpm=$(realpath "${1:?usage: machine-test.sh NFPM}")

if [ "$(id -u)" -ne 0 ]; then
	echo "SKIPPED: booting a system takes root" >&2
	exit 0
fi
if [ -z "${EPOV_PACKAGE_TEST:-}" ]; then
	exec env EPOV_PACKAGE_TEST=1 unshare --mount --pid --fork --kill-child --mount-proc --propagation private bash "$0" "$@"
fi
# shellcheck source=deploy/package/common.sh
. deploy/package/common.sh
root=$PWD/.build/package-machine
rm -rf "$root" "$work"
mkdir -p "$root" "$work"
debian machine "$token_packages,systemd,systemd-sysv,dbus,sudo"
tar -C "$root" -xf "$build/debian-$suite-machine.tar"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"

# systemd-nspawn keeps from what it boots system calls that a machine has, and that the service confines itself with.
landlock='landlock_create_ruleset landlock_add_rule landlock_restrict_self'
nspawn=
boot() {
	systemd-nspawn --quiet --boot --directory="$root" --machine=epov-test --keep-unit --register=no --link-journal=no \
		--private-network --resolv-conf=off --console=pipe --system-call-filter="@memlock $landlock" </dev/null >"$work/boot" 2>&1 &
	nspawn=$!
	local i init
	for ((i = 0; i < 300; i++)); do
		kill -0 "$nspawn" 2>/dev/null || return 1
		init=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null) && init=${init%% *} && [ -n "$init" ] &&
			enter=(nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup --root --wd /usr/bin/env -i
				PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
					SOFTHSM2_CONF=/etc/softhsm/softhsm2.conf) &&
			"${enter[@]}" systemctl is-system-running --wait >"$work/state" 2>/dev/null && return 0
		! grep -qsE "degraded|maintenance" "$work/state" || return 1
		sleep 0.2
	done
	return 1
}
inside() { "${enter[@]}" "$@"; }
halt() {
	[ -n "$nspawn" ] && kill -0 "$nspawn" 2>/dev/null || return 0
	inside systemctl poweroff >/dev/null 2>&1 || true
	local i
	for ((i = 0; i < 100; i++)); do
		kill -0 "$nspawn" 2>/dev/null || return 0
		sleep 0.2
	done
	kill -KILL "$nspawn"
}
# A command that fails between the checks says where.
trap 'echo "FAIL line $LINENO: $BASH_COMMAND" >&2; explain >&2' ERR
trap halt EXIT
explain() {
	inside systemctl status --no-pager -n 0 epovd.service epovd.socket || true
	inside journalctl --no-pager -u 'epovd*' -n 400 -o cat | grep -v -e '"msg":"signature"' -e '^Mounting\|mount\|Got notification' | tail -n 40 || true
}
if ! boot; then
	cat "$work/boot" "$work/state" 2>/dev/null >&2 || true
	if [ -n "${EPOV_REQUIRE_MACHINE:-}" ]; then fail "no system can be booted here"; fi
	echo "SKIPPED: systemd-nspawn boots no system here; nothing of the units was tried" >&2
	exit 0
fi
ok "a Debian with systemd $(inside systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p') is booted"

# What the handbook takes for given: the vendor's library (SoftHSM in its place, and where that keeps its tokens), authorities that
# certify, an editor with an operator before it.
install -D "$build/softhsm/lib/softhsm/libsofthsm2.so" "$root/usr/lib/librtpkcs11ecp.so"
install -d "$root/etc/softhsm" "$root/etc/systemd/system/epovd.service.d"
printf '%s\n' 'directories.tokendir = /var/lib/softhsm/tokens' 'objectstore.backend = file' 'log.level = ERROR' \
	'slots.removable = false' >"$root/etc/softhsm/softhsm2.conf"
printf '[Service]\nReadWritePaths=/var/lib/softhsm\n' >"$root/etc/systemd/system/epovd.service.d/vendor.conf"
echo 'Defaults env_keep += "SOFTHSM2_CONF"' >"$root/etc/sudoers.d/softhsm"
here=$PWD/deploy/demo state=$work/pki
mkdir -p "$state"
say() { :; }
openssl() { OPENSSL_CONF=$here/openssl.cnf command openssl "$@" 2>>"$work/openssl.log"; }
# shellcheck source=deploy/demo/pki.sh
. "$here/pki.sh"
make_gost_ca
make_tls
install -d "$root/root/authority"
install -m 0644 "$here/pki.sh" "$here/openssl.cnf" "$root/root/authority/"
cp -r "$state/ca" "$root/root/authority/"
cp "$state/tls/client.pem" "$state/tls/client.key" "$state/tls/ca.pem" "$root/root/"
cp deploy/demo/messages/smev3-ack.xml "$root/root/request.xml"
cp "$(newest .build/dist/epov_*_"$arch".deb)" "$root/root/"
cat >"$root/usr/local/bin/operator" <<'SH'
#!/bin/sh
case $1 in *so-pin) echo 31415926 ;; *new-pin) echo 27182818 ;; *) echo 16180339 ;; esac >"$1"
SH
chmod 0755 "$root/usr/local/bin/operator"
cat >"$root/root/operator.sh" <<'SH'
set -euo pipefail
cd /root
export EDITOR=operator DEBIAN_FRONTEND=noninteractive
[ ! -s variables ] || . ./variables
authority() (
	here=/root/authority
	openssl() { OPENSSL_CONF=$here/openssl.cnf command openssl "$@" 2>>/root/openssl.log; }
	. "$here/pki.sh"
	issue "$1" "$here/ca/issuing" ep_ov 365 -md_gost12_256
)
# A token that is a folder belongs to whoever made the file last; one that is a device does not.
epov() {
	local status=0
	command epov "$@" || status=$?
	if id epovd >/dev/null 2>&1; then chown -R epovd:epovd /var/lib/softhsm; fi
	return $status
}
# At a terminal, where PINs are asked for.
sudo() { script --quiet --return --command "sudo $(printf '%q ' "$@")" /dev/null <<<"$(cat /etc/epovd/pin-main)"; }
set -x
SH
install -d "$root/var/lib/softhsm/tokens"

# handbook KIND NTH: the blocks of that kind below the sections named, as they stand there.
handbook() {
	awk -v kind="$1" -v title="$2" '/^## /{ here = substr($0, 4) == title } /^```/{ inside = here && $0 == "```" kind; next } inside' docs/handbook.md |
		sed -E 's/^# The accredited authority answers with (\S+)\.pem\.$/authority \1/'
}
# operator SECTION: does there what the section of the handbook says.
operator() {
	{
		echo '. /root/operator.sh'
		handbook sh "$1"
		# shellcheck disable=SC2016
		echo '{ declare -p module token; [ -z "${EPOV_CLIENT_CONFIG:-}" ] || declare -p EPOV_CLIENT_CONFIG; } >/root/variables 2>/dev/null || true'
	} >"$root/root/section.sh"
	[ "$(wc -l <"$root/root/section.sh")" -gt 2 ] || fail "the handbook has no commands in its section $1"
	holds "handbook: $1" inside bash /root/section.sh
}

operator "Install"
sed -i 's/^#SOFTHSM2_CONF/SOFTHSM2_CONF/' "$root/etc/default/epovd"
operator "The first token"
handbook yaml "The service" | awk -v etc="$root/etc/epovd" '/^roles:/{ policy = 1 } { print > (etc "/" (policy ? "policy" : "epovd") ".yaml") }'
cp "$state/ca/root.pem" "$root/etc/epovd/root-ca.pem"
cp "$state/ca/issuing.pem" "$root/etc/epovd/issuing-ca.pem"
cp "$state/tls/server.pem" "$state/tls/server.key" "$root/etc/epovd/"
cp "$state/tls/ca.pem" "$root/etc/epovd/clients-ca.pem"
inside sh -c 'cd /etc/epovd && chgrp epovd *.pem server.key *.yaml && chmod 0640 *.pem server.key *.yaml'
inside systemctl log-level debug
operator "The service"
handbook yaml "The first signature" >"$root/root/client.yaml"
operator "The first signature"

show() { inside systemctl show --property "$1" --value epovd.service; }
is() { # is PROPERTY VALUE TEXT
	local got
	got=$(show "$1")
	[ "$got" = "$2" ] || fail "$3: $1 is $got, not $2"
	ok "$3"
}
# within SECONDS TEXT COMMAND...: it must come true in time.
within() {
	local end=$((SECONDS + $1)) text=$2
	shift 2
	until "$@" >"$work/out" 2>&1; do
		[ "$SECONDS" -lt "$end" ] || { cat "$work/out" >&2; fail "$text: $*"; }
		sleep 0.1
	done
	ok "$text"
}
# What the service itself has written; since the last mark.
mark() { since=$(inside date '+%F %T.%6N'); }
since=today
journal() { inside journalctl --no-pager -o cat --since "$since" _SYSTEMD_UNIT=epovd.service _TRANSPORT=stdout; }
said() { journal | grep -- "$1"; }
notified() { inside journalctl --no-pager -o cat --since "$since" _PID=1 | grep "epovd.service: Got notification message from PID .*$1"; }

# Readiness, users, permissions.
is Type notify "the unit waits to be told"
is ActiveState active "the service is active"
holds "it has told the manager that it is ready" notified READY=1
holds "it tells the manager that it is alive" notified WATCHDOG=1
pid=$(show MainPID)
expect() {
	local got
	got=$(inside stat -c '%a %U:%G' "$1")
	[ "$got" = "$2 $3" ] || fail "$1 is $got, not $2 $3"
	ok "$1 is $2 $3"
}
expect /var/lib/epovd 700 epovd:epovd
expect /var/lib/epovd/audit 700 epovd:epovd
expect /etc/epovd 750 root:epovd
expect /etc/epovd/pin-main 600 root:root
expect /run/epovd 755 epovd:epovd
inside cat /sys/fs/cgroup/unified/system.slice/epovd.service/cgroup.procs >"$work/procs" 2>/dev/null ||
	inside cat /sys/fs/cgroup/system.slice/epovd.service/cgroup.procs >"$work/procs"
while read -r p; do
	inside cat "/proc/$p/status" </dev/null >"$work/status"
	grep -q "^Uid:	$(inside id -u epovd)	" "$work/status" || fail "process $p is not the user epovd's"
	for want in 'NoNewPrivs:	1' 'Seccomp:	2' 'CapEff:	0000000000000000' 'CapBnd:	0000000000000000' 'CapAmb:	0000000000000000'; do
		grep -qx "$want" "$work/status" || fail "process $p lacks $want"
	done
	inside grep -qE '^Max core file size +0 +0' "/proc/$p/limits" || fail "process $p may leave a core"
done <"$work/procs"
ok "its $(wc -l <"$work/procs") processes are epovd's, without capabilities, new privileges, cores, and with system calls filtered"

# Confinement: what the service says of itself, and what a program meets that the very unit starts.
inside epovd -check | sed -nE 's/^sandbox: //; T; s/ \([^)]*\)//gp' >"$work/possible"
said '"msg":"confined"' | tail -n 1 | sed -E 's/.*"in_force":"(.*)".*/\1/; s/ \([^)]*\)//g' >"$work/confined"
holds "all is in force under the unit that this kernel has: $(cat "$work/confined")" diff "$work/possible" "$work/confined"
lacks "nothing was said to be lacking" said 'confined less'
cat >"$root/usr/local/bin/probe" <<'SH'
#!/bin/bash
# Prints what should not have been possible.
tried() { if timeout 5 "$@" >/dev/null 2>&1; then echo "could: $*"; fi; }
for d in / /usr/bin /etc /etc/epovd /var/lib /var/log /home /root /boot /run /dev /sys/fs/cgroup /proc/sys/kernel; do tried touch "$d/probe"; rm -f "$d/probe" 2>/dev/null; done
tried ls /root/request.xml; tried cat /root/so-pin; tried cat /etc/epovd/pin-main; tried cat /etc/shadow; tried ls /tmp/outside
tried test -e /proc/1/status; tried test -e /dev/console; tried head -c 1 /proc/kmsg; tried test -e /proc/cpuinfo
tried unshare --user true; tried mount -t tmpfs none /tmp; tried chmod u+s /tmp/suid; tried sh -c '[ "$(nice -n -5 nice)" = -5 ]'; tried hostname probe
tried chroot / true; tried ls /run/credentials/systemd-sysusers.service
tried perl -e 'exit 1 if !defined(syscall(16, 0, 0x5412, "x")) ; exit 0'  # TIOCSTI
tried perl -e 'syscall(101, 0, 0, 0, 0) == 0 or exit 1'                   # PTRACE_TRACEME
tried perl -e 'syscall(165, 0, 0, 0, 0) == 0 or $!{EPERM} and exit 1'     # mount
tried perl -e 'use Socket; socket(my $s, 16, SOCK_RAW, 0) or exit 1'      # AF_NETLINK
tried perl -e 'use Socket; socket(my $s, 17, SOCK_RAW, 0) or exit 1'      # AF_PACKET
touch /tmp/suid /var/lib/epovd/probe /run/epovd-probe/probe || echo "could not write its own places"
rm -f /var/lib/epovd/probe
[ "$(cat "$CREDENTIALS_DIRECTORY/pin-main")" = 16180339 ] || echo "could not read its PIN"
[ "$(id -un):$(id -gn)" = epovd:epovd ] || echo "is $(id)"
SH
chmod 0755 "$root/usr/local/bin/probe"
inside touch /tmp/outside
{
	sed -e 's|^ExecStart=.*|ExecStart=/usr/local/bin/probe|; s|^Type=notify|Type=oneshot|; s|^RuntimeDirectory=.*|&-probe|; /^WatchdogSec=/d; /^Restart=/d; /^ExecReload=/d' \
		-e '/^RestartSec=/d; /^Wants=/d' "$root/lib/systemd/system/epovd.service"
} >"$root/etc/systemd/system/epovd-probe.service"
inside systemctl daemon-reload
holds "the unit starts another program in the service's place" inside systemctl start epovd-probe.service
inside journalctl --no-pager -o cat _SYSTEMD_UNIT=epovd-probe.service _TRANSPORT=stdout >"$work/probed"
[ ! -s "$work/probed" ] || { cat "$work/probed" >&2; fail "the unit lets through what it should not"; }
inside unshare --mount --uts env CREDENTIALS_DIRECTORY=/etc/epovd probe >"$work/probed" 2>&1
[ "$(grep -c '^could: ' "$work/probed")" -ge 20 ] || { cat "$work/probed" >&2; fail "the probe finds nothing possible without the unit either"; }
ok "that can write its state alone, reads its PIN, and sees no homes, other processes, devices, other credentials"
lacks "nor does the service show its memory to others of its user" inside setpriv --reuid=epovd --regid=epovd --clear-groups cat "/proc/$pid/environ"

# Under load: a client asks all the time, and every call must be answered well.
load() { # load SECONDS, in the background
	inside epov bench --client-config /root/client.yaml --rate 25 --size 1024 --duration "${1}s" --deadline 20s --json /root/load.json \
		>"$work/load" 2>&1 &
	bench=$!
	sleep 1
}
unharmed() {
	wait "$bench" || { cat "$work/load" >&2; fail "$1: the load"; }
	local asked good
	asked=$(sed -nE 's/.*"asked": *([0-9]+).*/\1/p' "$root/root/load.json" | head -n 1)
	good=$(sed -nE 's/.*"good": *([0-9]+).*/\1/p' "$root/root/load.json" | head -n 1)
	if [ "${asked:-0}" -le 50 ] || [ "$asked" != "$good" ]; then
		cat "$root/root/load.json" >&2
		fail "$1: $good of $asked calls were answered well"
	fi
	ok "$1: $good of $asked calls were answered well"
}
other() { [ "$(show MainPID)" != "$pid" ] && [ "$(show ActiveState)" = active ]; }

mark
load 8
for _ in 1 2 3; do
	inside systemctl reload epovd
	sleep 1
done
unharmed "three reloads"
is MainPID "$pid" "a reload keeps the process"
holds "it has told the manager that it reloads" notified RELOADING=1

mark
load 8
inside systemctl restart epovd
sleep 1.5
inside systemctl restart epovd
unharmed "two restarts"
other || fail "the process is the same"
holds "it has told the manager that it stops" notified STOPPING=1
holds "restarts are orderly" said '"msg":"stopped"'

# What an operator edits wrongly: the service goes on as it was.
mark
cp "$root/etc/epovd/policy.yaml" "$work/policy.yaml"
sed -i 's/operations: \[sign-xml/operations: [sign-everything/' "$root/etc/epovd/policy.yaml"
inside systemctl reload epovd
within 10 "a wrong policy is refused, and the log says why" said 'not taken over.*sign-everything'
holds "and costs nothing" inside epov sign smev3 --client-config /root/client.yaml -o /root/signed.xml /root/request.xml
cat "$work/policy.yaml" >"$root/etc/epovd/policy.yaml"
sed -i 's/operations: \[sign-xml, /operations: [/' "$root/etc/epovd/policy.yaml"
inside systemctl reload epovd
refused() { ! inside epov sign smev3 --client-config /root/client.yaml -o /root/never.xml /root/request.xml >"$work/refused" 2>&1; }
within 10 "a right that is taken is gone after a reload" refused
cat "$work/policy.yaml" >"$root/etc/epovd/policy.yaml"
inside systemctl reload epovd
within 10 "and comes back" inside epov sign smev3 --client-config /root/client.yaml -o /root/signed.xml /root/request.xml

# Logs: each line of the service is one JSON object.
inside journalctl --no-pager -o cat _SYSTEMD_UNIT=epovd.service _TRANSPORT=stdout >"$work/journal"
holds "the $(wc -l <"$work/journal") lines of its log are JSON" python3 -c 'import json, sys
for line in open(sys.argv[1]): assert json.loads(line)["msg"], line' "$work/journal"

# The watchdog: a service that hangs is started anew; its clients are served by the next one.
printf '[Service]\nWatchdogSec=3\n' >"$root/etc/systemd/system/epovd.service.d/impatient.conf"
inside systemctl daemon-reload
inside systemctl restart epovd
pid=$(show MainPID)
mark
sleep 4
is MainPID "$pid" "a watchdog that is fed leaves the service alone"
inside systemctl kill --kill-who=main --signal=STOP epovd
within 40 "a service that hangs is started anew" other
holds "by the watchdog" sh -c "$(printf '%q ' "${enter[@]}") journalctl --no-pager -o cat --since '$since' _PID=1 | grep 'epovd.service: Watchdog timeout'"
is NRestarts 1 "once"
holds "and serves" inside epov sign smev3 --client-config /root/client.yaml -o /root/signed.xml /root/request.xml
rm "$root/etc/systemd/system/epovd.service.d/impatient.conf"
inside systemctl daemon-reload
inside systemctl restart epovd

# A wrong PIN is tried once: the service fails with a code of its own and is not started again, whatever knocks.
mark
cp -p "$root/etc/epovd/pin-main" "$root/etc/epovd/pin-right"
echo 99999999 >"$root/etc/epovd/pin-main"
lacks "does not start with a wrong PIN" inside systemctl restart epovd
is ExecMainStatus 3 "and says so by its exit code"
knock() { ! inside timeout 5 epov health --client-config /root/client.yaml --timeout 1s >"$work/knock" 2>&1; }
for _ in {1..10}; do
	knock || fail "serves with a wrong PIN"
done
[ "$(journal | grep -c '"msg":"starting"')" -le 10 ] || fail "clients that knock have it started $(journal | grep -c '"msg":"starting"') times"
is NRestarts 0 "it is not started again by itself, and clients that knock do not have it started without end"
lacks "no PIN is in what the journal has of it" sh -c "$(printf '%q ' "${enter[@]}") journalctl --no-pager | grep -E '99999999|16180339|31415926'"
handbook sh "A PIN was refused, or is locked" >"$root/root/doctor.sh"
inside bash /root/doctor.sh >"$work/doctor" 2>&1 || true
holds "the handbook's epov doctor says what is the matter" grep '^fault .*pin.record' "$work/doctor"
mv "$root/etc/epovd/pin-right" "$root/etc/epovd/pin-main"
inside systemctl reset-failed epovd.service epovd.socket
inside systemctl start epovd.socket epovd.service
holds "the right PIN makes it sign again, and none was spent" inside epov sign smev3 --client-config /root/client.yaml -o /root/signed.xml /root/request.xml

# What may pass is tried again and again, at its pace.
mark
inside chown root:root /var/lib/epovd/audit
inside chmod 0700 /var/lib/epovd/audit
inside systemctl restart epovd >/dev/null 2>&1 || true
for _ in {1..8}; do
	knock || fail "serves without its audit log"
	sleep 0.5
done
starts=$(journal | grep -c '"msg":"starting"')
if [ "$starts" -lt 2 ] || [ "$starts" -gt 6 ]; then fail "it was started $starts times"; fi
ok "a fault that may pass: it is started again, $starts times"
inside chown epovd:epovd /var/lib/epovd/audit
within 20 "and serves when the fault is gone" inside epov health --client-config /root/client.yaml
is Result success "without an operator"

# The other sockets, and a second service beside the first.
printf '%s\n' 'admin: {listen: /run/epovd-admin/socket}' 'metrics: {listen: "127.0.0.1:9464"}' >>"$root/etc/epovd/epovd.yaml"
inside systemctl stop epovd.service epovd.socket
holds "the sockets of administration and metrics" inside systemctl enable --now epovd.socket epovd-admin.socket epovd-metrics.socket epovd.service
holds "root administers through the first" inside epov admin state
lacks "the service's user may not reach it" inside setpriv --reuid=nobody --clear-groups epov admin state
# shellcheck disable=SC2016
holds "metrics are read from the second" inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/9464; printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; grep -q ^epov_ <&3'
install -d -m 0750 "$root/etc/epovd/one" "$root/etc/systemd/system/epovd@.service.d"
cp -a "$root"/etc/epovd/*.* "$root/etc/epovd/pin-main" "$root/etc/epovd/one/"
cp "$root/etc/systemd/system/epovd.service.d/vendor.conf" "$root/etc/systemd/system/epovd@.service.d/"
sed -i -e 's|/var/lib/epovd/|/var/lib/epovd/one/|g; s|^listen: .*|listen: 127.0.0.1:9443|; s|/node-1|/node-2|; /^admin:/d; /^metrics:/d' "$root/etc/epovd/one/epovd.yaml"
cp "$root/etc/default/epovd" "$root/etc/default/epovd-one"
inside chgrp -R epovd /etc/epovd/one
inside systemctl daemon-reload
holds "a second service starts beside it" inside systemctl start epovd@one.service
inside systemctl stop epovd.service
second() { inside epov sign smev3 --client-config /root/client.yaml --address localhost:9443 -o /root/signed.xml /root/request.xml; }
holds "and serves by itself" second
inside systemctl start epovd.service

# The rest of the handbook.
for section in "Rotation" "A PIN is changed" "A PIN was refused, or is locked" "Audit questions"; do
	operator "$section"
done
by_second() { journal | grep '"msg":"signature"' | tail -n 1 | grep 'versions/2"'; }
holds "signs" inside epov sign smev3 --client-config /root/client.yaml -o /root/signed.xml /root/request.xml
within 10 "by the second version of the key" by_second

# Upgrade of a service that runs and is asked all the time.
rm "$root"/root/epov_*.deb
VERSION=99.0 MAINTAINER=${MAINTAINER:-epov maintainers <epov@localhost>} \
	"$nfpm" package --config ".build/package/nfpm-$arch.yaml" --packager deb --target "$root/root/epov_99.0-1_$arch.deb" >/dev/null
pid=$(show MainPID) one=$(inside systemctl show --property MainPID --value epovd@one.service)
load 12
operator "Upgrades and restarts"
unharmed "an upgrade"
other || fail "the upgrade has not restarted the service"
[ "$(inside systemctl show --property MainPID --value epovd@one.service)" != "$one" ] || fail "the upgrade has not restarted the second service"
ok "the services that ran are of the new version"
operator "Backup"

# No secret is in any log.
inside journalctl --no-pager -o export >"$work/everything"
for secret in 16180339 27182818 31415926 99999999; do
	! grep -aq "$secret" "$work/everything" || fail "the journal holds the PIN $secret"
done
ok "the whole journal holds no PIN"

# Removal and purge, of services that run.
holds "is removed" inside apt-get remove -y epov
lacks "neither service runs" inside sh -c 'cat /proc/[0-9]*/comm | grep -x epovd'
lacks "nor does a socket listen" inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/8443'
for file in /var/lib/epovd/audit/checkpoint /etc/epovd/epovd.yaml; do
	[ -e "$root$file" ] || fail "removal took $file, which is the operator's"
done
holds "is purged" inside apt-get purge -y epov
lacks "nothing is left of it" sh -c "ls -d '$root'/etc/epovd '$root'/var/lib/epovd '$root'/run/epovd* '$root'/lib/systemd/system/epovd* '$root'/etc/systemd/system/*.wants/epovd*"
halt
rm -rf "$root" "$work"
echo "$count passed, 0 failed"
