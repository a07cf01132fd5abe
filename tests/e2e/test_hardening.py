"""What weir gives up at its start: system calls that it never makes, and changing the system's own files."""
import json
import os
import re
import shutil
import subprocess

import pytest

from waiting import LIMIT_S
from weir import BINARIES, make_config


def privileges(weir):
    return weir.get("/api/v1/stats")["privileges"]


def status(thread, field):
    with open(f"/proc/{thread}/status") as file:
        return int(re.search(rf"^{field}:\s+(\d+)", file.read(), re.MULTILINE)[1])


def within(weir, *commands):
    """gdb does that in it, once."""
    arguments = [argument for command in ("handle SIGSYS nostop noprint pass", *commands) for argument in ("-ex", command)]
    done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", str(weir.pid), *arguments],
                          capture_output=True, text=True, timeout=LIMIT_S)
    assert "evaluation of the expression" not in done.stderr, done.stderr
    return done.stdout


def test_it_is_on_by_itself_in_every_thread(scene):
    weir = scene.proxy(scene.server(), build="release", workers=2)
    assert scene.client(weir).ask().status == 200
    assert privileges(weir)["seccomp"] and not privileges(weir)["may_gain"]
    assert privileges(weir)["landlock"] == (not [m for m in weir.events("hardening_missing") if m["what"] == "landlock"])
    before = status("self", "Seccomp_filters")
    for thread in os.listdir(f"/proc/{weir.pid}/task"):
        with open(f"/proc/{weir.pid}/task/{thread}/comm") as file:
            own = 2 if file.read().startswith("weir/") else 1
        assert status(f"{weir.pid}/task/{thread}", "Seccomp_filters") == before + own
        assert status(f"{weir.pid}/task/{thread}", "NoNewPrivs") == 1
    assert weir.metric("weir_system_calls_refused_total") == 0


@pytest.mark.parametrize("hardening", [False, {"seccomp": False, "landlock": False}])
def test_it_can_be_turned_off(scene, hardening):
    before = status("self", "Seccomp_filters")
    weir = scene.proxy(scene.server(), hardening=hardening)
    assert scene.client(weir).ask().status == 200
    assert status(weir.pid, "Seccomp_filters") == before
    assert privileges(weir)["may_gain"] == (hardening is False and status("self", "NoNewPrivs") == 0)
    assert not privileges(weir)["landlock"]


def test_a_call_that_is_made_nevertheless_is_refused_counted_and_named(scene):
    weir = scene.proxy(scene.server())
    weir.expected_errors.add("call_refused")
    assert "$1 = -1" in within(weir, "print (int)umount2(0, 0)")
    said = weir.wait_event("call_refused")
    assert said["call"] == "umount2" and said["count"] == "1"
    assert weir.metric("weir_system_calls_refused_total") == 1
    assert scene.client(weir).ask().status == 200


def test_a_place_that_was_given_up_is_refused_to_a_reload_with_what_helps(scene, tmp_path):
    weir = scene.proxy(scene.server())
    if not privileges(weir)["landlock"]:
        assert weir.events("hardening_missing")
        return
    assert weir.ask_admin("PUT", "/api/v1/config", body=with_socket(weir, f"{tmp_path}/weir.sock")).status == 200
    answer = weir.ask_admin("PUT", "/api/v1/config", body=with_socket(weir, "/etc/weir-test.sock"))
    assert answer.status == 409 and "restart weir" in json.loads(answer.body)["detail"], answer.text
    assert not os.path.exists("/etc/weir-test.sock")
    assert weir.ask_admin("PUT", "/api/v1/config", body=weir.config).status == 200
    assert scene.client(weir).ask().status == 200


def with_socket(weir, path):
    config = dict(weir.config)
    config["listeners"] = {**config["listeners"], "local": {"bind": f"unix:{path}", "pool": "web"}}
    return config


def test_weir_by_upgrade_is_no_more_bound_than_the_first(scene, tmp_path):
    weir = scene.proxy(scene.server(), build="release")
    first = status(weir.pid, "Seccomp_filters")
    for _ in range(3):
        weir.upgrade()
        assert scene.client(weir).ask().status == 200
        assert status(weir.pid, "Seccomp_filters") == first


def test_a_newer_weir_where_none_may_be_started_is_told_with_what_helps(scene, tmp_path):
    """A link that leads from one version's folder to the next, among data: what the first was started by is not what it leads to."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        shutil.copy(BINARIES["release"], tmp_path / version / "weir")
    (tmp_path / "current").symlink_to("1")
    weir = scene.weir(make_config([scene.server()]), binary=str(tmp_path / "current" / "weir"), build="release")
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("2")
    if not privileges(weir)["landlock"]:
        assert weir.events("hardening_missing")
        return
    weir.expected_errors.add("upgrade_failed")
    answer = weir.ask_admin("POST", "/api/v1/upgrade")
    detail = json.loads(answer.body)["detail"]
    assert answer.status == 409 and "restart weir (hardening: landlock)" in detail, detail
    assert scene.client(weir).ask().status == 200
