#!/usr/bin/python3
"""clang-tidy over src/, two runs at a time, and only over what changed since it last passed.

A file is done again when it, a header that it includes, its compiler flags, .clang-tidy or clang-tidy itself are
not what they were; build/tidy/ holds one empty file per pass, named by the hash of all that. Reads the compiler
flags and the headers of build/asan, which must be built.

The analyzer gives up on a function after NODES states, which is many times as fast as its own bound and still
sees all but what needs many branches at once; --thorough, for `make soak`, leaves it its bound.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "asan")
STAMPS = os.path.join(ROOT, "build", "tidy")
CLANG_TIDY = "/usr/bin/clang-tidy"
JOBS = int(os.environ.get("JOBS") or os.cpu_count())
SECONDS_PER_FILE = 1800  # much of which it may wait, where it is to take only the time that others leave
NODES = 12000


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def read_dependencies():
    """The files that each object was made from, as ninja noted them, weir's own only."""
    output = subprocess.run(["/usr/bin/ninja", "-C", BUILD, "-t", "deps"], capture_output=True, text=True).stdout
    dependencies = {}
    current = None
    for line in output.splitlines():
        if line.startswith("    ") and current is not None:
            path = os.path.normpath(os.path.join(BUILD, line.strip()))
            if path.startswith(ROOT + os.sep):
                current.append(path)
        elif ": #deps" in line:
            current = dependencies.setdefault(line.split(": #deps")[0], [])
    return dependencies


def hash_of(entry, dependencies, common):
    sha = hashlib.sha256(common + entry["command"].encode())
    for path in sorted({entry["path"], *dependencies.get(entry["output"], [])}):
        sha.update(path.encode() + b"\0" + read_bytes(path) + b"\0")
    return sha.hexdigest()


def find_entries():
    """The compile commands of the files in src/, one each."""
    entries = {}
    for entry in json.loads(read_bytes(os.path.join(BUILD, "compile_commands.json")) or b"[]"):
        path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        if path.startswith(os.path.join(ROOT, "src") + os.sep):
            entries.setdefault(path, {**entry, "path": path})
    return list(entries.values())


def analyzer_options(is_thorough):
    if is_thorough:
        return []
    return [f"--extra-arg={option}" for option in ("-Xclang", "-analyzer-config", "-Xclang", f"max-nodes={NODES}")]


def tidy(path, options):
    try:
        result = subprocess.run([CLANG_TIDY, "--quiet", "-p", BUILD, *options, path], cwd=ROOT,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                timeout=SECONDS_PER_FILE)
    except subprocess.TimeoutExpired:
        return False, f"{path}: clang-tidy did not end within {SECONDS_PER_FILE} s\n"
    return result.returncode == 0, result.stdout or result.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thorough", action="store_true", help="the analyzer goes as far as it does by itself")
    options = analyzer_options(parser.parse_args().thorough)
    entries = find_entries()
    if not entries:
        print("clang-tidy: build/asan knows no source file; build it first")
        return 1
    os.makedirs(STAMPS, exist_ok=True)
    version = subprocess.run([CLANG_TIDY, "--version"], capture_output=True).stdout
    common = version + read_bytes(os.path.join(ROOT, ".clang-tidy")) + " ".join(options).encode()
    dependencies = read_dependencies()
    stamp_by_path = {entry["path"]: hash_of(entry, dependencies, common) for entry in entries}

    kept = set(stamp_by_path.values())
    for stamp in os.listdir(STAMPS):
        if stamp not in kept:
            os.remove(os.path.join(STAMPS, stamp))
    changed = [path for path, stamp in stamp_by_path.items() if not os.path.exists(os.path.join(STAMPS, stamp))]

    is_clean = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as executor:
        for path, (passed, output) in zip(changed, executor.map(lambda path: tidy(path, options), changed)):
            if passed:
                with open(os.path.join(STAMPS, stamp_by_path[path]), "w"):
                    pass
            else:
                is_clean = False
                print(output, end="")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
