#!/usr/bin/python3
"""Prints which files read the most of weir's own headers, and circles of includes.

A header that includes itself through others is a fault, printed with its way: exits with 1. Nouns (x.h and x.c together)
that include each other in a circle cannot be understood one at a time; circles of more than three are printed, the largest
first, and fail nothing. --self-test plants circles and must see each of them.
"""
import os
import re
import sys
import tempfile

WORST = 5
SMALL_CIRCLE = 3  # a noun and the parts that it is split into
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def read_includes(root):
    """What each file below root includes, as far as that is there: {"room/file.h": ["room/other.h", ...]}."""
    includes = {}
    for directory, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                path = os.path.join(directory, name)
                with open(path, errors="replace") as file:
                    includes[os.path.relpath(path, root)] = INCLUDE.findall(file.read())
    return {path: [other for other in others if other in includes] for path, others in includes.items()}


def all_read(includes, path):
    """Every header that is read when `path` is compiled."""
    seen, waiting = set(), [path]
    while waiting:
        for other in includes[waiting.pop()]:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen - {path}


def find_circles(edges):
    """The sets of more than one that reach each other, the largest first."""
    reach = {node: all_read(edges, node) for node in edges}
    circles, seen = [], set()
    for node in sorted(edges):
        circle = {other for other in reach[node] if node in reach[other]} | {node}
        if len(circle) > 1 and node not in seen:
            circles.append(sorted(circle))
            seen |= circle
    return sorted(circles, key=len, reverse=True)


def join_nouns(includes):
    """The same graph with x.h and x.c as one."""
    nouns = {}
    for path, others in includes.items():
        noun = os.path.splitext(path)[0]
        nouns.setdefault(noun, set()).update(os.path.splitext(other)[0] for other in others)
    return {noun: sorted(others - {noun}) for noun, others in nouns.items()}


def find_way(edges, start, end):
    """The shortest way, both ends with it."""
    before, waiting = {}, [start]
    while waiting:
        node = waiting.pop(0)
        for other in edges[node]:
            if other not in before:
                before[other] = node
                waiting.append(other)
    way = [end]
    while len(way) == 1 or way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def look(root):
    """(lines to print, faults among them)."""
    includes = read_includes(root)
    headers = {path: [other for other in others if other.endswith(".h") and other != path]
               for path, others in includes.items() if path.endswith(".h")}
    faults = ["header circle: " + " -> ".join(find_way(headers, circle[0], circle[0]))
              for circle in find_circles(headers)]
    lines = []
    for ending, verb in ((".h", "brings"), (".c", "reads")):
        counts = sorted(((len(all_read(includes, path)), path) for path in includes if path.endswith(ending)), reverse=True)
        lines += [f"src/{path}: {verb} {count} headers" for count, path in counts[:WORST]]
    for circle in find_circles(join_nouns(includes)):
        if len(circle) > SMALL_CIRCLE:
            lines.append(f"circle of {len(circle)} nouns: {' '.join(circle)}")
    return lines + faults, faults


def test_itself():
    """The sentences for what was missed or invented."""
    planted = {
        "a/one.h": '#include "a/two.h"\n', "a/two.h": '#include <stdio.h>\n#  include "a/three.h"\n',
        "a/three.h": '#include "a/one.h"\n',
        "b/w.h": "", "b/x.h": "", "b/y.h": "", "b/z.h": '#include "b/y.h"\n#include "gone.h"\n',
        "b/w.c": '#include "b/w.h"\n#include "b/x.h"\n', "b/x.c": '#include "b/y.h"\n', "b/y.c": '#include "b/z.h"\n',
        "b/z.c": '#include "b/w.h"\n', "b/end.c": '#include "b/w.h"\n',
    }
    with tempfile.TemporaryDirectory(prefix="weir-includes-") as root:
        for name, text in planted.items():
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w") as file:
                file.write(text)
        lines, faults = look(root)
    expected = ["circle of 4 nouns: b/w b/x b/y b/z", "src/b/y.c: reads 2 headers"]
    missed = [line for line in expected if line not in lines]
    if faults != ["header circle: a/one.h -> a/two.h -> a/three.h -> a/one.h"]:
        missed.append(f"the header circle, but {faults}")
    return [f"self-test: did not see {line}" for line in missed]


def main():
    if sys.argv[1:] == ["--self-test"]:
        lines = faults = test_itself()
    else:
        os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        lines, faults = look("src")
    for line in lines:
        print(line)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
