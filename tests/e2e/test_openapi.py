"""The API's description as others read it: linters have nothing to say, and its examples of use are what weir takes."""
import json
import os
import re
import shlex
import subprocess

import pytest

import broken
import message
from npm import path_of
from weir import listen_at_free_port

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SAID_TO_BE_ABSENT = re.compile(r"There is no (denial|exchange|certificate|\\\")|says nothing of|is not watched|no exchange|no split|has no guard")
NO_SUCH_FILE = re.compile(r"cannot open /etc/weir/|cannot make /var/lib/weir/|there is no folder /var/log/nginx ")
SAID_TO_BE_NEEDED = re.compile(r"there is no \\\"(web|checkout)\\\"|has 0 elements, but must have")


@pytest.fixture
def document(scene, tmp_path):
    path = tmp_path / "openapi.json"
    path.write_bytes(scene.proxy(scene.server()).ask_admin("GET", "/api/v1/openapi.json").body)
    return path


def run_node(script, *arguments):
    done = subprocess.run(["node", path_of(script), *arguments], capture_output=True, text=True,
                          env={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"})
    return done.returncode, done.stdout, done.stderr


def test_redocly_has_nothing_to_say(document):
    code, out, err = run_node("@redocly/cli/bin/cli.js", "lint", str(document), "--format=json",
                              f"--config={TESTS}/redocly.yaml")
    problems = json.loads(out[out.index("{"):])["problems"]
    assert (code, problems) == (0, []), err


def test_spectral_has_nothing_to_say(document):
    code, out, err = run_node("@stoplight/spectral-cli/dist/index.js", "lint", "--format=json", "--quiet",
                              f"--ruleset={TESTS}/spectral.yaml", "--fail-severity=hint", str(document))
    assert (code, json.loads(out[out.index("["):])) == (0, []), err


def test_every_operation_has_an_example_that_weir_takes(scene, tmp_path):
    log = tmp_path / "access.log"
    log.write_text('127.0.0.1 - - [12/Oct/2026:10:00:00 +0000] "GET /a HTTP/1.1" 404 5 "-" "x"\n')
    server = scene.server([broken.serve(lambda request: message.response(200))]).address
    front = listen_at_free_port()
    weir = scene.proxy({"name": "one", "address": server}, build="release", listener={"bind": front, "routes": [
        {"name": "split", "path_prefix": "/s", "split": "checkout"}, {"name": "rest", "pool": "web"}]},
        pools={"new": {"servers": [server]}},
        splits={"checkout": {"unit": "client", "variants": {"old": {"pool": "web", "weight": 90}, "new": {"pool": "new", "weight": 10}},
                             "guard": {"errors": "5%"}}},
        logs={"sources": {"edge": {"path": str(log), "format": "combined"}}}, state=str(tmp_path / "state"),
        admin={"bind": listen_at_free_port(), "token": "the-token"})
    address = "%s:%d" % weir.admin_address
    seen, wrong = 0, []
    for path, operations in weir.get("/api/v1/openapi.json")["paths"].items():
        for method, operation in operations.items():
            sample, = operation["x-codeSamples"]
            words = shlex.split(sample["source"].replace("127.0.0.1:9091", address).replace("$TOKEN", "the-token"))
            assert words[0] == "curl" and f"http://{address}/" in words[-1], sample
            seen += 1
            if path == "/api/v1/upgrade":  # which would end this one
                continue
            is_stream = "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
            if is_stream:
                words += ["--max-time", "1"]
            is_write = path.startswith("/api/v1/config/") and "dry_run" in {of["name"] for of in operation["parameters"]}
            if path == "/api/v1/config" and method == "put" or is_write and not path.endswith("rollback"):  # of another machine's
                words[-1] += "?dry_run=true"
            if "/debug/" in path:
                words[-1] = words[-1].replace("seconds=5", "seconds=1")
            done = subprocess.run([*words, "-sS", "-o", str(tmp_path / "answer"), "-w", "%{http_code}"], capture_output=True, text=True)
            status, said = int(done.stdout), (tmp_path / "answer").read_text(errors="replace")[:2000]
            wanted = {int(key) for key in operation["responses"] if key.isdigit()}
            is_known = status in wanted or (path == "/debug/pprof/trace" and status == 501)
            is_needed = status == 400 and method == "delete" and SAID_TO_BE_NEEDED.search(said)
            is_needed = is_needed or status in (400, 409) and NO_SUCH_FILE.search(said)
            if not is_known and not is_needed and not (status in (404, 409) and SAID_TO_BE_ABSENT.search(said)):
                wrong.append((sample["source"], status, said))
    assert not wrong, "\n".join(f"{sample}: {status} {said[:260]}" for sample, status, said in wrong)
    assert seen > 60
