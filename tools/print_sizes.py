#!/usr/bin/python3
"""Prints files over 600 lines, functions over 60 lines and files with lines over 110 columns. Never fails.

--brief: of wide lines only the number of files."""
import glob
import os
import re
import sys

FILE_LINES = 600
FUNCTION_LINES = 60
COLUMNS = 110

NAME = re.compile(r"(\w+)\s*\(")


def find_functions(lines):
    """Yields (line number, name, length); by the style, a function's braces stand in the first column."""
    for opening, line in enumerate(lines):
        if line != "{":
            continue
        closing = next((i for i in range(opening, len(lines)) if lines[i] == "}"), len(lines) - 1)
        heading = opening
        while heading > 0 and lines[heading - 1].strip() and not lines[heading - 1].startswith(("}", "#")) \
                and not lines[heading - 1].rstrip().endswith((";", "*/")):
            heading -= 1
        match = NAME.search(" ".join(lines[heading:opening]))
        yield heading + 1, match.group(1) if match else "?", closing - opening - 1


def main():
    is_brief = sys.argv[1:] == ["--brief"]
    wide_files = 0
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for path in sorted(path for directory in ("src", "tests", "fuzz", "bench") for ending in ("c", "h")
                       for path in glob.glob(f"{directory}/**/*.{ending}", recursive=True)):
        with open(path, errors="replace") as file:
            lines = file.read().split("\n")
        if len(lines) - 1 > FILE_LINES:
            print(f"{path}: {len(lines) - 1} lines")
        wide = [number for number, line in enumerate(lines, 1) if len(line) > COLUMNS]
        wide_files += bool(wide)
        if wide and not is_brief:
            print(f"{path}:{wide[0]}: {len(wide)} line(s) over {COLUMNS} columns")
        for number, name, length in find_functions(lines):
            if length > FUNCTION_LINES:
                print(f"{path}:{number}: {name}() has {length} lines")
    if is_brief:
        print(f"{wide_files} files have lines over {COLUMNS} columns; `make sizes` lists them")


if __name__ == "__main__":
    main()
