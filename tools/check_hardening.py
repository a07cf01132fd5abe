#!/usr/bin/python3
"""What the compiler and the linker do for a binary that is attacked: check_hardening.py BINARY

Position-independent, so that no address is known; everything that is looked up at the start is read-only after it (full
RELRO); no page is both written and executed, the stack least of all; a frame that was written over ends the process, and so does
what glibc sees being written beyond its buffer (_FORTIFY_SOURCE); libraries come from where the system has them.

Prints a sentence for each that is lacking and exits with 1 if there is one. --self-test links programs that lack them, and must see
each of it.
"""
import os
import re
import subprocess
import sys
import tempfile


def readelf(binary, *options):
    return subprocess.run(["readelf", "--wide", *options, binary], check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def find_lacking(binary):
    """The sentences that say what is lacking."""
    head, segments, dynamic = (readelf(binary, option) for option in ("--file-header", "--segments", "--dynamic"))
    symbols = readelf(binary, "--dyn-syms")
    flags = " ".join(re.findall(r"\((?:FLAGS|FLAGS_1)\)\s+(.*)", dynamic))
    stack = re.search(r"^\s*GNU_STACK\s.*\s([RWE ]{3})\s+0x\w+$", segments, re.MULTILINE)
    if not re.search(r"Type:\s+DYN", head) or "PIE" not in flags:
        yield "it is not position-independent (-fPIE, -pie)"
    if not re.search(r"^\s*GNU_RELRO\s", segments, re.MULTILINE):
        yield "what is looked up at its start stays writable (-Wl,-z,relro)"
    if "NOW" not in flags:
        yield "functions are looked up when they are called first, in a table that stays writable (-Wl,-z,now)"
    if not stack or "E" in stack[1]:
        yield "its stack may be executed (-Wl,-z,noexecstack)"
    if re.search(r"^\s*LOAD\s.*\sRWE\s+0x\w+$", segments, re.MULTILINE):
        yield "it has pages that are both written and executed"
    if "(TEXTREL)" in dynamic:
        yield "its code is written to at the start (-fPIC)"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "it takes libraries from elsewhere than the system's folders (-rpath)"
    if "__stack_chk_fail" not in symbols:
        yield "a frame that was written over is not noticed (-fstack-protector-strong)"
    if not re.search(r"\s__\w+_chk@", symbols.replace("__stack_chk_fail", "")):
        yield "what is written beyond a buffer is not noticed (-D_FORTIFY_SOURCE)"


PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#ifdef BOTH
__asm__(".section .both,\"awx\",@progbits\n.quad 1\n.text\n");
#endif
int main(int argc, char **argv)
{
    char room[64];
    (void)argc;
    strcpy(room, argv[0]);
    return printf("%s\n", room) < 0;
}
"""
GOOD = ["-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro", "-Wl,-z,now",
        "-Wl,-z,noexecstack"]
BAD = [("position-independent", ["-fno-PIE", "-no-pie"]), ("stays writable (-Wl,-z,relro)", ["-Wl,-z,norelro"]),
       ("called first", ["-Wl,-z,lazy"]), ("may be executed", ["-Wl,-z,execstack"]),
       ("both written and executed", ["-DBOTH"]), ("elsewhere", ["-Wl,-rpath,/tmp"]),
       ("frame", ["-fno-stack-protector"]), ("beyond a buffer", ["-U_FORTIFY_SOURCE"])]


def test_itself():
    """The sentences for what the check missed or invented."""
    with tempfile.TemporaryDirectory() as directory:
        source, binary = os.path.join(directory, "a.c"), os.path.join(directory, "a")
        with open(source, "w") as file:
            file.write(PROGRAM)
        for words, options in [("", []), *BAD]:
            subprocess.run(["cc", *GOOD, *options, source, "-o", binary], check=True, capture_output=True)
            lacking = list(find_lacking(binary))
            if words and not any(words in sentence for sentence in lacking):
                yield f"missed with {options}: {words}"
            if not words and lacking:
                yield f"invented: {lacking}"


def main(arguments):
    if arguments == ["--self-test"]:
        faults = list(test_itself())
    elif len(arguments) == 1:
        faults = [f"{arguments[0]}: {sentence}" for sentence in find_lacking(arguments[0])]
    else:
        print(__doc__.split("\n")[0].split(": ")[1], file=sys.stderr)
        return 64
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
