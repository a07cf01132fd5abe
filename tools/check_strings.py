#!/usr/bin/python3
"""Bytes from outside are slices, which nothing terminates: libc's string functions do not read them.

A function that looks for a terminator (strlen, strcspn, strchr, strtol, sscanf, ...) must not be given `x.data`. The
layers that read what clients, servers and logs send do not use libc's readers of numbers at all: they take signs,
blanks and hexadecimal, and run on behind the end; base/number.h reads a slice. Prints file:line and a sentence for each
violation and exits with 1 if there is one. --self-test plants violations and must see each of them.
"""
import re
import sys

from source_lines import main, read_lines

# What runs on to a terminator in its first argument. strchr() of a fixed set and a byte is fine.
RUNNERS = r"str(?:len|cmp|casecmp|coll|chr|rchr|chrnul|str|casestr|spn|cspn|pbrk|tok|tok_r|sep|dup|cpy|cat|ptime|" \
    r"to[a-z]+)|sto?pcpy|ato[a-z]+|sscanf|puts|fputs|inet_pton|inet_aton|open|fopen|getenv"
ON_SLICE = re.compile(r"\b(" + RUNNERS + r")\((?:AF_INET6?, )?&?[\w.>\[\]-]*(?<!->text)(?<!key)(?:\.|->)data\s*[,)]")
# The second argument is read to its end, too.
ON_SECOND = re.compile(r"\b(strcmp|strcasecmp|strstr|strcpy|strcat|strdup|sscanf)\([^,()]*, [\w.>\[\]-]*(?<!->text)(?:\.|->)data\s*\)")
NUMBERS = re.compile(r"\b(strto(?:l|ll|ul|ull|d|f|ld|imax|umax)|ato(?:i|l|ll|f)|v?sscanf|strcspn|strtok|strtok_r|strsep)\(")
OUTSIDE = ["conf", "net", "http", "balance", "route", "pool", "record", "proxy", "logs", "admin"]


def find_violation(layer, line):
    """The sentence that says what is wrong with one line, or None."""
    match = ON_SLICE.search(line) or ON_SECOND.search(line)
    if match:
        return f"{match.group(1)}() reads a slice as if it were terminated; use its length (memchr, slice_equal, base/number.h)"
    match = NUMBERS.search(line) if layer in OUTSIDE else None
    if match:
        return f"{match.group(1)}() reads up to a terminator, and takes more than digits; use base/number.h or the length"
    return None


def find_violations(source_root):
    """Yields "path:line: sentence" for each violation below source_root."""
    for path, layer, number, line in read_lines(source_root):
        violation = find_violation(layer, line)
        if violation:
            yield f"{path}:{number}: {violation}"


PLANTED = {
    "base/a.c": ("size_t n = strlen(name);\nif (strchr(\"abc\", s.data[i])) return;\nx = strtod(text, NULL);\n", None),
    "command/tree.c": ("double value = strtod(n->text.data, &end);\n", None),
    "admin/span.c": ("\nsize_t len = strspn(text.data, \"0123\");\n", 2),
    "admin/scan.c": ("if (sscanf(copy, \"%d\", &n) != 1) return;\n", 1),
    "admin/walk.c": ("size_t len = strcspn(at, \"+ \");\n", 1),
    "stack/deep.c": ("n = strlen(m->items[i].name.data);\n", 1),
    "http/number.c": ("n = strtoul(value, &end, 10);\n", 1),
    "base/second.c": ("if (strcmp(p->name, name.data) == 0) return;\n", 1),
}

if __name__ == "__main__":
    sys.exit(main(find_violations, PLANTED))
