#!/bin/sh
# Usage: tools/generate_docs.sh WEIR OUTDIR
# Writes what comes from the program's own tables: OUTDIR/{configuration.md,commands.md,reasons.md,metrics.md,weir.bash}, OUTDIR/man/*.8,
# and out of the source: OUTDIR/request.svg.
set -eu
"$1" schema --markdown >"$2/configuration.md"
"$1" help --markdown >"$2/commands.md"
"$1" help --reasons >"$2/reasons.md"
/usr/bin/python3 "$(dirname "$0")/list_metrics.py" "$1" >"$2/metrics.md"
"$1" help --bash >"$2/weir.bash"
rm -rf "$2/man"
mkdir "$2/man"
"$1" help --man >"$2/man/weir.8"
for command in $("$1" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
    "$1" help --man "$command" >"$2/man/weir-$command.8"
done
/usr/bin/python3 "$(dirname "$0")/draw_request.py" >"$2/request.svg"
