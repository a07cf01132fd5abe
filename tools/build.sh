#!/bin/bash
# Configures build/<kind> if needed and builds it, quietly: tools/build.sh <kind> [ninja target...]
# Kinds: release; plain (release flags, unit tests); asan; tsan; fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-}
shift || true
compiler=cc
case $kind in
release) options=(-Db_lto=true) ;;
plain) options=(-Dtests=true) ;;
asan)
    # Thousands of tests start it, so that what a start costs counts: a program that is not relocated, and not the checks of every
    # pointer, whose tables are eight times as large as all other data (null and object-size are ASan's as well; alignment and
    # pointer-overflow are looked for in `tsan` and `fuzz`).
    options=(-Dtests=true -Doptimization=1 -Db_ndebug=false -Db_sanitize=address,undefined -Db_pie=false -Db_staticpic=false
        "-Dc_args=-fno-pie -fno-sanitize=null,object-size,alignment,pointer-overflow" -Dc_link_args=-no-pie)
    ;;
tsan)
    options=(-Dtests=true -Doptimization=1 -Db_ndebug=false -Db_sanitize=thread
        -Dc_args=-fsanitize=undefined -Dc_link_args=-fsanitize=undefined)
    ;;
fuzz)
    compiler=clang
    # What ASan sees as well is not looked for twice, and reports need lines, no types: a quarter of the time goes by that.
    options=(-Dfuzz=true -Dwerror=true -Doptimization=1 -Db_ndebug=false -Db_sanitize=address,undefined -Db_lundef=false
        "-Dc_args=-fno-sanitize=null,object-size -gline-tables-only")
    ;;
*)
    echo "usage: tools/build.sh release|plain|asan|tsan|fuzz [target...]" >&2
    exit 64
    ;;
esac

directory=build/$kind
mkdir -p build
exec 9>"build/.$kind.lock"
flock 9 # two builds in one directory would spoil each other

# A directory made with other options is made anew: half-applied options are worse than a rebuild.
wanted="$compiler ${options[*]}"
if [ ! -f "$directory/build.ninja" ] || [ "$(cat "$directory/options" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$directory"
    environment=("CC=$compiler")
    # Some three hundred test programs and fuzzers are linked, each with all the layers: mold does it in less than half of the CPU
    # time.
    # What is installed is linked by the system's own linker.
    if [[ $kind != release ]] &&
        echo 'int main(void) { return 0; }' | "$compiler" -fuse-ld=mold -x c -o /dev/null - 2>/dev/null; then
        environment+=("CC_LD=mold")
    fi
    if ! env "${environment[@]}" /usr/bin/meson setup "$directory" "${options[@]}" >"build/$kind.setup.log" 2>&1; then
        cat "build/$kind.setup.log" >&2
        rm -rf "$directory"
        exit 1
    fi
    echo "$wanted" >"$directory/options"
fi

if [ -n "${PREFIX:-}" ] && [ "$(cat "$directory/prefix" 2>/dev/null)" != "$PREFIX" ]; then # for `make install`
    /usr/bin/meson configure "$directory" --prefix="$PREFIX"
    echo "$PREFIX" >"$directory/prefix"
fi

# First what meson has to say to a changed meson.build, of interest only if it fails.
if ! /usr/bin/ninja -C "$directory" --quiet build.ninja >"build/$kind.setup.log" 2>&1; then
    cat "build/$kind.setup.log" >&2
    exit 1
fi
/usr/bin/ninja -C "$directory" --quiet ${JOBS:+-j "$JOBS"} "$@" | { grep -vxF 'ninja: no work to do.' || true; }
