#!/usr/bin/python3
"""A file in src/<layer>/ includes its own layer and the layers before it, never after; and few nouns (x.h and x.c together)
include each other in a circle.

Prints file:line and a sentence for each violation and exits with 1 if there is one. --self-test plants violations
in a directory of its own and must see each of them.
"""
import os
import re
import sys

from print_includes import find_circles, join_nouns, read_includes
from source_lines import main, read_lines

LAYERS = ["base", "metric", "conf", "net", "tls", "acme", "http", "coding", "files", "auth", "balance", "route", "health", "discovery", "pool", "record", "proxy", "logs",
          "host", "observe", "stack", "profile", "crash", "self", "admin", "control", "command"]
# Observers of other programs: they come after record and proxy but know nothing of them.
OBSERVERS = ["logs", "host", "observe", "stack", "profile", "crash"]
FORBIDDEN = {(layer, target) for layer in OBSERVERS for target in ["record", "proxy"]}

# How many nouns of a layer may include each other in a circle, so that none can be read without the others. What is
# more than CIRCLE is what is left of it: to be made less, never more.
CIRCLE = 3
CIRCLES = {"record": 4, "control": 6, "proxy": 6, "tls": 9, "pool": 10}

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


def find_large_circles(source_root):
    """Yields the sentence for each circle of more nouns than may be, at the first of them."""
    includes = read_includes(source_root)
    for circle in find_circles(join_nouns(includes)):
        first = circle[0]
        most = CIRCLES.get(first.split("/")[0], CIRCLE)
        if len(circle) > most:
            path = os.path.join(source_root, first + (".h" if first + ".h" in includes else ".c"))
            yield f"{path}:1: {len(circle)} nouns include each other in a circle, {most} may: {' '.join(circle)}; " \
                  "see whether a declaration (`struct x;`) is enough, or what composes them can stand above them"


def find_violations(source_root):
    """Yields "path:line: sentence" for each violation below source_root."""
    yield from find_large_circles(source_root)
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
    # One of three is as many as may be, one of four is not.
    "coding/a.h": ('#include "coding/b.h"\n', None),
    "coding/b.h": ("", None),
    "coding/b.c": ('#include "coding/c.h"\n', None),
    "coding/c.h": ("", None),
    "coding/c.c": ('#include "coding/a.h"\n', None),
    "files/a.h": ('#include "files/b.h"\n', 1),
    "files/b.h": ("", None),
    "files/b.c": ('#include "files/c.h"\n', None),
    "files/c.h": ("", None),
    "files/c.c": ('#include "files/d.h"\n', None),
    "files/d.h": ("", None),
    "files/d.c": ('#include "files/a.h"\n', None),
}

if __name__ == "__main__":
    sys.exit(main(find_violations, PLANTED))
