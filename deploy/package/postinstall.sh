#!/bin/sh
# After the files are there: dpkg calls it with "configure" and the former version, rpm with 1 (first installation) or 2.
set -e

case "$1" in
configure)
	former=$2
	;;
1)
	former=
	;;
2)
	former=some
	;;
*)
	exit 0
	;;
esac

getent group epovd >/dev/null || groupadd --system epovd
getent passwd epovd >/dev/null ||
	useradd --system --gid epovd --no-create-home --home-dir /var/lib/epovd --shell /usr/sbin/nologin epovd

# Root's, and readable by the service. What an operator has changed since stays as it is.
if [ -z "$former" ]; then
	chgrp epovd /etc/epovd /etc/epovd/epovd.yaml /etc/epovd/policy.yaml
fi
# Known refused PINs, states of keys, the audit log: the service's alone.
[ -d /var/lib/epovd ] || install -d -m 0700 -o epovd -g epovd /var/lib/epovd

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	# A service that runs takes the new version; its socket stays, so no connection is refused. None is started by itself: there
	# is neither a configuration nor a PIN yet.
	[ -z "$former" ] || systemctl try-restart epovd.service 'epovd@*.service' || true
fi
