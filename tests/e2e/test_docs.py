"""The configurations in the manual's pages and the README are ones that weir takes."""
import glob
import os
import re

import pytest

from tls import Pki
from weir import ROOT, described_messages, run_command

PAGES = ["README.md"] + sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(ROOT, "docs", "*.md")))
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    with open(os.path.join(ROOT, page)) as file:
        return BLOCK.findall(file.read())


CONFIGURATIONS = [(page, number, text) for page in PAGES for number, text in enumerate(blocks(page), 1)
                  if re.search(r"^listeners:", text, re.MULTILINE) and re.search(r"^pools:", text, re.MULTILINE)]


def localized(text, folder, pair):
    """The same with files that are there."""
    text = re.sub(r"/etc/[\w./-]+\.pem", pair["cert"], text)
    text = re.sub(r"/etc/[\w./-]+\.key", pair["key"], text)
    for path in set(re.findall(r"/etc/weir/[\w.-]+\.(?:txt|html)", text)):
        file = folder / os.path.basename(path)
        file.write_text("192.0.2.0/24 # a block\n")
        text = text.replace(path, str(file))
    users, keys = folder / "users", folder / "jwks.json"
    users.write_text("alice:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n")
    keys.write_text('{"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}')
    text = text.replace("/etc/weir/users", str(users)).replace("/etc/weir/jwks.json", str(keys))
    return re.sub(r"/var/(log|lib)/[\w-]+", str(folder), text)


@pytest.mark.parametrize("page, number, text", CONFIGURATIONS, ids=[f"{page}-{number}" for page, number, _ in CONFIGURATIONS])
def test_a_configuration_of_the_manual_is_taken(page, number, text, tmp_path):
    path = tmp_path / "weir.yaml"
    path.write_text(localized(text, tmp_path, Pki(tmp_path).make("site", "www.example.com")))
    done = run_command("check", "-c", str(path), build="release")
    assert done.returncode == 0, f"{page}, block {number}:\n{done.stderr}"


def test_there_are_configurations_in_the_manual():
    assert {"README.md", "docs/auth.md", "docs/recipes.md", "docs/from-nginx.md", "docs/from-haproxy.md"} <= {page for page, _, _ in CONFIGURATIONS}
    assert len(CONFIGURATIONS) >= 20


def anchors(path):
    """Of a page's headings, as they are made where the pages are shown."""
    with open(path) as file:
        text = re.sub(r"^```.*?^```$", "", file.read(), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_refers_to_within_a_page_is_there(page):
    path = os.path.join(ROOT, page)
    with open(path) as file:
        text = file.read()
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]*)\)", text):
        there = os.path.join(os.path.dirname(path), target) if target else path
        assert anchor in anchors(there), f"{page} refers to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_refers_to_is_there(page):
    with open(os.path.join(ROOT, page)) as file:
        text = file.read()
    folder = os.path.dirname(os.path.join(ROOT, page))
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert os.path.exists(os.path.join(folder, target)), f"{page} refers to {target}"


def test_the_access_logs_page_has_every_variable_and_every_key():
    with open(os.path.join(ROOT, "docs", "access-log.md")) as file:
        page = file.read()
    with open(os.path.join(ROOT, "src", "record", "access_log_conf.h")) as file:
        names = re.findall(r'X\([A-Z0-9_]+, "([a-z0-9_]+)"\)', file.read())
    assert len(names) > 50
    assert not [name for name in names if f"`${name}`" not in page]
    with open(os.path.join(ROOT, "src", "record", "access_log_conf.c")) as file:
        line = re.search(r"#define JSON_LINE(.*?)\n\n", file.read(), re.DOTALL)[1]
    line = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', line)).replace('\\"', '"')
    pairs = re.findall(r'"(\w+)":"?(\$\w+)', line)
    assert len(pairs) > 30
    assert re.findall(r"^\| `(\w+)` \| `(\$\w+)` \|$", page, re.MULTILINE) == pairs


def sources():
    texts = []
    for path in glob.glob(os.path.join(ROOT, "src", "**", "*.c"), recursive=True):
        with open(path) as file:
            texts.append(file.read())
    return texts


def test_every_message_is_described_and_none_that_is_not():
    """Names that come out of tables are held against the page by what every weir of every test has said (weir.py)."""
    described, texts = described_messages(), sources()
    said = {name for text in texts for name in re.findall(r'\blog_event\((?:[^;"]|"[a-z_]+" : )*?"([a-z_]+)",', text)}
    assert len(said) > 100
    assert not said - set(described)
    assert not [name for name in described if not any(f'"{name}"' in text for text in texts)]


def test_which_messages_are_events_is_said():
    with open(os.path.join(ROOT, "src", "base", "event_list.c")) as file:
        names = re.search(r"names\[\] = \{(.*?)\};", file.read(), re.DOTALL)[1]
    events = set(re.findall(r'"(\w+)"', names))
    assert len(events) > 50
    assert events == {name for name, is_event in described_messages().items() if is_event}


def test_pictures_are_small_and_shown():
    """Each of docs/pictures is in the README, and none makes a clone of the repository heavy."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    names = sorted(os.listdir(os.path.join(ROOT, "docs", "pictures")))
    assert len(names) > 3
    for name in names:
        assert f"docs/pictures/{name}" in readme, name
        assert os.path.getsize(os.path.join(ROOT, "docs", "pictures", name)) <= 150_000, name
