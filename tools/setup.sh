#!/bin/bash
# Installs what is missing of the packages in tools/packages/<list>.txt: tools/setup.sh build|test|bench...
# Says nothing and touches nothing when all of them are there. Services that come with a package are not started.
set -euo pipefail
cd "$(dirname "$0")/packages"

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
    while read -r package _; do
        case $package in '' | '#'*) ;; *) wanted+=("$package") ;; esac
    done <"$list.txt"
done

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
