#!/usr/bin/env bash
# Generates the Go code of the .proto files beside it, docs/api.md, and surface.txt: what callers rely on. It fails when
# something that is in surface.txt already would be no more. With --check it changes nothing and fails when the committed code is not current.
set -euo pipefail

protoc_gen_go=v1.36.12
protoc_gen_go_grpc=v1.6.2

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/.build
bin=$build/bin

usage() {
	echo "usage: ${0##*/} [--check]" >&2
	exit 2
}
check=
case ${1-} in
'') ;;
--check) check=1 ;;
*) usage ;;
esac

if ! command -v protoc >/dev/null; then
	echo "${0##*/}: protoc is missing: apt-get install protobuf-compiler" >&2
	exit 1
fi

# installed NAME VERSION PACKAGE: the plugin in exactly this version
installed() {
	if [[ $("$bin/$1" --version 2>/dev/null) != "$1 ${2}" ]]; then
		GOBIN=$bin go install "$3@$4"
	fi
}
mkdir -p "$bin"
installed protoc-gen-go "$protoc_gen_go" google.golang.org/protobuf/cmd/protoc-gen-go "$protoc_gen_go"
installed protoc-gen-go-grpc "${protoc_gen_go_grpc#v}" google.golang.org/grpc/cmd/protoc-gen-go-grpc "$protoc_gen_go_grpc"

work=$(mktemp -d "$build/proto.XXXXXX")
trap 'rm -rf "$work"' EXIT

(cd "$root" && go run "$here/descriptors.go") >"$work/wellknown.pb"
files=()
for f in "$here"/*.proto; do files+=("epov/v1/${f##*/}"); done
protoc --descriptor_set_in="$work/wellknown.pb" --proto_path=epov/v1="$here" \
	--plugin="$bin/protoc-gen-go" --go_out="$work" --go_opt=paths=source_relative \
	--plugin="$bin/protoc-gen-go-grpc" --go-grpc_out="$work" --go-grpc_opt=paths=source_relative \
	--include_source_info --descriptor_set_out="$work/api.pb" \
	"${files[@]}"
cd "$root"
go build -o "$bin/apidoc" ./internal/apidoc
"$bin/apidoc" breaks "$here/surface.txt" "$work/api.pb"
"$bin/apidoc" surface "$work/api.pb" >"$work/surface.txt"
"$bin/apidoc" doc "$work/api.pb" >"$work/api.md"

# The header names the compiler's version, which differs between systems that generate the same code.
sed -i '/^\/\/ 	*protoc  *v/d; /^\/\/ - protoc  *v/d' "$work"/epov/v1/*.pb.go

fail() {
	echo "${0##*/}: $1 is not current: run make proto and commit the result" >&2
	exit 1
}
if [[ -n $check ]]; then
	diff -u "$here/surface.txt" "$work/surface.txt" || fail surface.txt
	diff -u "$root/docs/api.md" "$work/api.md" || fail docs/api.md
	for f in "$work"/epov/v1/*.pb.go; do
		diff -u "$here/${f##*/}" "$f" || fail "${f##*/}"
	done
	for f in "$here"/*.pb.go; do
		[[ -e $work/epov/v1/${f##*/} ]] || fail "${f##*/}"
	done
else
	rm -f "$here"/*.pb.go
	install -m 0644 "$work"/epov/v1/*.pb.go "$work/surface.txt" "$here/"
	install -m 0644 "$work/api.md" "$root/docs/api.md"
fi
