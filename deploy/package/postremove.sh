#!/bin/sh
# After the files are gone: dpkg calls it with "remove" or "purge", rpm with 0 (removal) or 1 (upgrade). Removing keeps
# configuration and state; purging takes both. The user stays, so that its number is never another's.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl daemon-reload || true
	fi
	;;
purge)
	rm -rf /etc/epovd /var/lib/epovd
	;;
esac
