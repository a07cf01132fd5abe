#!/usr/bin/python3
"""Writes files as arrays of bytes for a C file to include: tools/embed.py OUTPUT FILE...

web/flame.js becomes `static const unsigned char web_flame_js[]`.
"""
import os
import re
import sys


def render(path):
    with open(path, "rb") as file:
        content = file.read()
    name = re.sub(r"\W", "_", f"web_{os.path.basename(path)}")
    rows = [",".join(map(str, content[at:at + 32])) for at in range(0, len(content), 32)]
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "\n};\n"


def main():
    output, *paths = sys.argv[1:]
    with open(output, "w") as file:
        file.write("".join(render(path) for path in paths))


if __name__ == "__main__":
    main()
