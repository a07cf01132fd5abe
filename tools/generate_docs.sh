#!/bin/sh
# Usage: tools/generate_docs.sh WEIR OUTDIR
# Writes the pages that come from the program's own tables: OUTDIR/configuration.md.
set -eu
"$1" schema --markdown >"$2/configuration.md"
