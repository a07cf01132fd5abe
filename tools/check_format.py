#!/usr/bin/python3
"""All C files are as clang-format would write them. --fix rewrites those that are not; files may be named."""
import glob
import os
import subprocess
import sys

CLANG_FORMAT = "/usr/bin/clang-format"


def main():
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    arguments = sys.argv[1:]
    mode = ["-i"] if "--fix" in arguments else ["--dry-run", "--Werror"]
    paths = [argument for argument in arguments if argument != "--fix"]
    if not paths:
        paths = sorted(path for directory in ("src", "tests", "fuzz", "bench") for ending in ("c", "h")
                       for path in glob.glob(f"{directory}/**/*.{ending}", recursive=True))
    if not paths:
        return 0
    strangers = [path for path in paths if not path.endswith((".c", ".h"))]
    if strangers:
        print(f"check_format.py: {strangers[0]} is not C", file=sys.stderr)
        return 64
    return subprocess.run([CLANG_FORMAT, *mode, *paths]).returncode


if __name__ == "__main__":
    sys.exit(main())
