#!/usr/bin/python3
"""A file in src/<layer>/ includes its own layer and the layers before it, never after.

Prints file:line and a sentence for each violation and exits with 1 if there is one. --self-test plants violations
in a directory of its own and must see each of them.
"""
import os
import re
import sys

from source_lines import main, read_lines

LAYERS = ["base", "metric", "conf", "net", "tls", "acme", "http", "coding", "files", "auth", "balance", "route", "health", "discovery", "pool", "record", "proxy", "logs",
          "host", "observe", "stack", "profile", "crash", "self", "admin", "control", "command"]
# Observers of other programs: they come after record and proxy but know nothing of them.
OBSERVERS = ["logs", "host", "observe", "stack", "profile", "crash"]
FORBIDDEN = {(layer, target) for layer in OBSERVERS for target in ["record", "proxy"]}

INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)')


def find_violation(layer, quoted, angled):
    """The sentence that says what is wrong with one include, or None."""
    name = quoted if quoted is not None else angled
    target = name.split("/")[0] if "/" in name else None
    if quoted is None and target not in LAYERS:
        return None
    if quoted is None:
        return f'write "{name}" in quotes: it is weir\'s own'
    if target not in LAYERS:
        return f'write "{name}" from src/, for example "{layer}/{os.path.basename(name)}"'
    if LAYERS.index(target) > LAYERS.index(layer):
        return f"{layer} comes before {target} and must not include {name}"
    if (layer, target) in FORBIDDEN:
        return f"{layer} knows nothing of {target} and must not include {name}"
    return None


def find_violations(source_root):
    """Yields "path:line: sentence" for each violation below source_root."""
    for path, layer, number, line in read_lines(source_root):
        if layer not in LAYERS:
            if number == 0:
                yield f"{path}:1: {layer} is not a layer; add it to tools/check_layers.py and src/meson.build"
            continue
        match = INCLUDE.match(line)
        violation = match and find_violation(layer, match.group(1), match.group(2))
        if violation:
            yield f"{path}:{number}: {violation}"


PLANTED = {
    "base/a.c": ('#include "base/a.h"\n#include <stdio.h>\n#include <sys/uio.h>\n', None),
    "proxy/a.c": ('#include "base/a.h"\n\n#include "pool/a.h"\n', None),
    "base/up.c": ('#include "base/a.h"\n#include "http/h1.h"\n', 2),
    "pool/up.h": ('#  include "proxy/x.h"\n', 1),
    "logs/sideways.c": ('/* log */\n\n#include "proxy/x.h"\n', 3),
    "profile/sideways.c": ('#include "proxy/x.h"\n', 1),
    "net/angled.c": ('#include <admin/x.h>\n', 1),
    "net/relative.c": ('#include "../admin/x.h"\n', 1),
    "common/x.h": ("", 1),
}

if __name__ == "__main__":
    sys.exit(main(find_violations, PLANTED))
