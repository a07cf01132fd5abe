#!/usr/bin/python3
"""Writes files as arrays of bytes for a C file to include: tools/embed.py OUTPUT FILE...

web/flame.js becomes `static const unsigned char web_flame_js[]`. With --gzip in front, what is written is compressed, and
`web_flame_js_tag` is the text's name for caches. --join NAME makes one text of the files that follow, a script in a scope
of its own.
"""
import gzip
import hashlib
import os
import re
import sys


def read(path):
    with open(path, "rb") as file:
        return file.read()


def join(paths):
    return b'(() => {\n"use strict";\n' + b"\n".join(map(read, paths)) + b"})();\n"


def render(name, content, is_compressed):
    name = re.sub(r"\W", "_", f"web_{name}")
    tag = hashlib.sha256(content).hexdigest()[:24]
    if is_compressed:
        content = gzip.compress(content, 9, mtime=0)
    rows = [",".join(map(str, content[at:at + 32])) for at in range(0, len(content), 32)]
    lines = f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "\n};\n"
    return lines + (f'static const char {name}_tag[] = "{tag}";\n' if is_compressed else "")


def main():
    output, *paths = sys.argv[1:]
    is_compressed = paths[0] == "--gzip"
    paths = paths[is_compressed:]
    joined = paths.index("--join") if "--join" in paths else len(paths)
    texts = [(os.path.basename(path), read(path)) for path in paths[:joined]]
    if paths[joined:]:
        texts.append((paths[joined + 1], join(paths[joined + 2:])))
    with open(output, "w") as file:
        file.write("".join(render(name, content, is_compressed) for name, content in texts))


if __name__ == "__main__":
    main()
