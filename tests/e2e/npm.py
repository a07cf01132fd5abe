"""What tests use of npm's packages: tools/setup.sh puts it into build/npm, by tests/package-lock.json."""
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODULES = os.path.join(ROOT, "build", "npm", "node_modules")


def path_of(name):
    path = os.path.join(MODULES, name)
    assert os.path.exists(path), f"{path} is missing: tools/setup.sh test"
    return path


def read_script(name):
    with open(path_of(name), encoding="utf-8") as file:
        return file.read()
