"""What the checks of single lines of src/ share: reading them, testing a check on planted files, and running it.

A check is find_violations(source_root), which yields "path:line: sentence" for each violation below source_root.
"""
import os
import sys
import tempfile


def read_lines(source_root):
    """Yields (path, layer, number, line) for each line of each C file below source_root; number 0 and no line first, once a file."""
    for directory, _, names in sorted(os.walk(source_root)):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(directory, name)
            layer = os.path.relpath(path, source_root).split(os.sep)[0]
            yield path, layer, 0, ""
            with open(path, errors="replace") as file:
                for number, line in enumerate(file, 1):
                    yield path, layer, number, line


def test_planted(find_violations, planted):
    """Returns the sentences for what the check missed or invented; planted: {path: (text, line of its violation or None)}."""
    with tempfile.TemporaryDirectory(prefix="weir-planted-") as root:
        for name, (text, _) in planted.items():
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w") as file:
                file.write(text)
        found = [violation[len(root) + 1:].split(": ")[0] for violation in find_violations(root)]
    expected = [f"{name}:{line}" for name, (_, line) in planted.items() if line]
    return [f"self-test: did not see {place}" for place in expected if place not in found] + \
        [f"self-test: {place} is no violation" for place in found if place not in expected]


def main(find_violations, planted):
    """Checks src/, or with --self-test the check itself. Returns the exit status."""
    if sys.argv[1:] == ["--self-test"]:
        violations = test_planted(find_violations, planted)
    else:
        os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        violations = list(find_violations("src"))
    for violation in violations:
        print(violation)
    return 1 if violations else 0
