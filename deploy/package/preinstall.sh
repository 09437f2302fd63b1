#!/bin/sh
# Before rpm puts the files there: they are of this group, and rpm --verify holds them to it.
set -e

getent group epovd >/dev/null || groupadd --system epovd
getent passwd epovd >/dev/null ||
	useradd --system --gid epovd --no-create-home --home-dir /var/lib/epovd --shell /usr/sbin/nologin epovd
