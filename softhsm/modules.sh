#!/usr/bin/env bash
# Builds our own modules, of which each takes a second, into the folder lib of the place given: the one that injects faults,
# and the one that takes no time. What is newer than its source stays.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lib=${1:?the folder that SoftHSM was built into}/lib
mkdir -p "$lib"
for name in fault noop; do
    so=$lib/$name.so
    if [[ ! -f $so || -n $(find "$here/$name" "$here/fault/pkcs11.h" "${BASH_SOURCE[0]}" -newer "$so") ]]; then
        # Whoever has the old one loaded keeps it.
        cc -std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion -Werror -fPIC -shared -fvisibility=hidden \
            -o "$so.new" "$here/$name"/*.c -ldl -lm -lpthread
        mv "$so.new" "$so"
    fi
done
