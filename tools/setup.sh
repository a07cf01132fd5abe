#!/bin/bash
# Installs what is missing of the packages in tools/packages/<list>.txt: tools/setup.sh build|test|bench...
# A second word in a line is a program: where that is there, be it from elsewhere, the package is not needed. For tests it also
# puts into build/npm what tests/package-lock.json names.
# Says nothing and touches nothing when all of them are there. Services that come with a package are not started.
set -euo pipefail
cd "$(dirname "$0")/packages"
root=../..

if [ $# -eq 0 ]; then
    echo "usage: tools/setup.sh build|test|bench..." >&2
    exit 64
fi

wanted=()
for list in "$@"; do
    if [ ! -f "$list.txt" ]; then
        echo "setup: there is no package list tools/packages/$list.txt" >&2
        exit 64
    fi
    while read -r package program; do
        case $package in '' | '#'*) continue ;; esac
        if [ -z "$program" ] || ! command -v "$program" >/dev/null; then
            wanted+=("$package")
        fi
    done <"$list.txt"
done

# What npm has: by the lock file alone, whose hashes it checks, without running what packages would like to run. It is put in its
# place as a whole, with the lock file that it was made by.
install_npm_packages() {
    local into=$root/build/npm
    cmp -s $root/tests/package-lock.json $into/package-lock.json && return
    mkdir -p $root/build
    exec 9>$root/build/.npm.lock
    flock 9
    cmp -s $root/tests/package-lock.json $into/package-lock.json && return
    echo "setup: installing npm packages of tests/package-lock.json" >&2
    rm -rf $into.new
    mkdir $into.new
    cp $root/tests/package.json $root/tests/package-lock.json $into.new
    if ! npm ci --prefix $into.new --ignore-scripts --no-audit --no-fund --loglevel=error >&2 </dev/null; then
        echo "setup: npm could not install what tests/package-lock.json names, for tests of pages and of the API's description:" \
            "see above; run tools/setup.sh test again once it reaches its registry (npm config get registry)" >&2
        return 1
    fi
    rm -rf $into
    mv $into.new $into
}

finish() {
    for list in "$@"; do
        if [ "$list" = test ]; then
            install_npm_packages
        fi
    done
}

if ! command -v dpkg-query >/dev/null; then
    echo "setup: this is not Debian; install the counterparts of these packages by hand: ${wanted[*]}" >&2
    exit 1
fi

declare -A is_installed=()
while read -r status package; do
    if [ "$status" = installed ]; then
        is_installed[$package]=1
    fi
done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)

missing=()
for package in "${wanted[@]}"; do
    if [ -z "${is_installed[$package]:-}" ]; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    finish "$@"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: these packages are missing and only root can install them (there is no sudo): ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi

echo "setup: installing ${missing[*]}" >&2

# While this file exists and exits 101, packages do not start their services. One that was here before stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -qq -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}
apt update
apt install --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    "${missing[@]}"
finish "$@"
