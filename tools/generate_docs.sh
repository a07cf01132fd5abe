#!/bin/sh
# Usage: tools/generate_docs.sh WEIR OUTDIR
# Writes what comes from the program's own tables: OUTDIR/{configuration.md,commands.md,weir.bash},
# and out of the source: OUTDIR/request.svg.
set -eu
"$1" schema --markdown >"$2/configuration.md"
"$1" help --markdown >"$2/commands.md"
"$1" help --bash >"$2/weir.bash"
/usr/bin/python3 "$(dirname "$0")/draw_request.py" >"$2/request.svg"
