#!/bin/sh
# Builds quota.sys into a folder: build.sh OUT [more flags for the compiler, such as -DBUGGY]
set -eu
here=$(dirname "$0") out=$1
shift
for dll in ntoskrnl fltmgr; do
    x86_64-w64-mingw32-dlltool -d "$here/$dll.def" -l "$out/$dll.a"
done
x86_64-w64-mingw32-gcc -std=c17 -O2 -g -Wall -Wextra -Werror -ffreestanding -fno-ident \
    -isystem /usr/share/mingw-w64/include/ddk "$@" \
    -nostdlib -shared -Wl,--subsystem,native -Wl,--entry,DriverEntry -Wl,--disable-runtime-pseudo-reloc \
    -o "$out/quota.sys" "$here/quota.c" "$out/ntoskrnl.a" "$out/fltmgr.a"
