#!/bin/sh
# Before the files go: dpkg calls it with "remove" or "upgrade", rpm with 0 (removal) or 1 (upgrade).
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl --no-reload disable --now epovd.socket epovd-admin.socket epovd-metrics.socket epovd.service || true
		systemctl stop 'epovd@*.service' || true
	fi
	;;
esac
