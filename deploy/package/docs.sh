#!/usr/bin/env bash
# Puts the documents and examples of the packages into a folder, /usr/share/doc/epov on machines, with links that hold there:
# what is not installed is linked to in the repository.
#
#	docs.sh DIR
set -euo pipefail
dir=$(realpath -m "${1:?usage: docs.sh DIR}")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
umask 022
repository=https://github.com/epov-signer/epov/blob/main

install -d "$dir/examples/systemd"
for page in deploy/package/README.md docs/*.md; do
	sed -E "s#\]\(\.\./deploy/(balancing|grafana|prometheus|epovd\.yaml|policy\.yaml)#](examples/\1#g; s#\]\(\.\./#]($repository/#g" \
		"$page" >"$dir/${page##*/}"
done
cp -r --no-preserve=mode docs/load docs/performance "$dir/"
install -m 0644 deploy/epovd.yaml deploy/policy.yaml "$dir/examples/"
install -m 0644 deploy/systemd/tpm.conf "$dir/examples/systemd/"
cp -r --no-preserve=mode deploy/{balancing,grafana,prometheus} deploy/examples/. "$dir/examples/"
