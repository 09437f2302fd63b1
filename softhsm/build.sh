#!/usr/bin/env bash
# Builds SoftHSM with GOST R 34.10-2012 (OpenSSL backend, Debian's gost engine) from Debian's source package and the patches
# beside this file into .build/softhsm, and beside it what modules.sh builds.
#
# Writes nothing outside the checkout: apt works on a source list, state and cache of its own, derived from the system's.
# A second run does nothing. SOFTHSM_FORCE=1 builds anew. SOFTHSM_STOCK=1 builds SoftHSM without the patches into
# .build/softhsm-stock instead: it knows one curve, and tests and benchmarks compare with it where it is there.
set -euo pipefail

version=2.6.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
name=softhsm
patches=("$here"/patches/*.patch)
if [[ ${SOFTHSM_STOCK:-} == 1 ]]; then
    name=softhsm-stock
    patches=()
fi
prefix=$root/.build/$name
work=$root/.build/$name-work
log=$root/.build/$name.log
module=$prefix/lib/softhsm/libsofthsm2.so
stamp=$prefix/stamp
# What the result depends on: this recipe, the patches, the version, and the place, which the module has compiled in.
key=$(printf '%s %s %s' "$version" "$prefix" "$(cat "${BASH_SOURCE[0]}" "${patches[@]}" | sha256sum)" | sha256sum)

# One build at a time; whatever an interrupted one left at work ends first, for it holds the lock too.
mkdir -p "$root/.build"
exec 9>"$root/.build/softhsm.lock"
flock 9

# Our own modules are built by themselves, so that a change to them costs a second.
modules() {
    [[ $name != softhsm ]] || "$here/modules.sh" "$prefix"
}

if [[ ${SOFTHSM_FORCE:-} != 1 && -f $module && -f $stamp && $(<"$stamp") == "$key" ]]; then
    modules
    exit 0
fi

# need PACKAGE TEST...: notes the package unless the test succeeds.
missing=()
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
need build-essential type gcc g++ make
need pkg-config type pkg-config
need dpkg-dev type dpkg-source
need patch type patch
need libssl-dev pkg-config --exists libcrypto
need openssl type openssl
need libengine-gost-openssl openssl engine gost
if ((${#missing[@]})); then
    echo "softhsm: system packages are missing; run:" >&2
    echo "    sudo apt-get update && sudo apt-get install --yes ${missing[*]}" >&2
    exit 1
fi

rm -rf "$work" "$prefix"
mkdir -p "$work"
: >"$log"

step() {
    local what=$1 status
    shift
    echo "softhsm: $what" | tee -a "$log"
    # A shell of its own, not a condition: inside a condition bash ignores errexit.
    set +e
    (set -e; "$@") >>"$log" 2>&1
    status=$?
    set -e
    if ((status)); then
        tail -n 25 "$log" >&2
        echo "softhsm: failed: $what; the whole log is $log" >&2
        exit 1
    fi
}

# The system's own sources with their keys and options, asked for source packages instead.
sources() {
    local from file
    mkdir -p "$work"/apt/{parts,lists/partial,cache/archives/partial}
    local list parts
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    for from in "$list" "$parts"/*.list "$parts"/*.sources; do
        [[ -f $from ]] || continue
        file=$work/apt/parts/$(basename "$from")
        if [[ $from == *.sources ]]; then
            sed -E 's/^types:.*/Types: deb-src/I' "$from" >"$file"
        else
            sed -nE 's/^[[:space:]]*deb[[:space:]]/deb-src /p' "$from" >"$file"
        fi
    done
    # How to fetch (proxies, certificates, dates) stays as the system has it; where to keep things and hooks do not.
    {
        apt-config dump | grep -E '^(Acquire|APT::Architecture)' | grep -v '^Acquire::IndexTargets'
        cat <<CONF
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/apt/parts";
Dir::State "$work/apt";
Dir::State::lists "$work/apt/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "";
CONF
    } >"$work/apt/apt.conf"
}

fetch() {
    sources
    export APT_CONFIG=$work/apt/apt.conf
    # Sources of others may offer no source packages, or not answer; what counts is that one has SoftHSM.
    apt-get update || true
    cd "$work"
    apt-get source --tar-only softhsm2
    mkdir src
    tar -xf "softhsm2_$version.orig.tar".* -C src --strip-components=1
}

patched() {
    local each
    cd "$work/src"
    for each in "${patches[@]}"; do
        echo "$each"
        patch -p1 --fuzz=0 <"$each"
    done
}

build() {
    cd "$work/src"
    ./configure --prefix="$prefix" --sysconfdir="$prefix/etc" --localstatedir="$prefix/var" --enable-shared \
        --disable-dependency-tracking --disable-static \
        --with-crypto-backend=openssl --enable-gost --disable-non-paged-memory --disable-p11-kit \
        CFLAGS='-O2' CXXFLAGS='-O2 -w'
    # The library first; of the programs only the one that makes tokens.
    make -j"$(nproc)" -C src/lib
    make -j"$(nproc)" -C src/bin SUBDIRS="common util"
    # By hand: SoftHSM's own install trips over blanks in the path.
    install -D src/lib/.libs/libsofthsm2.so "$module"
    install -D src/bin/util/softhsm2-util "$prefix/bin/softhsm2-util"
}

check() {
    cd "$root"
    go run ./softhsm/selfcheck "$module"
}

step "fetching the source of version $version" fetch
if ((${#patches[@]})); then
    step "patching" patched
fi
step "building" build
step "generating a GOST key, signing and verifying" check
rm -rf "$work"
printf '%s\n' "$key" >"$stamp"
modules
echo "softhsm: $module"
